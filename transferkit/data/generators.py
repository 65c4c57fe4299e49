"""Python generators of batches, and the iterators of `ImageDataGenerator`, as images and labels."""

from collections.abc import Iterator

import numpy as np


def is_stream(x):
    """Whether `x` gives batches of images with labels one after another."""
    return isinstance(x, Iterator) or _is_keras_iterator(x)


def read_stream(x, steps=None, argument="steps_per_epoch"):
    """Takes the images and labels out of a generator.

    A generator is read once, for `steps` batches; the iterators of `ImageDataGenerator.flow` and `flow_from_directory`
    are not read at all: their arrays, files and labels are taken as they are, without augmentation and scaling.

    Args:
        x: A generator of `(images, labels)` batches, labels one-hot or integers, or a Keras iterator.
        steps: Number of batches, for a generator.
        argument: Name of the argument that gives it, for messages.

    Returns:
        `(images, labels, notes)`: what `as_source` takes, and sentences that the user should read.

    Raises:
        ValueError: If `steps` is missing, or batches are not what was expected.
    """
    if _is_keras_iterator(x):
        return _read_keras_iterator(x)
    if steps is None:
        raise ValueError(f"A generator may never end. Say how many batches to read: `{argument}=...`.")
    images, labels, notes = [], [], ()
    for _ in range(steps):
        batch = next(x, None)
        if batch is None:
            notes = (f"The generator ended after {len(images)} of {steps} batches: these are used.",)
            break
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            raise ValueError(f"A generator must give pairs (images, labels). Received: {type(batch).__name__}.")
        images.append(np.asarray(batch[0]))
        labels.append(_codes(np.asarray(batch[1])))
    if not images:
        raise ValueError("The generator gave no batches. Was it used up before?")
    return np.concatenate(images), np.concatenate(labels), notes


def _codes(labels):
    return labels.argmax(axis=1) if labels.ndim == 2 else labels


def _is_keras_iterator(x):
    return hasattr(x, "image_data_generator")


def _read_keras_iterator(iterator):
    names = np.array(sorted(iterator.class_indices, key=iterator.class_indices.get)) if _has_files(iterator) else None
    note = (
        "The iterator's images are read without its augmentation and scaling, all of them; give the "
        "ImageDataGenerator as `augmentation`."
    )
    if names is not None:
        return list(iterator.filepaths), names[np.asarray(iterator.labels)], (note,)
    return np.asarray(iterator.x), _codes(np.asarray(iterator.y)), (note,)


def _has_files(iterator):
    return hasattr(iterator, "filepaths")
