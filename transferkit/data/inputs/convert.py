"""Turns whatever holds images into a `Source`."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from transferkit.data.decoder import RGB
from transferkit.data.inputs.archives import extract, is_archive
from transferkit.data.inputs.arrays import read_images, refuse_encoded
from transferkit.data.inputs.folders import find_images, read_class_folder
from transferkit.data.inputs.hub import is_hub_dataset, read_hub_dataset
from transferkit.data.inputs.keras_iterators import is_keras_iterator, read_keras_iterator
from transferkit.data.inputs.raw_data import RawData
from transferkit.data.inputs.streams import ALL_STEPS, is_stream, read_stream
from transferkit.data.inputs.tables import is_table, read_table
from transferkit.data.labels.columns import as_groups, as_subsets, as_weights
from transferkit.data.labels.targets import encode_targets
from transferkit.data.source import Source


@dataclass(frozen=True)
class LabelRule:
    """What labels may be, and whether there have to be any.

    Attributes:
        class_names: Classes that labels may have, in order; `None`: those that occur.
        task: One of `TASKS`: what kind of labels. `"auto"`: as they look.
        is_required: Whether there have to be labels. `None`: they are read where `x` brings any; `False`: labels that
            `x` brings are not looked at.
    """

    class_names: Any = None
    task: str = "auto"
    is_required: bool | None = False


ANY_LABELS = LabelRule()
LABELLED = LabelRule(is_required=True)


def as_source(x, y=None, *, sample_weight=None, groups=None, label_rule=ANY_LABELS, decoder=RGB, steps=ALL_STEPS):
    """Turns whatever holds images into a `Source`.

    Args:
        x: One of

            - path of a class folder (one subfolder of images a class) or, without labels, of a folder of images; of a
              zip or tar file of such a folder; of one image; of a CSV file; or a sequence of paths of images;
            - array `(n, height, width, channels)`, `(height, width, channels)` or, grayscale, `(n, height, width)`,
              uint8 or float in `[0, 255]`;
            - PIL image, or a sequence of PIL images and arrays of any sizes;
            - `Table` or data frame, see there;
            - `tf.data.Dataset`, `keras.utils.PyDataset` or generator, of images, `(images, labels)` or `(images,
              labels, weights)`, in batches or one by one: read once;
            - iterator of `ImageDataGenerator`: the images that it reads from;
            - data set of Hugging Face `datasets`, or data source of TensorFlow Datasets;
            - `Source`, which stays as it is.
        y: Labels `(n,)`, int or str; or a list or set of labels for each image; or `(n, num_classes)`, one-hot, soft,
            or 0 and 1 for any number of labels; in any container, see `read_labels`. For a table the name of its
            column. What brings labels of its own, such as a class folder or a stream, needs none.
        sample_weight: Weights `(n,)`, at least 0, or `None`.
        groups: What each image belongs to, `(n,)` int or str, or `None`; see `Source`.
        label_rule: The `LabelRule`. Default: any labels, and none are required.
        decoder: The `Decoder` that says what pixels have to be. Default: RGB, and gray images are welcome, too.
        steps: `Steps` to read from a stream. Default: all, if it has an end.

    Returns:
        A `Source`.

    Raises:
        ValueError, TypeError, FileNotFoundError: If there is nothing to read, or `x` and `y` do not fit together.
    """
    if isinstance(x, Source):
        if not (y is sample_weight is groups is None):
            raise ValueError("`y`, `sample_weight` and `groups` must be left out: `x` is a Source, which has its own.")
        return x
    if steps.count is not None and not is_stream(x):
        raise ValueError(
            f"`{steps.argument}` says how much to read from a stream, and `x` is none: every epoch has all images. "
            f"Leave it out. Received: {steps.argument}={steps.count!r}, x={_describe(x)}."
        )
    given = _read(x, y, label_rule.is_required, decoder, steps)
    count = len(given.images)
    if count == 0:
        raise ValueError("`x` holds no images. Expected at least one.")
    if given.labels is None and label_rule.is_required:
        raise ValueError(
            "Labels are missing. Expected `y` with one label for each image, or `x` as a folder with one subfolder of "
            "images for each class."
        )
    for name, own, other in (("sample_weight", given.sample_weight, sample_weight), ("groups", given.groups, groups)):
        if own is not None and other is not None:
            raise ValueError(f"`{name}` must be left out: `x` brings its own.")
    encoded = {}
    if given.labels is not None and not (label_rule.is_required is False and y is None):
        names = given.class_names if label_rule.class_names is None else label_rule.class_names
        encoded = encode_targets(given.labels, count, names, label_rule.task, ordered=given.is_ordered)
    return Source(
        given.images,
        **encoded,
        weights=as_weights(given.sample_weight if sample_weight is None else sample_weight, count),
        groups=as_groups(given.groups if groups is None else groups, count),
        subsets=as_subsets(given.subsets, count),
        notes=given.notes,
        augmentation=given.augmentation,
    )


def _read(x, y, needs_labels, decoder, steps):
    """Reads `x`, whatever it is. Returns a `RawData`."""
    refuse_encoded(x)
    if y is not None and is_stream(x):
        raise ValueError(
            "`y` must be left out: a stream gives images together with their labels, as (images, labels). If this one "
            "gives images or paths alone, `list(x)` makes a list of them, which goes with `y`. "
            f"Received: x={_describe(x)}."
        )
    if is_archive(x):
        x = extract(x)
    if is_table(x):
        return _with_images_checked(read_table(x, y, needs_labels), decoder)
    for is_kind, read in (
        (_is_folder, lambda folder: _read_folder(Path(folder), needs_labels)),  # its files are there, whatever they are
        (is_keras_iterator, read_keras_iterator),  # streams as well, but known better
        (is_stream, lambda stream: read_stream(stream, steps, decoder)),
        (is_hub_dataset, read_hub_dataset),
    ):
        if is_kind(x):
            if y is not None:
                raise ValueError(f"`y` must be left out: `x` brings its own labels. Received: x={_describe(x)}.")
            return read(x) if is_kind is _is_folder else _with_images_checked(read(x), decoder)
    return RawData(read_images(x, decoder), y)


def _is_folder(x):
    return isinstance(x, str | os.PathLike) and os.path.isdir(x)


def _with_images_checked(given, decoder):
    """Lets arrays and paths pass the same checks, wherever they come from."""
    is_lazy = not isinstance(given.images, list) and not hasattr(given.images, "dtype")
    return given if is_lazy or not len(given.images) else replace(given, images=read_images(given.images, decoder))


def _read_folder(folder, needs_labels):
    given = RawData([]) if needs_labels is False else read_class_folder(folder)
    if given.images:
        return given
    if not needs_labels and (paths := find_images(folder)):
        return RawData(paths)
    if find_images(folder):
        raise ValueError(
            f"Folder {str(folder)!r} has images but no folders of classes, so there are no labels. Expected one "
            "subfolder with images for each class (in each part, if there are parts such as 'train' and 'test'), or "
            "a list of paths as `x` and labels as `y`."
        )
    raise ValueError(f"No images were found in folder {str(folder)!r}, nor in its subfolders.")


def _describe(x):
    return repr(str(x)) if isinstance(x, str | os.PathLike) else type(x).__name__
