"""A segment: some rows and the prints they belong to, in one file that is complete from the moment it has its name.

The file is three `.npy` files one behind the other: rows, which `np.load(path, mmap_mode="r")` opens, their prints, and
checksums, each of a block of rows and prints.
"""

import os
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from zlib import crc32

import numpy as np

from transferkit._utils.fingerprints import PRINT_BYTES

LEFTOVER = ".part"  # ends the name of what is still being written

_BLOCK_BYTES = 1 << 16  # of rows under one checksum: so little is read to look up a few
_CHECKSUM = np.dtype("<u4")  # a CRC: it sees damage as surely as a hash, at several times the speed


@dataclass(frozen=True, eq=False)
class Segment:
    """Rows that do not change any more.

    Args:
        prints: Prints `(n, 16)` uint8.
        rows: Rows `(n, *row_shape)`; those of a file are mapped from it.
        checksums: `(blocks,)` uint32, as they stand in the file; `None` for rows that were never there.
    """

    prints: np.ndarray
    rows: np.ndarray
    checksums: np.ndarray | None = None
    _verified: set[int] = field(default_factory=set, init=False, repr=False)

    @property
    def num_bytes(self):
        """Bytes that it takes."""
        return self.prints.nbytes + self.rows.nbytes

    def is_intact(self, positions):
        """Whether the rows at `positions` are what was written. Each is read for that once."""
        if self.checksums is None:
            return True
        length = _block_length(self.rows)
        for block in np.unique(positions // length).tolist():
            if block not in self._verified:
                part = slice(block * length, (block + 1) * length)
                if _checksum([self.rows[part]], [self.prints[part]]) != self.checksums[block]:
                    return False
                self._verified.add(block)
        return True


def _block_length(rows):
    """Number of rows under one checksum."""
    return max(1, _BLOCK_BYTES // max(1, rows[:1].nbytes))


def _checksum(*columns):
    value = 0
    for parts in columns:
        for part in parts:
            value = crc32(_as_bytes(part), value)
    return value


def _checksums(*columns):
    """Checksums of all blocks of columns, each of which is a sequence of arrays."""
    length, count = _block_length(columns[0][0]), sum(map(len, columns[0]))
    blocks = ([_part(column, start, start + length) for column in columns] for start in range(0, count, length))
    return np.array([_checksum(*block) for block in blocks], _CHECKSUM)


def _part(arrays, start, stop):
    """What of arrays in a row lies between two positions."""
    for array in arrays:
        if start < len(array) and stop > 0:
            yield array[max(start, 0) : stop]
        start, stop = start - len(array), stop - len(array)


def _as_bytes(array):
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


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
            _write_array(file, [_checksums(rows, prints)])
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
        file.write(_as_bytes(part))


def read_segment(path, row_shape, dtype):
    """Opens a segment and maps its rows, which `Segment.is_intact` verifies once they are wanted.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is not a whole segment of such rows.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        count, start = _read_header(file, row_shape, dtype)
        file.seek(start + count * np.dtype(dtype).itemsize * int(np.prod(row_shape)))
        num_prints, start_of_prints = _read_header(file, (PRINT_BYTES,), np.uint8)
        file.seek(start_of_prints + num_prints * PRINT_BYTES)
        num_blocks, start_of_checksums = _read_header(file, (), _CHECKSUM)
        if count != num_prints or size != start_of_checksums + num_blocks * _CHECKSUM.itemsize:
            raise ValueError(f"{count} rows and {num_prints} prints do not fill {size} bytes.")
        checksums = np.fromfile(file, _CHECKSUM, num_blocks)
        file.seek(start_of_prints)
        prints = np.fromfile(file, np.uint8, count * PRINT_BYTES).reshape(count, PRINT_BYTES)
        # A plain array is faster to index than a `memmap`.
        rows = np.asarray(np.memmap(file, dtype, "r", start, (count, *row_shape)))
    if num_blocks != -(-count // _block_length(rows)):
        raise ValueError(f"{count} rows and {num_blocks} checksums do not belong together.")
    return Segment(prints, rows, checksums)


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
