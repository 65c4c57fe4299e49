"""What the user has, as one thing: images that can be read one by one, and their labels."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from transferkit._utils.text import bullets, plural
from transferkit.data.folders import find_images, scan_class_folder
from transferkit.data.labels import encode_labels
from transferkit.data.readers import accepted_channels, check_pixels


@dataclass(frozen=True)
class Source:
    """Images and, where known, their labels. Nothing is read from disk until the pixels are needed.

    Args:
        images: One array `(n, height, width, channels)`, or a sequence of paths, arrays or PIL images.
        labels: Codes `(n,)` into `class_names`, int64, or `None`.
        class_names: The labels as the user gave them, one a class, in the order of the codes. `None` without labels.
        notes: What was ignored on the way, in words, for the user to see.
    """

    images: np.ndarray | Sequence = field(repr=False)
    labels: np.ndarray | None = field(default=None, repr=False)
    class_names: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    def __len__(self):
        return len(self.images)

    @property
    def is_uniform(self):
        """Whether all images are one array, of one size."""
        return isinstance(self.images, np.ndarray) and self.images.ndim == 4

    @property
    def paths(self):
        """The path of each image, or `None` for images that have none."""
        return [str(image) if isinstance(image, str | os.PathLike) else None for image in self.images]

    def name(self, index):
        """What to call image `index` in a message."""
        image = self.images[index]
        return str(image) if isinstance(image, str | os.PathLike) else f"image {index}"

    def take(self, indices):
        """Returns the part of this source at `indices`, in that order."""
        indices = np.asarray(indices)
        images = self.images[indices] if isinstance(self.images, np.ndarray) else [self.images[i] for i in indices]
        labels = None if self.labels is None else self.labels[indices]
        return replace(self, images=images, labels=labels)


def as_source(x, y=None, *, class_names=None, needs_labels=False, channels=3):
    """Turns whatever holds images into a `Source`.

    Args:
        x: One of

            - path of a class folder (one subfolder of images a class) or, without labels, of a folder of images;
            - path of one image, or a sequence of paths;
            - array `(n, height, width, channels)`, `(height, width, channels)` or, grayscale, `(n, height, width)`,
              uint8 or float in `[0, 255]`;
            - PIL image, or a sequence of PIL images and arrays of any sizes.
        y: Labels `(n,)`, int or str; not for a class folder, whose labels are its folder names.
        class_names: Classes that labels may have, in order; default: those that occur.
        needs_labels: Whether labels are required.
        channels: Number of channels that arrays must have; for 3, gray ones are welcome, too.

    Returns:
        A `Source`.

    Raises:
        ValueError, TypeError, FileNotFoundError: If there is nothing to read, or `x` and `y` do not fit together.
    """
    if isinstance(x, str | os.PathLike) and Path(x).is_dir():
        if y is not None:
            raise ValueError(
                f"`y` must be left out for a folder: its subfolders are the labels. Received: x={str(x)!r}."
            )
        return _class_folder_source(Path(x), class_names) if needs_labels else _folder_source(Path(x))
    images = _as_images(x, channels)
    if len(images) == 0:
        raise ValueError("`x` holds no images. Expected at least one.")
    if y is None:
        if needs_labels:
            raise ValueError(
                "Labels are missing. Expected `y` with one label for each image, or `x` as a folder with one "
                "subfolder of images for each class."
            )
        return Source(images)
    codes, names = encode_labels(y, len(images), class_names)
    return Source(images, codes, names)


def _class_folder_source(folder, class_names):
    paths, names, notes = scan_class_folder(folder)
    if paths:
        codes, class_names = encode_labels(names, len(paths), class_names, ordered=True)
        return Source(paths, codes, class_names, notes)
    if find_images(folder):
        raise ValueError(
            f"Folder {str(folder)!r} has images but no subfolders with images, so there are no labels. "
            "Expected one subfolder for each class, or a list of paths as `x` and labels as `y`."
        )
    raise _no_images(folder)


def _folder_source(folder):
    paths = find_images(folder)
    if not paths:
        raise _no_images(folder)
    return Source(paths)


def _no_images(folder):
    return ValueError(f"No images were found in folder {str(folder)!r}, nor in its subfolders.")


def _as_images(x, channels):
    if isinstance(x, str | os.PathLike):
        return _existing_paths([x])
    if isinstance(x, Image.Image):
        return [x]
    if isinstance(x, np.ndarray) and x.dtype.kind not in "OUS":
        return _as_image_array(x, channels)
    if isinstance(x, Sequence | np.ndarray):
        return _as_image_list(list(x), channels)
    if hasattr(x, "to_numpy"):  # a pandas Series
        return _as_images(x.to_numpy(), channels)
    raise TypeError(
        f"`x` must be a folder, a path, an array, a PIL image or a sequence of those. Received: {type(x).__name__}. "
        "`np.asarray(x)` turns a tensor into an array, `list(x)` a generator into a list."
    )


def _as_image_array(array, channels):
    """Brings an array to `(n, height, width, channels)`."""
    if array.ndim == 2 or (array.ndim == 3 and array.shape[-1] in accepted_channels(channels)):
        array = array[np.newaxis]
    if array.ndim == 3:
        array = array[..., np.newaxis]
    if array.ndim != 4:
        raise ValueError(
            "`x` must have shape (n, height, width, channels), (height, width, channels) or (n, height, width). "
            f"Received: an array of shape {array.shape}."
        )
    check_pixels(array, channels=channels)
    return array


def _as_image_list(items, channels):
    if all(isinstance(item, str | os.PathLike) for item in items):
        return _existing_paths(items)
    brightest = max((float(item.max()) for item in items if isinstance(item, np.ndarray) and item.size), default=0)
    for index, item in enumerate(items):
        if isinstance(item, np.ndarray) and item.ndim in (2, 3):
            check_pixels(item if item.ndim == 3 else item[..., np.newaxis], f"image {index}", brightest, channels)
        elif not isinstance(item, Image.Image):
            shape = f" of shape {item.shape}" if isinstance(item, np.ndarray) else ""
            raise TypeError(
                "A sequence of images must hold only paths, or only PIL images and arrays (height, width, channels). "
                f"Received: {type(item).__name__}{shape} at position {index}."
            )
    return items


def _existing_paths(paths):
    paths = [os.fspath(path) for path in paths]
    missing = [path for path in paths if not os.path.isfile(path)]
    if not missing:
        return paths
    if folders := [path for path in missing if os.path.isdir(path)]:
        raise ValueError(
            f"A list of paths must name image files. {plural(len(folders), 'folder')} among them:\n{bullets(folders)}\n"
            "Give one folder alone as `x`, with one subfolder for each class."
        )
    raise FileNotFoundError(
        f"{len(missing)} of {plural(len(paths), 'path')} lead to no file or folder:\n{bullets(missing)}\n"
        f"They were looked up from {os.getcwd()!r}."
    )
