"""Names made of content: what is equal has an equal name, wherever it lies and whatever it is called."""

import os
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b, file_digest

import numpy as np

from transferkit._utils.failures import reason_of
from transferkit.exceptions import ImageReadError

PRINT_BYTES = 16
"""Length of a print. Two of a thousand million different images share one with a chance below 1 in 10²⁰."""

_CHUNK = 32  # images that one thread takes at a time


def fingerprint(*parts):
    """Names what a computation depends on.

    Args:
        parts: Strings, bytes, numbers, booleans, `None`, NumPy arrays and scalars, and tuples, lists and dicts of
            those. Kind and length count, so 1, `"1"` and `True` differ, and so do `("ab", "c")` and `("a", "bc")`. Only
            tuples and lists are one kind, since JSON makes lists of tuples, and the order in a dict does not count.

    Returns:
        32 hexadecimal digits.

    Raises:
        TypeError: If a part is of another kind.

    Example:
        >>> fingerprint("features", 224) == fingerprint("features", "224")
        False
    """
    return _digest(parts).hex()


def _digest(part):
    """The print of one part. That of a container is made of the prints of what it holds, which are all equally long."""
    if isinstance(part, np.ndarray | np.generic):
        return _digest_array(np.asarray(part))
    if isinstance(part, tuple | list):
        return _hash(b"sequence", *map(_digest, part))
    if isinstance(part, dict):
        return _hash(b"dict", *sorted(_digest(key) + _digest(value) for key, value in part.items()))
    return _hash(*_kind_and_bytes(part))


def _kind_and_bytes(part):
    match part:
        case None:
            return b"none", b""
        case bool():
            return b"bool", bytes([part])
        case int():
            return b"int", hex(part).encode()
        case float():
            return b"float", part.hex().encode()
        case str():
            # Names of files that are not UTF-8 hold surrogates.
            return b"str", part.encode("utf-8", "surrogatepass")
        case bytes():
            return b"bytes", part
    raise TypeError(
        "A fingerprint is made of strings, bytes, numbers, booleans, None and arrays, and of tuples, lists and dicts "
        f"of those. Received: {type(part).__name__}."
    )


def _digest_array(array):
    if array.dtype.hasobject:
        raise TypeError(f"A fingerprint needs an array of plain values. Received: dtype {array.dtype}.")
    values = np.ascontiguousarray(array).reshape(-1)
    return _hash(b"array", f"{array.dtype} {array.shape}\n".encode(), values.view(np.uint8) if values.size else b"")


def _hash(kind, *pieces):
    digest = _hasher(kind)
    for piece in pieces:
        digest.update(piece)
    return digest.digest()


def _hasher(kind):
    return blake2b(digest_size=PRINT_BYTES, person=kind)


def fingerprint_images(images, read, advance=lambda count: None):
    """Prints of images, by what they show. A file's name and time do not count.

    Args:
        images: One array `(n, height, width, channels)`, or a sequence of paths, arrays or PIL images. An array has the
            same print alone and as a part of a larger one. A file and the array of its pixels have different ones.
        read: Function from anything else, such as a PIL image, to an array.
        advance: Called with the number of images done since its last call.

    Returns:
        Prints `(n, 16)` uint8.

    Raises:
        ImageReadError: With all images that cannot be read.
    """
    prints = np.empty((len(images), PRINT_BYTES), np.uint8)
    failures = []

    def fill(start):
        indices = range(start, min(start + _CHUNK, len(images)))
        for index in indices:
            image = images[index]
            try:
                prints[index] = np.frombuffer(_digest_image(image, read), np.uint8)
            except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises
                name = str(image) if isinstance(image, str | os.PathLike) else f"image {index}"
                failures.append((index, name, reason_of(error)))
        return len(indices)

    # Hashing and reading both release the interpreter's lock.
    with ThreadPoolExecutor() as pool:
        for count in pool.map(fill, range(0, len(images), _CHUNK)):
            advance(count)
    if failures:
        raise ImageReadError(sorted(failures), len(images))
    return prints


def compact_prints(prints):
    """Shortens prints `(n, 16)` to half: sorted uint64 `(m,)`, each once, to tell whether an image is among them.

    An image that is not has a print of these by a chance of about `m` in 10¹⁹.
    """
    return np.unique(np.ascontiguousarray(prints[:, : PRINT_BYTES // 2]).view("<u8").ravel())


def are_among(prints, compact):
    """Tells which prints `(n, 16)` are among those that `compact_prints` gave: bool `(n,)`."""
    return np.isin(np.ascontiguousarray(prints[:, : PRINT_BYTES // 2]).view("<u8").ravel(), compact)


def _digest_image(image, read):
    if isinstance(image, str | os.PathLike):
        with open(image, "rb", buffering=0) as file:
            return digest_file(file)
    return digest_pixels(image if isinstance(image, np.ndarray) else np.asarray(read(image)))


def digest_file(content):
    """The print of a file, 16 bytes: of `content`, all its bytes, or a binary file object that is read to its end."""
    return _hash(b"file", content) if isinstance(content, bytes) else file_digest(content, _file_hasher).digest()


def digest_pixels(array):
    """The print of an image that is an array, 16 bytes: of its values, dtype and shape."""
    return _digest_array(array)


def _file_hasher():
    return _hasher(b"file")
