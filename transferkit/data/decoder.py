"""From one image, wherever it is, to pixels. Training and prediction read through here, so they see the same."""

import os
import stat
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from io import BytesIO
from threading import RLock

import numpy as np
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION, SAMPLEFORMAT

from transferkit._utils.fingerprints import digest_file
from transferkit._utils.quiet import warnings_filtered

_WHITE = (255, 255, 255)
_DEEP_FORMATS = ("PNG", "PPM")  # whose mode "I" always means 16 bits; newer versions of Pillow say "I;16"
_WHITE_IS_ZERO = 0  # photometric interpretation in a TIFF file
_SIGNED = 2  # sample format there
_LARGE_PIXELS = 2**24
HELD_BYTES = 2**26
"""Size of files from which on they are not held in memory as a whole."""

_turn = RLock()
_locks = [RLock() for _ in range(256)]  # more than threads, so that different images hardly ever wait for each other


@dataclass(frozen=True)
class Decoder:
    """Turns images, wherever they are, into pixels with a given number of channels.

    Attributes:
        channels: Number of channels. 3 are RGB, which gray images become, too. For 1, images must be gray. For other
            numbers, images must have that number; TIFF files then are read by tifffile, and 16 bits are not rounded.
        background: Level of each channel where an image is transparent.
        large_pixels: Files of more pixels are decoded one at a time, since each may take a gigabyte.
    """

    channels: int = 3
    background: tuple[int, ...] = _WHITE
    large_pixels: int = _LARGE_PIXELS

    @property
    def is_multispectral(self):
        """Whether the channels are neither gray nor RGB."""
        return self.channels not in (1, 3)

    @property
    def accepted(self):
        """Numbers of channels that arrays may have."""
        return (1, 3) if self.channels == 3 else (self.channels,)

    def decode(self, image, file=None):
        """Reads one image.

        The orientation in EXIF is applied. Of several pages or frames, the first is read. 12, 16 or 32 bits become 8:
        the brightest level that the file declares to be possible, whether it occurs or not, becomes 255. Gray levels
        that are floats must be in `[0, 255]`.

        Args:
            image: Path, PIL image, or array `(height, width)` or `(height, width, channels)` in `[0, 255]`.
            file: The file of the path as a binary file object, if somebody has opened it; see `opened_with_print`.

        Returns:
            Pixels `(height, width, channels)` in `[0, 255]`, float32 for floats and for 16 bits of multi-spectral
            images, uint8 for everything else.

        Raises:
            OSError: If a file is none, is empty, or cannot be decoded. Pillow's other errors pass through.
        """
        if isinstance(image, np.ndarray):
            return self.convert(with_channels(image))
        if isinstance(image, Image.Image):
            levels = _levels_of(image)
            # Pillow decodes an image when it is first used: by one thread, if it is listed twice.
            with _locks[id(image) // 16 % len(_locks)]:
                upright = ImageOps.exif_transpose(image)
            return self._pixels_of(upright, levels)
        if file is None:
            size_of_file(image)
        if self.reads_as_array(image):
            return self.decode_array(file or image, image)
        with Image.open(file or image) as opened, self.patience_with(opened):
            levels = _levels_of(opened)
            ImageOps.exif_transpose(opened, in_place=True)
            return self._pixels_of(opened, levels)

    def patience_with(self, opened):
        """Returns a context in which to decode an opened PIL image: a large one waits for its turn, to bound memory."""
        return _turn if opened.width * opened.height > self.large_pixels else nullcontext()

    def reads_as_array(self, path):
        """Whether a file is not Pillow's to read: a `.npy` file, or a TIFF file of other than 1 or 3 channels."""
        suffix = os.path.splitext(path)[1].lower()
        return suffix == ".npy" or (suffix in (".tif", ".tiff") and self.is_multispectral)

    def decode_array(self, file, path):
        """Reads a `.npy` file, or the first page of a TIFF file of any number of channels.

        Args:
            file: Path, or the opened file.
            path: Its path.

        Returns:
            Pixels as of `decode`.
        """
        is_tiff = os.path.splitext(path)[1].lower() != ".npy"
        # No pickles: loading one can run any code.
        array = with_channels(_read_tiff(file) if is_tiff else np.load(file, allow_pickle=False))
        self.check(array, "the array")
        return self.convert(array)

    def convert(self, array):
        """Brings arrays `(…, height, width, channels)` to uint8 or float32, and gray ones to RGB if that is wanted."""
        if self.is_multispectral and is_16_bit(array):
            # 257 is 65535 / 255: the brightest level of 16 bits becomes that of 8.
            return array.astype("float32") / 257
        array = array.astype("float32" if array.dtype.kind == "f" else "uint8", copy=False)
        return np.repeat(array, 3, axis=-1) if array.shape[-1] == 1 and self.channels == 3 else array

    def check(self, array, name="`x`", brightest=None):
        """Checks that an array `(…, height, width, channels)` holds pixels as the library takes them.

        Args:
            array: The pixels.
            name: What to call it in an error.
            brightest: Largest value of all the images it belongs to; default: its own.

        Raises:
            TypeError: If it holds no numbers; true and false are none.
            ValueError: If it has other channels, NaN or infinite values, or values outside `[0, 255]`, or if it
                is float and `brightest` is at most 1.
        """
        if array.dtype.kind not in "uif":
            raise TypeError(f"{name} must hold numbers. Received: dtype {array.dtype}.")
        if array.shape[-1] not in self.accepted:
            raise ValueError(
                f"{name} must have {self._expected}, last in its shape. "
                f"Received: {array.shape[-1]} channels, shape {array.shape}.{self._advice(array.shape)}"
            )
        if array.size == 0:
            raise ValueError(f"{name} is empty. Received: shape {array.shape}.")
        if array.dtype != np.uint8 and not (self.is_multispectral and is_16_bit(array)):
            _check_range(array, name, brightest)

    @property
    def _expected(self):
        return "1 (gray) or 3 (RGB) channels" if self.channels == 3 else f"{self.channels} channels, as `channels` says"

    def _advice(self, shape):
        if len(shape) >= 3 and shape[-3] in self.accepted:
            return " Move the channels last by `np.moveaxis(x, -3, -1)`."
        if self.channels == 3 and shape[-1] == 4:
            return (
                " Leave out transparency by `x[..., :3]`, or give `channels=4` in an `ImageFormat` if all four are "
                "colours."
            )
        return f" Give `channels={shape[-1]}` in an `ImageFormat` as `image_size` if these are multi-spectral images."

    def _pixels_of(self, image, levels):
        """Pixels of a PIL image with as many channels as asked for."""
        if self.channels == 3:
            return _rgb(image, self.background, levels)
        bands = len(image.getbands())
        if self.channels == 1 and (image.mode in ("1", "L", "LA", "F") or image.mode.startswith("I")):
            return _rgb(image, self.background[:1] * 3, levels)[..., :1]
        if self.channels == 1 or bands != self.channels:
            raise ValueError(f"it has {bands} channels ({image.mode}), but `channels={self.channels}` was asked for")
        return np.asarray(image)


RGB = Decoder()
"""The `Decoder` of what most images are."""


def bombs_refused(*filters):
    """Makes Pillow refuse images beyond `PIL.Image.MAX_IMAGE_PIXELS`, in all threads.

    Args:
        filters: What else to do about warnings; see `warnings_filtered`.
    """
    return warnings_filtered(("error", Image.DecompressionBombWarning), *filters)


@contextmanager
def opened_with_print(path, held_bytes=HELD_BYTES):
    """Opens a file and takes the print of its content, which thus is what is decoded next.

    Args:
        path: The file.
        held_bytes: Size from which on a file is not held in memory as a whole, but read twice: each of many threads
            holds one.

    Yields:
        `(file, digest)`: a binary file object at its beginning, and 16 bytes.
    """
    size = size_of_file(path)
    with open(path, "rb") as file:
        if size > held_bytes:
            digest = digest_file(file)
            file.seek(0)
            yield file, digest
        else:
            content = file.read()
            yield BytesIO(content), digest_file(content)


def size_of_file(path):
    """Returns how many bytes a file has. Raises `OSError` if there are none, or it is no file.

    It has to be asked before a path is opened: opening a pipe would wait for someone to write to it.
    """
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise OSError("not a file")
    if status.st_size == 0:
        raise OSError("the file is empty")
    return status.st_size


def is_16_bit(array):
    """Whether an array holds unsigned numbers of 16 bits."""
    return array.dtype.kind == "u" and array.dtype.itemsize == 2


def with_channels(array):
    """Returns one image `(height, width)` or `(height, width, channels)` as the latter."""
    if array.ndim not in (2, 3):
        raise ValueError(
            f"an image must have shape (height, width) or (height, width, channels). Received: shape {array.shape}."
        )
    return array if array.ndim == 3 else array[..., np.newaxis]


def _read_tiff(file):
    try:
        import tifffile
    except ImportError as error:
        raise ImportError(
            "TIFF files of other than 1 or 3 channels need tifffile, which is not installed here. "
            'Install it with: pip install "transferkit[multispectral]"'
        ) from error
    with tifffile.TiffFile(file) as pages:
        page = pages.pages[0]
        pixels = page.asarray()
        # Files that store one channel after the other come with the channels first.
        return np.moveaxis(pixels, 0, -1) if page.axes == "SYX" else pixels


@dataclass(frozen=True)
class _Levels:
    """What the numbers in a deep gray image mean, as its file declares it.

    Attributes:
        most: The largest number that can occur; `None`: nothing declares it.
        white_is_zero: Whether the largest number is black.
    """

    most: int | None
    white_is_zero: bool = False


def _levels_of(image):
    """Returns the `_Levels` of a PIL image of gray levels beyond 8 bits, which Pillow leaves as they are; else `None`.

    It has to be asked before the image is turned: only the image that was opened knows its file.
    """
    if image.mode[0] not in "IF":
        return None
    tags = getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}
    white_is_zero = tags.get(PHOTOMETRIC_INTERPRETATION) == _WHITE_IS_ZERO
    if image.mode == "F":
        return _Levels(255, white_is_zero)
    if BITSPERSAMPLE in tags:
        is_signed = tags.get(SAMPLEFORMAT, (1,))[0] == _SIGNED
        return _Levels(2 ** (tags[BITSPERSAMPLE][0] - is_signed) - 1, white_is_zero)
    return _Levels(2**16 - 1 if image.mode.startswith("I;16") or image.format in _DEEP_FORMATS else None)


def _rgb(image, background, levels):
    """Turns a PIL image into RGB on a background; deep gray levels are scaled to 8 bits."""
    if levels is not None:
        return _rgb_of_deep(image, background, levels)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (*background, 255)), image)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _rgb_of_deep(image, background, levels):
    stored = np.asarray(image)
    if levels.most == 2**32 - 1:
        stored = stored.view("uint32")  # Pillow knows signed ones only
    pixels = np.repeat(_eight_bits(stored, levels)[..., np.newaxis], 3, axis=-1)
    level = image.info.get("transparency")  # of a PNG file: one gray level, as it is stored
    if level is not None:
        pixels[stored == level] = background
    return pixels


def _eight_bits(stored, levels):
    """Gray levels as uint8, 255 for the brightest that can be."""
    if stored.dtype.kind == "f":
        _check_range(stored, "a gray image of floats", float(stored.max()))
    elif levels.most is None:
        raise ValueError(
            "a PIL image of mode 'I' from no file does not say how many bits its gray levels have. Give an array of "
            "them, divided so that they are in [0, 255]"
        )
    elif stored.min() < 0:
        raise ValueError(f"it has negative gray levels, down to {stored.min()}. Expected 0 for black")
    step = levels.most / 255  # of the levels of 8 bits
    if levels.most >= 2**31 - 1 and 0 < stored.max() < step:
        raise ValueError(
            f"its gray levels go up to {stored.max():,} of {levels.most:,}, so in 8 bits it would be black. Store it "
            "with 8 or 16 bits"
        )
    # float32 tells integers apart up to 2**24 only.
    pixels = stored.astype("float32" if levels.most < 2**16 else "float64") / step
    pixels = np.clip(pixels, 0, 255).round().astype("uint8")
    return 255 - pixels if levels.white_is_zero else pixels


def _check_range(array, name, brightest):
    # NaN and infinity pass through minimum and maximum, so these two tell of all values.
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
