"""What gives images batch by batch: `tf.data.Dataset`, `keras.utils.PyDataset` and Python generators."""

import io
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from transferkit._utils.text import human_bytes
from transferkit.data.decoder import RGB
from transferkit.data.inputs.raw_data import RawData
from transferkit.data.inputs.spool import Spool
from transferkit.data.labels.codes import read_labels

_KEYS = (("image", "images"), ("label", "labels"), ("weight", "weights", "sample_weight"))
_MOST_UNENDED = 2**34  # bytes kept of a stream that does not say how long it is


@dataclass(frozen=True)
class Steps:
    """How much to read from a stream.

    Attributes:
        count: Number of batches, or of images, if they come one by one. `None`: all there are.
        argument: What the user calls that number, for messages.
    """

    count: int | None = None
    argument: str = "steps_per_epoch"


ALL_STEPS = Steps()


def is_stream(x):
    """Whether `x` gives images one after another or batch by batch."""
    if isinstance(x, io.IOBase):  # an opened file gives its lines
        return False
    return isinstance(x, tf.data.Dataset | keras.utils.PyDataset | Iterator)


def read_stream(x, steps=ALL_STEPS, decoder=RGB):
    """Reads a stream once, and keeps its images in memory or, if they are too many, in a temporary file.

    Args:
        x: A stream of images, of `(images, labels)`, or of `(images, labels, weights)`, in batches or one by one, or of
            dicts with `image` and perhaps `label` and `weight`. Pixels are in `[0, 255]`; paths may stand for images;
            labels are what `read_labels` takes.
        steps: `Steps` to read. Default: all there are. Of a stream that does not say how long it is, at most 16 GiB of
            images, or half of the free disk.
        decoder: The `Decoder` of PIL images.

    Returns:
        A `RawData`.

    Raises:
        ValueError: If the stream may never end and `steps` do not say how far to read, if it does not say how long it
            is and gives too much, or if it gives something else.
    """
    elements, length = _elements(x)
    if steps.count is None and length is None:
        raise ValueError(f"{_kind(x)} may never end. Say how many batches to read: `{steps.argument}=...`.")
    images, labels, weights, count = Spool(), [], [], 0
    watch = _watch_length(x, steps.argument) if steps.count is None and length == tf.data.UNKNOWN_CARDINALITY else None
    for element in islice(elements, steps.count):
        own_images, own_labels, own_weights = _take_apart(element)
        own_images = _as_images(own_images, decoder)
        is_batch = own_images.ndim == (1 if own_images.dtype.kind == "U" else 4)
        _refuse_images_as_labels(own_labels, is_batch)
        images.extend(own_images) if is_batch else images.append(own_images)
        for column, values, name in ((labels, own_labels, "labels"), (weights, own_weights, "weights")):
            if values is not None:
                column += _one_each(values, len(own_images), name) if is_batch else [values]
        count += 1
        if watch is not None:
            watch(images)
    if not count:
        raise ValueError(f"{_kind(x)} gave nothing. Was it used up before?")
    _refuse_scaled(images)
    is_short = count < (steps.count or 0)
    notes = (f"{_kind(x)} ended after {count} of {steps.count} batches: these are used.",) if is_short else ()
    names = getattr(x, "class_names", None)  # of `image_dataset_from_directory`
    return RawData(
        images.collect(),
        _decode(labels, names),
        None if names is None else np.array(names),
        sample_weight=np.array(weights) if weights else None,
        notes=notes,
    )


def _watch_length(x, argument):
    """Returns a function that ends what may never end: a stream that does not say its length, as generators do not.

    All that is read has to be kept, so there is a bound in any case. It is stated, and a number of batches lifts it.
    """
    most = min(_MOST_UNENDED, shutil.disk_usage(tempfile.gettempdir()).free // 2)
    is_warned = False

    def watch(images):
        nonlocal is_warned
        if not images.is_on_disk or (is_warned and images.num_bytes <= most):
            return
        seen = f"{_kind(x)} does not say how long it is, and has not ended after {len(images):,} images"
        if images.num_bytes > most:
            raise ValueError(
                f"{seen} ({human_bytes(images.num_bytes)}, the most that is kept without knowing). Say how many "
                f"batches to read: `{argument}=...`. If it does end, any larger number reads all of it."
            )
        warnings.warn(
            f"{seen} ({human_bytes(images.num_bytes)}): they go into a temporary file, up to {human_bytes(most)}. "
            f"If it never ends, interrupt this and say how many batches to read: `{argument}=...`.",
            stacklevel=2,
        )
        is_warned = True

    return watch


def _refuse_scaled(images):
    """Checks floats as those of an array are: kept as bytes, 0 and 1 would be taken for two shades of black."""
    if images.has_floats and 0 < images.brightest <= 1:
        RGB.check(np.full((1, 1, 3), images.brightest, "float32"))


def _refuse_images_as_labels(labels, is_batch):
    shape = labels.size if isinstance(labels, Image.Image) else getattr(labels, "shape", ())
    if len(shape) > 1 + is_batch:
        raise ValueError(
            "A stream must give (images, labels[, weights]), with a label or a row of labels for each image. "
            f"Received: labels of shape {tuple(shape)}. `np.stack(images)` makes a batch of a list of images."
        )


def _as_images(images, decoder):
    """What a stream gives as images, as an array; paths as an array of text."""
    if isinstance(images, Image.Image):
        return _pixels(images, decoder)
    if isinstance(images, list | tuple) and images and isinstance(images[0], Image.Image):
        return np.stack([_pixels(image, decoder) for image in images])
    array = np.asarray(images)
    if array.dtype.kind in "SO":
        values = [value.decode() if isinstance(value, bytes) else value for value in array.ravel().tolist()]
        if all(isinstance(value, str) for value in values):
            return np.array(values).reshape(array.shape)
    return array


def _pixels(image, decoder):
    """Pixels of a PIL image. An array of it would have the numbers of a palette in place of its colours."""
    if image.has_transparency_data:
        raise ValueError(
            "A stream must give images without transparent parts, since it does not know what is behind them. "
            f"Received: a PIL image of mode {image.mode!r}. `image.convert('RGB')` leaves these out."
        )
    return decoder.decode(image)


def _one_each(values, num_images, name):
    """Labels or weights of a batch: a list of one for each image."""
    ragged = hasattr(values, "to_list")  # of TensorFlow, rows of several lengths
    column = values.to_list() if ragged else list(np.asarray(values) if hasattr(values, "__array__") else values)
    if len(column) != num_images:
        raise ValueError(
            f"A batch of a stream must have one of its {name} for each image. "
            f"Received: {num_images} images and {len(column)} {name}."
        )
    return column


def _elements(x):
    """Returns an iterator over `x`, and how many batches it gives.

    `None`: perhaps without end; `tf.data.UNKNOWN_CARDINALITY`: it does not say, but most such data sets have one.
    """
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
        images, *others = (next((element[key] for key in keys if key in element), None) for keys in _KEYS)
        if images is None:
            raise ValueError(f"A stream of dicts must have the key 'image'. Received: the keys {sorted(element)}.")
        return images, *others
    if isinstance(element, tuple | list):
        if not 1 <= len(element) <= 3:
            raise ValueError(f"A stream must give (images, labels[, weights]). Received: {len(element)} parts.")
        return *element, *[None] * (3 - len(element))
    return element, None, None


def _decode(labels, names):
    """Bytes become strings, and integers and one-hot labels names where these are known."""
    if not labels:
        return None
    if names is None:
        return [label.decode() if isinstance(label, bytes) else label for label in labels]
    read = read_labels(labels)
    if read.kind == "classes" and read.values.dtype.kind in "iub":
        return np.array(names)[read.values.astype(int)]
    if read.kind == "columns" and _is_one_hot(read.values):
        return np.array(names)[read.values.argmax(axis=1)]
    return labels


def _is_one_hot(labels):
    return np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all()
