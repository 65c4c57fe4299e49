"""The iterators of `ImageDataGenerator`: what they read from, not what they give."""

import copy

import numpy as np

from transferkit.data.augmentation.sources import translate_generator
from transferkit.data.inputs.raw_data import RawData
from transferkit.data.labels.codes import names_of

_SCALING = {
    "rescale": None,
    "preprocessing_function": None,
    "featurewise_center": False,
    "samplewise_center": False,
    "featurewise_std_normalization": False,
    "samplewise_std_normalization": False,
    "zca_whitening": False,
}  # what would give other pixels than the model expects, and what stands for none of it


def is_keras_iterator(x):
    """Whether `x` comes from `ImageDataGenerator.flow`, `flow_from_directory` or `flow_from_dataframe`."""
    return hasattr(x, "image_data_generator")


def read_keras_iterator(iterator):
    """Takes the files or the array of an iterator as they are, all of them, with its labels and classes.

    Its augmentation is handed on without what scales pixels, since the model scales its own input.

    Args:
        iterator: What `is_keras_iterator` says yes to.

    Returns:
        A `RawData`.

    Raises:
        ValueError: If it gives several outputs for each image.
    """
    has_files = hasattr(iterator, "filepaths")
    images = list(iterator.filepaths) if has_files else np.asarray(iterator.x)
    labels, class_names = _labels(iterator, has_files)
    generator, left_out = _without_scaling(iterator.image_data_generator)
    changes_nothing = translate_generator(generator)[0] == translate_generator(type(generator)())[0]
    note = "The iterator's images are read as they are, each once; its augmentation is left to `augmentation`."
    if left_out:
        note += f" Left out, since the model scales its own input: {', '.join(left_out)}."
    return RawData(
        images,
        labels,
        class_names,
        sample_weight=getattr(iterator, "sample_weight", None),
        notes=(note,),
        augmentation=None if changes_nothing else generator,
    )


def _labels(iterator, has_files):
    labels = getattr(iterator, "labels", None) if has_files else iterator.y
    if labels is None or getattr(iterator, "class_mode", "") in ("input", None):
        return None, None
    if getattr(iterator, "class_mode", "") == "multi_output":
        raise ValueError("Images with several outputs each are not supported. Received: class_mode='multi_output'.")
    if not getattr(iterator, "class_indices", None):
        return labels, None
    names = np.array(sorted(iterator.class_indices, key=iterator.class_indices.get))
    return names_of(labels, names), names


def _without_scaling(generator):
    left_out = [name for name in _SCALING if getattr(generator, name, None)]
    # A copy, since the generator belongs to the user.
    plain = copy.copy(generator)
    for name in left_out:
        setattr(plain, name, _SCALING[name])
    return plain, left_out
