"""All rows that one network front has computed, by the prints of the images they were computed from."""

import threading
import time
from contextlib import contextmanager

import numpy as np

from transferkit._utils.fingerprints import PRINT_BYTES
from transferkit.cache.index import Index, as_keys
from transferkit.cache.rows import Rows
from transferkit.cache.segments import Segment

_TOO_SMALL_SHARE = 0.01  # of the columns: networks as they are have fewer by a hundred times


class FeatureTable:
    """Rows of one shape, to be looked up by print. `Store.table` makes it.

    Args:
        store: The `Store` that it belongs to.
        name: Name of the table in its places.
        about: Description that is stored with it, a dict for JSON.
        row_shape: Shape of one row.
        dtype: The float dtype that rows are stored in.
    """

    def __init__(self, store, name, about, row_shape, dtype):
        self.row_shape = row_shape
        self.dtype = dtype
        self.names_in_use = set()
        """Names of the segments that hold what was asked for or written here: they stay."""
        self._store = store
        self._name = name
        self._about = about
        self._opened = {}, Index([])  # name → (place, segment), and where the prints are in those
        self._lock = threading.Lock()

    def missing(self, prints):
        """Finds out what has to be computed.

        Args:
            prints: Prints `(n, 16)`, which may hold a print several times.

        Returns:
            Indices into `prints`, in order: the first place of each print that has no row yet.
        """
        found, *_ = self._find(prints)
        indices = np.flatnonzero(~found)
        _, first = np.unique(as_keys(prints)[indices], return_index=True)
        return indices[np.sort(first)]

    @contextmanager
    def writer(self, **limits):
        """Opens the table for writing: `with table.writer() as writer: writer.append(prints, rows)`.

        What was appended can be looked up after the block, however that ended, and during it from time to time.

        Args:
            **limits: `max_bytes` and `max_seconds` of a segment; see `Writer`.

        Yields:
            A `Writer`.
        """
        writer = Writer(self, self._store, **limits)
        try:
            yield writer
        finally:
            try:
                writer.commit()
            except KeyboardInterrupt:  # pressed again, or only now
                writer.commit()
                raise

    def rows(self, prints):
        """Looks up rows.

        Args:
            prints: Prints `(n, 16)`, in any order and any number of times.

        Returns:
            `Rows`, one for each print. They can be read even after they were removed from the store.

        Raises:
            KeyError: If a print has no row.
        """
        found, which, positions, segments = self._find(prints)
        if not found.all():
            raise KeyError(f"{np.count_nonzero(~found):,} of {len(found):,} prints have no row in this table.")
        return Rows(segments, which, positions, self.row_shape, owner=self)

    def put(self, place, batches):
        """Makes a segment of pairs of prints and rows in a place. Raises `OSError` if it could not be written."""
        name, segment = place.put(self._name, self._about, batches)
        self.names_in_use.add(name)
        self._add(place, {name: segment})

    def _find(self, prints):
        """Looks prints up in segments that are intact where they have them."""
        for place in self._store.places:
            self._add(place, place.open(self._name, self._opened[0], self.row_shape, self.dtype))
        while True:
            opened, index = self._opened
            found, which, positions = index.find(prints)
            opened = list(opened.items())
            used = np.unique(which[found]).tolist()
            damaged = [n for n in used if not opened[n][1][1].is_intact(positions[found & (which == n)])]
            if not damaged:
                break
            self._discard([(name, place) for name, (place, _) in (opened[n] for n in damaged)])
        for name, (place, _) in (opened[n] for n in used):
            place.touch(self._name, name)
            self.names_in_use.add(name)
        return found, which, positions, [segment for _, (_, segment) in opened]

    def _add(self, place, segments):
        with self._lock:  # rows may be written in one thread and looked up in another
            opened = self._opened[0]
            self._set(opened | {name: (place, found) for name, found in segments.items() if name not in opened})

    def _discard(self, damaged):
        """Removes segments that are not what was written. Their names stay, so that they are not opened again."""
        for name, place in damaged:
            place.discard(self._name, name, "Its checksums do not fit.")
        with self._lock:
            self._set(self._opened[0] | {name: (place, _NOTHING) for name, place in damaged})

    def _set(self, opened):
        if opened != self._opened[0]:
            # Exchanged as a whole: another thread always finds segments and an index that belong together.
            self._opened = opened, Index([segment for _, segment in opened.values()])


_NOTHING = Segment(np.empty((0, PRINT_BYTES), np.uint8), np.empty(0, np.float32))


class Writer:
    """Puts rows in a table. `FeatureTable.writer` makes it.

    Args:
        table: The `FeatureTable`.
        store: Its `Store`.
        max_bytes: A segment that is as large is closed.
        max_seconds: One that is as old is closed, too: what is open would be lost if the process were killed.
    """

    def __init__(self, table, store, max_bytes=32 << 20, max_seconds=120.0):
        self.max_bytes = max_bytes
        self.max_seconds = max_seconds
        self._table = table
        self._store = store
        self._places = list(store.places)
        self._start_segment()

    def append(self, prints, rows):
        """Adds rows.

        Args:
            prints: Prints `(n, 16)`.
            rows: Rows `(n, *row_shape)`. They are copied.

        Raises:
            ValueError: If the two do not fit together, or not in this table, or if rows hold NaN or infinite values.
            ArithmeticError: If values are too large or too small for the table's dtype. Nothing of this batch is stored
                then.
        """
        rows = np.asarray(rows)
        count = len(as_keys(prints))
        if rows.shape != (count, *self._table.row_shape):
            raise ValueError(
                f"Expected one row for each of {count} prints, shape {(count, *self._table.row_shape)}. "
                f"Received: shape {rows.shape}."
            )
        if count:
            self._batches.append((np.array(prints), _convert(rows, self._table.dtype)))
            self._num_bytes += self._batches[-1][1].nbytes
        if self._num_bytes >= self.max_bytes or time.monotonic() - self._start >= self.max_seconds:
            self.commit()

    def commit(self):
        """Makes a segment of what was appended since the last one. If that fails on disk, it is made in memory."""
        if not self._batches:
            return
        try:
            self._table.put(self._places[0], self._batches)
        except OSError as error:
            if len(self._places) == 1:
                raise
            # For the rest of this writer: a disk that is full would fail again for every segment.
            del self._places[0]
            self.commit()
            self._store.warn_of_failure(error)
        else:
            self._start_segment()
            self._store.make_room()

    def _start_segment(self):
        self._batches = []
        self._num_bytes = 0
        self._start = time.monotonic()


def _convert(rows, dtype):
    """Copies rows into another dtype, if that can hold them."""
    if not np.isfinite(rows).all():
        raise ValueError("`rows` must be finite. Received: rows with NaN or infinite values, which are never stored.")
    with np.errstate(over="ignore", under="ignore"):
        converted = rows.astype(dtype)
    if not np.isfinite(converted).all():
        largest = np.abs(rows).max()
        raise OverflowError(f"{dtype} holds values up to {np.finfo(dtype).max:g}. Received: rows with {largest:g}.")
    too_small = _share_too_small(rows, converted)
    if too_small > _TOO_SMALL_SHARE:
        raise FloatingPointError(
            f"{dtype} holds values from {np.finfo(dtype).smallest_normal:g} on in full. "
            f"Received: rows that stay below it in {too_small:.0%} of their columns."
        )
    return converted


def _share_too_small(rows, converted):
    """Share of the columns that lose digits and hold nothing large beside which that would not matter."""
    is_small = np.abs(rows).max(axis=0) < np.finfo(converted.dtype).smallest_normal
    return np.mean(is_small & (converted != rows).any(axis=0))
