"""One look at every image: whether it can be read, how large it is, and what tells it from others."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image

from transferkit._utils import console
from transferkit._utils.failures import reason_of
from transferkit._utils.fingerprints import PRINT_BYTES, digest_pixels
from transferkit._utils.text import plural
from transferkit.data.decoder import HELD_BYTES, RGB, Decoder, bombs_refused, opened_with_print, size_of_file
from transferkit.exceptions import ImageReadError

THUMBNAIL = 32
"""Width and height of thumbnails in pixels: what perceptual hashes are made of."""

_CHUNK = 32  # images that one thread takes at a time


@dataclass(frozen=True, eq=False)
class Inspection:
    """What was seen of the images of a source.

    Attributes:
        failures: Tuple of `(index, name, reason)`, one for each image that cannot be read, in order.
        sizes: `(n, 2)` int64: height and width in pixels as they are stored; 0 for what cannot be read.
        prints: `(n, 16)` uint8, equal for equal content: all bytes of a file, all values of an array. `None` if they
            were not asked for.
        thumbnails: `(n, 32, 32)` uint8 gray levels, or `None`.
    """

    failures: tuple[tuple[int, str, str], ...]
    sizes: np.ndarray
    prints: np.ndarray | None
    thumbnails: np.ndarray | None

    @property
    def readable(self):
        """Indices of the images that can be read, sorted, `(m,)` int64."""
        return np.setdiff1d(np.arange(len(self.sizes)), [index for index, _, _ in self.failures])


def inspect_images(
    source, decoder=RGB, advance=lambda count: None, *, has_prints=True, has_thumbnails=False, held_bytes=HELD_BYTES
):
    """Reads every image of a source once, in parallel.

    What passes here can be decoded. JPEG files are read at a fraction of their size, which reads every byte of them but
    makes fewer pixels; all others as a whole.

    Args:
        source: A `Source`.
        decoder: The `Decoder` of the images.
        advance: Called with the number of images done since its last call.
        has_prints: Whether prints are wanted.
        has_thumbnails: Whether thumbnails are wanted.
        held_bytes: Size of files from which on they are not held in memory as a whole.

    Returns:
        An `Inspection`.
    """
    count, glance = len(source), _Glance(decoder, has_prints, held_bytes)
    sizes = np.zeros((count, 2), np.int64)
    prints = np.zeros((count, PRINT_BYTES), np.uint8) if has_prints else None
    thumbnails = np.zeros((count, THUMBNAIL, THUMBNAIL), np.uint8) if has_thumbnails else None

    def look(index):
        digest, size, pixels = glance.at(source.images[index])
        if has_prints:
            prints[index] = np.frombuffer(digest, np.uint8)
        if has_thumbnails:
            thumbnails[index] = _thumbnail(pixels)
        sizes[index] = size

    def reasons(start):
        indices = range(start, min(start + _CHUNK, count))
        return [(index, _reason_against(look, index)) for index in indices]

    failures = []
    with bombs_refused(("ignore", Warning)), ThreadPoolExecutor(os.cpu_count()) as pool:
        for chunk in pool.map(reasons, range(0, count, _CHUNK)):
            failures += [(index, source.name(index), reason) for index, reason in chunk if reason]
            advance(len(chunk))
    return Inspection(tuple(failures), sizes, prints, thumbnails)


def _reason_against(look, index):
    """Why an image cannot be read, or `None`."""
    try:
        look(index)
    except Exception as error:  # whatever a decoder raises on broken data means the same here
        return reason_of(error)


@dataclass(frozen=True)
class _Glance:
    """How one image is looked at: each method returns its print, or `None`, its height and width, and its pixels.

    Attributes:
        decoder: The `Decoder`.
        has_prints: Whether prints are wanted.
        held_bytes: Size of files from which on they are not held in memory as a whole.
    """

    decoder: Decoder
    has_prints: bool
    held_bytes: int

    def at(self, image):
        """Looks at an image, wherever it is. Its pixels may be fewer than it has."""
        if isinstance(image, str | os.PathLike):
            return self._at_file(image)
        pixels = self.decoder.decode(image)
        is_array = isinstance(image, np.ndarray)
        return digest_pixels(image if is_array else pixels) if self.has_prints else None, pixels.shape[:2], pixels

    def _at_file(self, path):
        if self.has_prints:
            with opened_with_print(path, self.held_bytes) as (file, digest):
                return digest, *self._at_opened(file, path)
        size_of_file(path)
        with open(path, "rb") as file:
            return None, *self._at_opened(file, path)

    def _at_opened(self, file, path):
        """Returns height and width of an image file and its pixels, at a fraction of the size if its format allows."""
        if self.decoder.reads_as_array(path):
            pixels = self.decoder.decode_array(file, path)
            return pixels.shape[:2], pixels
        with Image.open(file) as opened, self.decoder.patience_with(opened):
            width, height = opened.size
            # A JPEG file at a fraction of its size is faster to decode, and all its bytes are read all the same.
            opened.draft("L" if self.decoder.channels == 3 else None, (THUMBNAIL, THUMBNAIL))
            return (height, width), self.decoder.decode(opened)


def _thumbnail(pixels):
    """Gray levels of pixels `(height, width, channels)`, at the size of thumbnails."""
    if pixels.shape[-1] != 3:
        pixels = pixels.mean(axis=-1, keepdims=True).repeat(3, axis=-1)
    image = Image.fromarray(pixels.astype(np.uint8, copy=False)).convert("L")
    size = (THUMBNAIL, THUMBNAIL)
    return np.asarray(image if image.size == size else image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2))


def inspect_in_steps(source, decoder, **wanted):
    """Does what `inspect_images` does and shows the progress."""
    with console.step("Checking images", len(source)) as advance:
        return inspect_images(source, decoder, advance, **wanted)


def refuse_unreadable(failures, count, on_bad_image):
    """Raises or tells which images cannot be read.

    Args:
        failures: Sequence of `(index, name, reason)`.
        count: Number of images that were tried.
        on_bad_image: `"raise"`, or `"skip"` to go on without the unreadable ones.

    Raises:
        ImageReadError: With all unreadable images, for `"raise"` or if none is left.
    """
    if not failures:
        return
    error = ImageReadError(failures, count)
    if on_bad_image == "raise" or len(failures) == count:
        raise error
    console.note(f"Skipped {len(failures):,} of {plural(count, 'image')} that could not be read:\n{error.listing}")
