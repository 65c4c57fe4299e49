"""Where segments are kept: on disk or in memory. Both answer to the same calls."""

import math
import os
import re
import time
import uuid
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transferkit.cache.folder import read_json, update_json
from transferkit.cache.segments import LEFTOVER, Segment, count_rows, read_segment, write_segment

_ABOUT = "table.json"
_DAY = 24 * 3600  # seconds
_NAME = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True)
class Entry:
    """What has to be known of one segment to evict it."""

    table: str
    name: str
    num_bytes: int
    last_used: float


class Memory:
    """Segments in memory, for as long as this object lives."""

    def __init__(self):
        self._abouts = {}
        self._segments = {}  # (table, name) → segment
        self._last_used = {}  # the same keys → time

    def put(self, table, about, batches):
        """Keeps a new segment. Returns its name and the segment."""
        name = uuid.uuid4().hex
        segment = _join(batches)
        self._abouts[table] = about
        self._last_used[table, name] = time.time()
        self._segments[table, name] = segment
        return name, segment

    def open(self, table, known, row_shape, dtype):
        """Returns the segments of a table whose names are not `known`, by name."""
        found = list(self._segments.items())
        return {name: segment for (owner, name), segment in found if owner == table and name not in known}

    def touch(self, table, name):
        """Notes that a segment was used."""
        if (table, name) in self._segments:
            self._last_used[table, name] = time.time()

    def entries(self):
        """Returns an `Entry` for each segment."""
        found = list(self._segments.items())
        return [Entry(*key, segment.num_bytes, self._last_used.get(key, 0.0)) for key, segment in found]

    def describe(self, table):
        """Returns what was said about a table when it was filled."""
        return self._abouts.get(table, {})

    def count(self, entry):
        """Returns the number of rows of a segment."""
        segment = self._segments.get((entry.table, entry.name))
        return 0 if segment is None else len(segment.rows)

    def remove(self, entry):
        """Removes a segment. Returns the bytes that this freed."""
        self._last_used.pop((entry.table, entry.name), None)
        return entry.num_bytes if self._segments.pop((entry.table, entry.name), None) else 0

    def sweep(self, everything=False):
        """Does nothing: only files leave something behind."""
        return 0


class Disk:
    """Segments in a folder, which several processes may use at once: a subfolder for each table.

    Nothing else in that folder is ever touched.
    """

    def __init__(self, folder):
        self.folder = folder
        self._damaged = set()

    def put(self, table, about, batches):
        """Writes a new segment. Returns its name and the segment.

        Raises:
            OSError: If that was not possible.
        """
        name = uuid.uuid4().hex
        folder = self.folder / table
        folder.mkdir(parents=True, exist_ok=True)
        if self.describe(table) != about:
            update_json(folder, _ABOUT, about)
        write_segment(self._path(table, name), batches)
        rows = batches[0][1]
        try:
            return name, read_segment(self._path(table, name), rows.shape[1:], rows.dtype)
        except FileNotFoundError:  # another process had no room for it
            return name, _join(batches)

    def open(self, table, known, row_shape, dtype):
        """Returns the segments of a table whose names are not `known`, by name. Damaged ones are removed."""
        names = [path.stem for path in _files(self.folder / table, ".npy")]
        opened = {name: self._open(table, name, row_shape, dtype) for name in names if name not in known}
        return {name: segment for name, segment in opened.items() if segment is not None}

    def _open(self, table, name, row_shape, dtype):
        path = self._path(table, name)
        try:
            return read_segment(path, row_shape, dtype)
        except OSError:  # another process has removed it, or it belongs to another user
            return None
        except ValueError as error:
            self.discard(table, name, str(error))
            return None

    def discard(self, table, name, reason):
        """Removes a damaged segment, and says so."""
        path = self._path(table, name)
        _unlink(path)
        if name not in self._damaged:
            self._damaged.add(name)
            warnings.warn(
                f"{str(path)!r} is damaged, so the activations in it are computed again. {reason}", stacklevel=2
            )

    def touch(self, table, name):
        """Notes that a segment was used."""
        with suppress(OSError):  # it may be gone, or belong to another user
            os.utime(self._path(table, name))

    def entries(self):
        """Returns an `Entry` for each segment."""
        return [
            Entry(folder.name, path.stem, status.st_size, status.st_mtime)
            for folder in self._tables()
            for path in _files(folder, ".npy")
            if (status := _status(path))
        ]

    def describe(self, table):
        """Returns what was said about a table when it was filled."""
        return read_json(self.folder / table, _ABOUT)

    def count(self, entry):
        """Returns the number of rows of a segment."""
        return count_rows(self._path(entry.table, entry.name))

    def remove(self, entry):
        """Removes a segment. Returns the bytes that this freed.

        Processes that have its rows mapped can go on reading them. On Windows they keep it from being removed.
        """
        return entry.num_bytes if _unlink(self._path(entry.table, entry.name)) else 0

    def sweep(self, everything=False):
        """Removes what writers left that were killed. Returns the bytes that this freed.

        Args:
            everything: Also what is younger than a day, and the folders of empty tables.
        """
        newest = math.inf if everything else time.time() - _DAY
        tables = self._tables()
        freed = sum(_remove_leftovers(folder, newest) for folder in [self.folder, *tables])
        for folder in tables if everything else []:
            _remove_empty_table(folder)
        return freed

    def _path(self, table, name):
        return self.folder / table / f"{name}.npy"

    def _tables(self):
        return [path for path in _list(self.folder) if _NAME.fullmatch(path.name) and path.is_dir()]


def _join(batches):
    prints, rows = zip(*batches, strict=True)
    return Segment(np.concatenate(prints), np.concatenate(rows))


def _list(folder):
    try:
        return [Path(entry) for entry in os.scandir(folder)]
    except OSError:
        return []


def _files(folder, suffix):
    return [path for path in _list(folder) if path.suffix == suffix and _NAME.fullmatch(path.stem)]


def _status(path):
    try:
        return path.stat()
    except OSError:
        return None


def _unlink(path):
    """Removes a file, and says whether it is gone."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return False
    return True


def _remove_leftovers(folder, newest):
    """Removes what was last written before `newest`. Returns the bytes that this freed."""
    found = [(path, _status(path)) for path in _files(folder, LEFTOVER)]
    old = [(path, status) for path, status in found if status and status.st_mtime < newest]
    return sum(status.st_size for path, status in old if _unlink(path))


def _remove_empty_table(folder):
    if not _files(folder, ".npy"):
        _unlink(folder / _ABOUT)
        with suppress(OSError):  # somebody may have put something into it
            folder.rmdir()
