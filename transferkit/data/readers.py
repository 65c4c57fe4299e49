"""From one image, wherever it is, to RGB pixels. Training and prediction read through here, so they see the same."""

from contextlib import nullcontext
from threading import RLock

import numpy as np
from PIL import Image, ImageOps

_BACKGROUND = "white"
_LARGE_PIXELS = 2**24  # of these, which take up to a gigabyte each, one is decoded at a time
_turn = RLock()


def read_pixels(image):
    """Reads one image.

    Args:
        image: Path, PIL image, or array `(height, width)` or `(height, width, 1 or 3)` in `[0, 255]`.

    Returns:
        RGB pixels `(height, width, 3)` in `[0, 255]`, float32 for a float array and uint8 for everything else.

    Raises:
        OSError: If a file cannot be decoded. Pillow's other errors pass through.
    """
    if isinstance(image, np.ndarray):
        return to_rgb_array(image if image.ndim == 3 else image[..., np.newaxis])
    if isinstance(image, Image.Image):
        return _rgb(ImageOps.exif_transpose(image))
    with Image.open(image) as opened, patience_with(opened):
        ImageOps.exif_transpose(opened, in_place=True)
        return _rgb(opened)


def patience_with(opened):
    """Returns a context in which to decode an opened PIL image: a large one waits for its turn, to bound the memory."""
    return _turn if opened.width * opened.height > _LARGE_PIXELS else nullcontext()


def to_rgb_array(array):
    """Brings arrays `(…, height, width, 1 or 3)` to three channels, as uint8 or, from floats, float32."""
    array = array.astype("float32" if array.dtype.kind == "f" else "uint8", copy=False)
    return np.repeat(array, 3, axis=-1) if array.shape[-1] == 1 else array


def _rgb(image):
    """Turns a PIL image into RGB; what is transparent becomes white; 16 bits are scaled to 8."""
    if image.mode[0] in "IF":
        return to_rgb_array(_eight_bits(image)[..., np.newaxis])
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, _BACKGROUND), image)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _eight_bits(image):
    """Pixels of a deep gray image as uint8. What is larger than 8 bits is taken for 16."""
    pixels = np.asarray(image, "float32")
    if image.mode == "F":
        _check_range(pixels, "a gray image of floats", float(pixels.max()))
    elif image.mode.startswith("I;16") or pixels.max() > 255:
        pixels = pixels / 257
    return np.clip(pixels, 0, 255).round().astype("uint8")


def check_pixels(array, name="`x`", brightest=None):
    """Checks that an array `(…, height, width, channels)` holds pixels as the library takes them.

    Args:
        array: The pixels.
        name: What to call it in an error.
        brightest: Largest value of all the images it belongs to; default: its own.

    Raises:
        TypeError: If it holds no numbers; true and false are none.
        ValueError: If it has neither 1 nor 3 channels, NaN or infinite values, or values outside `[0, 255]`, or if it
            is float and `brightest` is at most 1.
    """
    if array.dtype.kind not in "uif":
        raise TypeError(f"{name} must hold numbers. Received: dtype {array.dtype}.")
    if array.shape[-1] not in (1, 3):
        raise ValueError(
            f"{name} must have 1 (gray) or 3 (RGB) channels, last in its shape. "
            f"Received: {array.shape[-1]} channels, shape {array.shape}.{_channel_advice(array.shape)}"
        )
    if array.size == 0:
        raise ValueError(f"{name} is empty. Received: shape {array.shape}.")
    if array.dtype != np.uint8:
        _check_range(array, name, brightest)


def _channel_advice(shape):
    if shape[-1] == 4:
        return " Leave out transparency by `x[..., :3]`."
    if len(shape) >= 3 and shape[-3] in (1, 3):
        return " Move the channels last by `np.moveaxis(x, -3, -1)`."
    return ""


def _check_range(array, name, brightest):
    low, high = float(array.min()), float(array.max())
    if not np.isfinite([low, high]).all():
        raise ValueError(f"{name} holds NaN or infinite values. Expected pixels in [0, 255].")
    if low < 0 or high > 255:
        advice = (
            "Do not normalise images: the model scales its own input." if low < 0 else "Divide 16-bit pixels by 257."
        )
        raise ValueError(
            f"{name} must hold raw pixels in [0, 255]. Received: values from {low:g} to {high:g}. {advice}"
        )
    if array.dtype.kind == "f" and 0 < (high if brightest is None else brightest) <= 1:
        raise ValueError(
            f"{name} must hold raw pixels in [0, 255]. Received: floats with maximum {high:g}, "
            "so they were probably scaled, for instance by `rescale=1/255`. Leave that out, or multiply by 255: "
            "the model scales its own input."
        )
