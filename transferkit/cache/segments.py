"""A segment: some rows and the prints they belong to, in one file that is complete from the moment it has its name.

The file is two `.npy` files one behind the other, rows first, so `np.load(path, mmap_mode="r")` opens the rows.
"""

import os
import uuid
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from transferkit._utils.fingerprints import PRINT_BYTES

LEFTOVER = ".part"  # ends the name of what is still being written


@dataclass(frozen=True, eq=False)
class Segment:
    """Rows that do not change any more.

    Args:
        prints: Prints `(n, 16)` uint8.
        rows: Rows `(n, *row_shape)`; those of a file are mapped from it.
    """

    prints: np.ndarray
    rows: np.ndarray

    @property
    def num_bytes(self):
        """Bytes that it takes."""
        return self.prints.nbytes + self.rows.nbytes


def write_segment(path, batches):
    """Writes a segment, all or nothing.

    It is not written through a memory map: a disk that is full would then end the process by a signal.

    Args:
        path: Where to.
        batches: Pairs of prints `(n, 16)` and rows `(n, *row_shape)`.

    Raises:
        OSError: If that was not possible. Nothing is left behind.
    """
    temporary = path.with_name(uuid.uuid4().hex + LEFTOVER)
    prints, rows = zip(*batches, strict=True)
    try:
        with open(temporary, "wb") as file:
            _write_array(file, rows)
            _write_array(file, prints)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def _write_array(file, parts):
    """Writes arrays as one array in the `.npy` format."""
    shape = (sum(map(len, parts)), *parts[0].shape[1:])
    header = {"descr": parts[0].dtype.str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    for part in parts:
        file.write(np.ascontiguousarray(part).reshape(-1).view(np.uint8))


def read_segment(path, row_shape, dtype):
    """Opens a segment and maps its rows.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is not a whole segment of such rows.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        count, start = _read_header(file, row_shape, dtype)
        end = start + count * np.dtype(dtype).itemsize * int(np.prod(row_shape))
        file.seek(end)
        num_prints, start_of_prints = _read_header(file, (PRINT_BYTES,), np.uint8)
        if count != num_prints or size != start_of_prints + count * PRINT_BYTES:
            raise ValueError(f"{count} rows and {num_prints} prints do not fill {size} bytes.")
        prints = np.fromfile(file, np.uint8, count * PRINT_BYTES).reshape(count, PRINT_BYTES)
        rows = np.memmap(file, dtype, "r", start, (count, *row_shape))
    return Segment(prints, np.asarray(rows))  # a plain array is faster to index than a `memmap`


def count_rows(path):
    """Returns the number of rows in the segment at `path`, or 0 where there is none."""
    try:
        with open(path, "rb") as file:
            return _read_shape(file)[0][0]
    except (OSError, ValueError):
        return 0


def _read_header(file, row_shape, dtype):
    """Checks the header of an array. Returns its number of rows and the position of its data."""
    shape, fortran_order, found = _read_shape(file)
    if shape[1:] != tuple(row_shape) or found != dtype or fortran_order:
        raise ValueError(f"Expected rows {row_shape} of {dtype}, found {shape} of {found}.")
    if not shape or not 0 < shape[0] <= os.fstat(file.fileno()).st_size:
        raise ValueError(f"An array {shape} cannot be in a file of this size.")
    return shape[0], file.tell()


def _read_shape(file):
    """Reads the header of an array. Returns its shape, whether it is in Fortran's order, and its dtype."""
    try:
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError("Expected version 1.0 of the .npy format.")
        shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(file)
    except OSError:
        raise
    except Exception as error:  # NumPy raises many kinds for a header that it cannot parse
        raise ValueError(f"No header of an array: {error}") from error
    return shape, fortran_order, dtype
