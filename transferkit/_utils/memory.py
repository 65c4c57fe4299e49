"""How much memory is left, and what becomes of it once it was used."""

from pathlib import Path

import numpy as np

_LARGEST_BLOCK = 30 << 20  # bytes: the C library of Linux learns from blocks of up to 32 MiB
_UNKNOWN = 4 << 30  # bytes assumed where the system does not say


def free_memory():
    """Returns the bytes of memory that a process may take without pushing others out."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return _UNKNOWN
    values = dict(line.split(":", 1) for line in lines)
    return int(values["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in values else _UNKNOWN


def keep_freed_memory():
    """Lets the process keep memory that it frees, for the next block of about the same size."""
    # The C library of Linux would give the memory of every image back to the system, and fetching it again for the
    # next, page by page, can take longer than decoding. It stops that for blocks up to the size of the largest one that
    # was freed so far. True of glibc 2.26 and later; it may go when NumPy or TensorFlow keep memory themselves.
    np.empty(_LARGEST_BLOCK, "uint8")
