"""What gives images batch by batch: `tf.data.Dataset`, `keras.utils.PyDataset` and Python generators."""

from collections.abc import Iterator, Mapping
from itertools import islice

import keras
import numpy as np
import tensorflow as tf

from transferkit.data.inputs.given import Given
from transferkit.data.inputs.spool import Spool

_IMAGE_KEYS = ("image", "images")
_LABEL_KEYS = ("label", "labels")


def is_stream(x):
    """Whether `x` gives images one after another or batch by batch."""
    return isinstance(x, tf.data.Dataset | keras.utils.PyDataset | Iterator)


def read_stream(x, steps=None, argument="steps_per_epoch"):
    """Reads a stream once, and keeps its images in memory or, if they are too many, in a temporary file.

    Args:
        x: A stream of images, of `(images, labels)`, or of `(images, labels, weights)`, in batches or one by one, or of
            dicts with `image` and `label`. Pixels are in `[0, 255]`; labels are integers, strings or rows of a matrix.
        steps: Number of batches to read, or of images, if they come one by one. Default: all there are.
        argument: Name of the argument that says how many, for messages.

    Returns:
        A `Given`.

    Raises:
        ValueError: If the stream may never end and `steps` does not say how far to read, or gives something else.
    """
    elements, length = _elements(x)
    if steps is None and length is None:
        raise ValueError(f"{_kind(x)} may never end. Say how many batches to read: `{argument}=...`.")
    images, labels, weights, count = Spool(), [], [], 0
    for element in islice(elements, steps):
        own_images, own_labels, own_weights = _take_apart(element)
        own_images = np.asarray(own_images)
        is_batch = own_images.ndim == 4
        images.extend(own_images) if is_batch else images.append(own_images)
        for column, values in ((labels, own_labels), (weights, own_weights)):
            if values is not None:
                column.extend(np.asarray(values) if is_batch else [np.asarray(values)])
        count += 1
    if not count:
        raise ValueError(f"{_kind(x)} gave nothing. Was it used up before?")
    notes = (f"{_kind(x)} ended after {count} of {steps} batches: these are used.",) if count < (steps or 0) else ()
    names = getattr(x, "class_names", None)  # of `image_dataset_from_directory`
    return Given(
        images.collect(), _decode(labels, names), None if names is None else np.array(names),
        sample_weight=np.array(weights) if weights else None, notes=notes,
    )  # fmt: skip


def _elements(x):
    """Returns an iterator over `x`, and how much it gives; `None`: perhaps without end."""
    if isinstance(x, tf.data.Dataset):
        length = int(x.cardinality())
        return x.as_numpy_iterator(), None if length == tf.data.INFINITE_CARDINALITY else length
    if isinstance(x, keras.utils.PyDataset):
        length = x.num_batches
        return (x[i] for i in range(length)) if length is not None else _endless(x), length
    return x, None


def _endless(x):
    number = 0
    while True:
        yield x[number]
        number += 1


def _kind(x):
    if isinstance(x, tf.data.Dataset):
        return "The tf.data.Dataset"
    return "The PyDataset" if isinstance(x, keras.utils.PyDataset) else "The generator"


def _take_apart(element):
    """Returns images, labels and weights of one element of a stream; the latter two may be `None`."""
    if isinstance(element, Mapping):
        found = [next((element[key] for key in keys if key in element), None) for keys in (_IMAGE_KEYS, _LABEL_KEYS)]
        if found[0] is None:
            raise ValueError(f"A stream of dicts must have the key 'image'. Received: the keys {sorted(element)}.")
        return *found, None
    if isinstance(element, tuple | list):
        if not 1 <= len(element) <= 3:
            raise ValueError(f"A stream must give (images, labels[, weights]). Received: {len(element)} parts.")
        return *element, *[None] * (3 - len(element))
    return element, None, None


def _decode(labels, names):
    """Bytes become strings, and integers and one-hot labels names where these are known."""
    if not labels:
        return None
    labels = np.array(labels)
    if labels.ndim == 2 and labels.shape[1] > 1:
        if names is not None and _is_one_hot(labels):
            return np.array(names)[labels.argmax(axis=1)]
        return labels
    labels = labels.reshape(len(labels), -1)[:, 0] if labels.ndim > 1 else labels
    if labels.dtype.kind in "SO":
        labels = np.array([label.decode() if isinstance(label, bytes) else label for label in labels.tolist()])
    return np.array(names)[labels.astype(int)] if names is not None else labels


def _is_one_hot(labels):
    return np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all()
