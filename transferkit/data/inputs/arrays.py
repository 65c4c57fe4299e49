"""Images in memory and paths of images, one or many."""

import os
from collections.abc import Sequence

import numpy as np
from PIL import Image

from transferkit._utils.text import bullets, plural
from transferkit.data.decoder import RGB, with_channels


def refuse_encoded(x):
    """Raises `TypeError` for an open file and for bytes: a stream and a sequence to Python, but no images yet."""
    if advice := _advice_on_encoded(x):
        raise TypeError(f"`x` must be a path, an image, or many of them. Received: {type(x).__name__}. {advice}")


def _advice_on_encoded(x):
    if isinstance(x, bytes | bytearray | memoryview):
        return "Of bytes, `os.fsdecode` makes a path, and `PIL.Image.open(io.BytesIO(...))` an image."
    if hasattr(x, "read") and hasattr(x, "seek"):
        return "Instead of an open file, give its path or, for one image, `PIL.Image.open` of it."
    return ""


def read_images(x, decoder=RGB):
    """Brings images that are in memory, or their paths, to an array or a list.

    Args:
        x: Images; see `as_source`.
        decoder: The `Decoder` that says what pixels have to be.
    """
    if isinstance(x, str | os.PathLike):
        return _existing_paths([x])
    if isinstance(x, Image.Image):
        return [x]
    if isinstance(x, np.ndarray) and x.dtype.kind not in "OUS":
        return _as_image_array(x, decoder)
    if isinstance(x, Sequence | np.ndarray):
        return _as_image_list(list(x), decoder)
    if hasattr(x, "to_numpy"):  # a pandas Series
        return read_images(x.to_numpy(), decoder)
    raise TypeError(
        f"`x` must be a folder, a path, an array, a PIL image or a sequence of those. Received: {type(x).__name__}. "
        "`np.asarray(x)` turns a tensor into an array."
    )


def _as_image_array(array, decoder):
    """Brings an array to `(n, height, width, channels)`."""
    if array.ndim == 2 or (array.ndim == 3 and array.shape[-1] in decoder.accepted):
        array = array[np.newaxis]
    if array.ndim == 3:
        array = array[..., np.newaxis]
    if array.ndim != 4:
        raise ValueError(
            "`x` must have shape (n, height, width, channels), (height, width, channels) or (n, height, width). "
            f"Received: an array of shape {array.shape}."
        )
    decoder.check(array)
    return array


def _as_image_list(items, decoder):
    if all(isinstance(item, str | os.PathLike) for item in items):
        return _existing_paths(items)
    # A dark image among brighter ones must not be taken for one that was scaled to [0, 1].
    brightest = max((float(item.max()) for item in items if isinstance(item, np.ndarray) and item.size), default=0)
    for index, item in enumerate(items):
        if isinstance(item, np.ndarray) and item.ndim in (2, 3):
            decoder.check(with_channels(item), f"image {index}", brightest)
        elif not isinstance(item, Image.Image):
            shape = f" of shape {item.shape}" if isinstance(item, np.ndarray) else ""
            raise TypeError(
                "A sequence of images must hold only paths, or only PIL images and arrays (height, width, channels). "
                f"Received: {type(item).__name__}{shape} at position {index}. "
                f"{_advice_on_encoded(item)}".rstrip()
            )
    return items


def _existing_paths(paths):
    paths = [os.fspath(path) for path in paths]
    missing = [path for path in paths if os.path.isdir(path) or not os.path.exists(path)]
    if not missing:
        return paths  # a pipe or a device among them is an image that cannot be read
    if folders := [path for path in missing if os.path.isdir(path)]:
        raise ValueError(
            f"A list of paths must name image files. {plural(len(folders), 'folder')} among them:\n{bullets(folders)}\n"
            "Give one folder alone as `x`, with one subfolder for each class."
        )
    raise FileNotFoundError(
        f"{len(missing)} of {plural(len(paths), 'path')} lead to no file or folder:\n{bullets(missing)}\n"
        f"They were looked up from {os.getcwd()!r}."
    )
