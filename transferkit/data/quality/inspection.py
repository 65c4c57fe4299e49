"""One look at every image: whether it can be read, how large it is, and what tells it from others."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from io import BytesIO

import numpy as np
from PIL import Image

from transferkit._utils import console
from transferkit._utils.failures import reason_of
from transferkit._utils.fingerprints import PRINT_BYTES, digest_file, digest_pixels
from transferkit._utils.quiet import warnings_filtered
from transferkit._utils.text import plural
from transferkit.data.readers import is_array_file, patience_with, read_array, read_pixels, size_of_file
from transferkit.exceptions import ImageReadError

THUMBNAIL = 32
"""Width and height of thumbnails in pixels: what perceptual hashes are made of."""

_CHUNK = 32  # images that one thread takes at a time
_HELD_BYTES = 2**26  # larger files are not held in memory as a whole


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


def inspect_images(source, advance=lambda count: None, *, channels=3, has_prints=True, has_thumbnails=False):
    """Reads every image of a source once, in parallel.

    What passes here can be read by `read_pixels`, which is what decodes: JPEG files at a fraction of their size, which
    reads every byte of them but makes fewer pixels; all others as a whole.

    Args:
        source: A `Source`.
        advance: Called with the number of images done since its last call.
        channels: Number of channels that images must have.
        has_prints: Whether prints are wanted.
        has_thumbnails: Whether thumbnails are wanted.

    Returns:
        An `Inspection`.
    """
    count = len(source)
    sizes = np.zeros((count, 2), np.int64)
    prints = np.zeros((count, PRINT_BYTES), np.uint8) if has_prints else None
    thumbnails = np.zeros((count, THUMBNAIL, THUMBNAIL), np.uint8) if has_thumbnails else None

    def look(index):
        digest, size, pixels = _look_at(source.images[index], channels, has_prints)
        if has_prints:
            prints[index] = np.frombuffer(digest, np.uint8)
        if has_thumbnails:
            thumbnails[index] = _thumbnail(pixels)
        sizes[index] = size

    def reasons(start):
        indices = range(start, min(start + _CHUNK, count))
        return [(index, _reason_against(look, index)) for index in indices]

    failures = []
    with _bombs_refused(), ThreadPoolExecutor(os.cpu_count()) as pool:
        for chunk in pool.map(reasons, range(0, count, _CHUNK)):
            failures += [(index, source.name(index), reason) for index, reason in chunk if reason]
            advance(len(chunk))
    return Inspection(tuple(failures), sizes, prints, thumbnails)


def _bombs_refused():
    """Makes Pillow refuse images beyond `PIL.Image.MAX_IMAGE_PIXELS`, in all threads, and be quiet about the rest."""
    return warnings_filtered(("error", Image.DecompressionBombWarning), ("ignore", Warning))


def _reason_against(look, index):
    """Why an image cannot be read, or `None`."""
    try:
        look(index)
    except Exception as error:  # whatever a decoder raises on broken data means the same here
        return reason_of(error)


def _look_at(image, channels, has_prints):
    """Returns the print of an image, or `None`, its height and width, and its pixels, which may be fewer."""
    if isinstance(image, str | os.PathLike):
        return _look_at_file(image, channels, has_prints)
    pixels = read_pixels(image, channels)
    is_array = isinstance(image, np.ndarray)
    return digest_pixels(image if is_array else pixels) if has_prints else None, pixels.shape[:2], pixels


def _look_at_file(path, channels, has_prints):
    size = size_of_file(path)
    with open(path, "rb") as file:
        if not has_prints:
            return None, *_decode(file, path, channels)
        if size > _HELD_BYTES:
            digest = digest_file(file)
            file.seek(0)
            return digest, *_decode(file, path, channels)
        content = file.read()
    return digest_file(content), *_decode(BytesIO(content), path, channels)


def _decode(file, path, channels):
    """Returns height and width of an image file and its pixels, at a fraction of the size if the format allows it."""
    if is_array_file(path, channels):
        pixels = read_array(file, path, channels)
        return pixels.shape[:2], pixels
    with Image.open(file) as opened, patience_with(opened):
        width, height = opened.size
        opened.draft("L" if channels == 3 else None, (THUMBNAIL, THUMBNAIL))
        return (height, width), read_pixels(opened, channels)


def _thumbnail(pixels):
    """Gray levels of pixels `(height, width, channels)`, at the size of thumbnails."""
    if pixels.shape[-1] != 3:
        pixels = pixels.mean(axis=-1, keepdims=True).repeat(3, axis=-1)
    image = Image.fromarray(pixels.astype(np.uint8, copy=False)).convert("L")
    size = (THUMBNAIL, THUMBNAIL)
    return np.asarray(image if image.size == size else image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2))


def find_unreadable(source, advance=lambda count: None, channels=3):
    """Reads every image of a source once and collects those that cannot be read.

    Args:
        source: A `Source`. Images of one array were looked at when it was made.
        advance: Called with the number of images done since its last call.
        channels: Number of channels that images must have.

    Returns:
        Tuple of `(index, name, reason)`, in order.
    """
    return () if source.is_uniform else inspect_images(source, advance, channels=channels, has_prints=False).failures


def keep_readable(source, on_bad_image, channels=3):
    """Checks that every image of a source can be read.

    Args:
        source: A `Source`.
        on_bad_image: `"raise"`, or `"skip"` to go on without the unreadable ones.
        channels: Number of channels that images must have.

    Returns:
        The source, without its unreadable images.

    Raises:
        ImageReadError: With all unreadable images, for `"raise"` or if none is left.
    """
    if source.is_uniform:
        return source
    inspection = inspect_in_steps(source, channels=channels, has_prints=False)
    refuse_unreadable(inspection, on_bad_image)
    return source.take(inspection.readable) if inspection.failures else source


def inspect_in_steps(source, **wanted):
    """Does what `inspect_images` does and shows the progress."""
    with console.step("Checking images", len(source)) as advance:
        return inspect_images(source, advance, **wanted)


def refuse_unreadable(inspection, on_bad_image):
    """Raises or tells which images cannot be read; see `keep_readable`."""
    failures, count = inspection.failures, len(inspection.sizes)
    if not failures:
        return
    error = ImageReadError(failures, count)
    if on_bad_image == "raise" or len(failures) == count:
        raise error
    console.note(f"Skipped {len(failures):,} of {plural(count, 'image')} that could not be read:\n{error.listing}")


def without_broken(work, sources, on_bad_image, channels=3):
    """Does what takes long with images that were checked, even if some of them break or vanish meanwhile.

    Args:
        work: Function of the sources. It raises `ImageReadError` where an image cannot be read any more.
        sources: Sequence of `Source` or `None`.
        on_bad_image: `"raise"`, or `"skip"` to begin again without the images that broke.
        channels: Number of channels that images must have.

    Returns:
        What `work` returns, and a list of the rows of each source that it was given, or `None`.

    Raises:
        ImageReadError: With all images that are broken by then, for `"raise"` or if none is left.
    """
    rows = [None if source is None else np.arange(len(source)) for source in sources]
    while True:
        given = [source if row is None or len(row) == len(source) else source.take(row)
                 for source, row in zip(sources, rows, strict=True)]  # fmt: skip
        try:
            return work(*given), rows
        except ImageReadError as error:
            kept = [_unbroken(source, error, on_bad_image, channels) for source in given]
            if all(row is None for row in kept):  # nobody can tell which it was
                raise
        console.note("They broke after they had been checked. Starting again without them.")
        rows = [row if new is None else row[new] for row, new in zip(rows, kept, strict=True)]


def _unbroken(source, error, on_bad_image, channels):
    """Looks at images again after an error. Returns indices of those that can be read; `None`: all of them."""
    if source is None or source.is_uniform:
        return None
    inspection = inspect_in_steps(source, channels=channels, has_prints=False)
    failures = {index: (index, name, reason) for index, name, reason in inspection.failures}
    reasons = {name: reason for _, name, reason in error.failures}
    for index, path in enumerate(source.paths):
        if path in reasons:  # perhaps it can be read again, for the moment
            failures.setdefault(index, (index, path, reasons[path]))
    if not failures:
        return None
    inspection = replace(inspection, failures=tuple(failures[index] for index in sorted(failures)))
    refuse_unreadable(inspection, on_bad_image)
    return inspection.readable
