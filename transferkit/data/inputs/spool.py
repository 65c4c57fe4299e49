"""Images that come one after another: kept in memory while they fit, and in a temporary file from then on."""

import tempfile

import numpy as np

from transferkit._utils.memory import free_memory

_MEMORY_SHARE = 0.25  # of the free memory


class Spool:
    """Collects arrays `(height, width, channels)`, at best all of one shape.

    Whole numbers from 0 to 255 are kept as uint8, whatever type they come in.
    """

    def __init__(self):
        self._images = []
        self._bytes = 0
        self._most = _MEMORY_SHARE * free_memory()
        self._file = None
        self._count = 0

    def extend(self, images):
        """Adds images `(n, height, width, channels)`."""
        for image in _smallest(images):
            self._add(image)

    def append(self, image):
        """Adds one image."""
        self._add(_smallest(image))

    def collect(self):
        """Returns all images, once: an array, perhaps mapped from a file, or a list if they have several shapes."""
        if self._file is not None:
            self._flush()
            with self._file:  # the mapping stays, and the space on disk is free when it goes
                return np.memmap(self._file, self._dtype, "r+", shape=(self._count, *self._shape))
        if len({image.shape for image in self._images}) == 1:
            return np.stack(self._images)
        return self._images

    def _add(self, image):
        # A copy: what it is a part of, and the type it came in, may be much larger.
        self._images.append(np.array(image))
        self._bytes += image.nbytes
        if self._bytes > self._most:
            self._flush()

    def __del__(self):
        if self._file is not None:
            self._file.close()

    def _flush(self):
        """Moves what is in memory to the file."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="transferkit-")  # noqa: SIM115 - `collect` closes it
            self._shape = self._images[0].shape
            self._dtype = np.result_type(*{image.dtype for image in self._images})
        for image in self._images:
            if image.shape != self._shape or not np.can_cast(image.dtype, self._dtype):
                raise ValueError(
                    "The stream gives more images than memory holds, and these must all have one shape and type. "
                    f"Received: {self._shape} {self._dtype}, then {image.shape} {image.dtype}. Resize them before."
                )
            self._file.write(np.ascontiguousarray(image, self._dtype).tobytes())
        self._file.flush()
        self._count += len(self._images)
        self._images, self._bytes = [], 0


def _smallest(pixels):
    if pixels.dtype.kind not in "fiu" or pixels.dtype == np.uint8:
        return pixels
    whole = pixels.astype("uint8")
    return whole if np.array_equal(whole, pixels) else pixels
