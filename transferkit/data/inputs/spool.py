"""Images that come one after another: kept in memory while they fit, and in a temporary file from then on."""

import tempfile

import numpy as np

from transferkit._utils.memory import free_memory

_MEMORY_SHARE = 0.25  # of the free memory
_OVERHEAD = 128  # bytes that an array takes beside its values


class Spool:
    """Collects arrays `(height, width, channels)`, at best all of one shape.

    Whole numbers from 0 to 255 are kept as uint8, whatever type they come in.

    Attributes:
        num_bytes: What the images take, in memory and on disk.
        has_floats: Whether any image came as floats.
        brightest: The largest value of all images, or `None` while there are no numbers.
    """

    def __init__(self):
        self.num_bytes = 0
        self.has_floats = False
        self.brightest = None
        self._images = []
        self._bytes = 0
        self._most = _MEMORY_SHARE * free_memory()
        self._file = None
        self._count = 0

    def __len__(self):
        return self._count + len(self._images)

    @property
    def is_on_disk(self):
        """Whether the images were too many for the memory."""
        return self._file is not None

    def extend(self, images):
        """Adds images `(n, height, width, channels)`."""
        self._see(images)
        for image in _smallest(images):
            self._add(image)

    def append(self, image):
        """Adds one image."""
        self._see(image)
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

    def _see(self, pixels):
        """Notes what will not be seen any more once whole numbers are bytes."""
        if pixels.dtype.kind in "fiu" and pixels.size:
            brightest = float(pixels.max())
            self.brightest = brightest if self.brightest is None else max(self.brightest, brightest)
            self.has_floats |= pixels.dtype.kind == "f"

    def _add(self, image):
        # A copy: what it is a part of, and the type it came in, may be much larger.
        self._images.append(np.array(image))
        self._bytes += image.nbytes + _OVERHEAD
        self.num_bytes += image.nbytes
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
    with np.errstate(invalid="ignore"):  # NaN is refused later, by the check of all arrays
        whole = pixels.astype("uint8")
    return whole if np.array_equal(whole, pixels) else pixels
