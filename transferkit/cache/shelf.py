"""All rows that one network front has computed, by the prints of the images they were computed from."""

import threading
import time
from contextlib import contextmanager

import numpy as np

from transferkit.cache.index import Index, as_keys
from transferkit.cache.rows import Rows

# A segment is closed once it is so large or so old. What is still open would be lost if the process were killed.
_SEGMENT_BYTES = 32 << 20
_SEGMENT_SECONDS = 120


class Shelf:
    """Rows of one shape, to be looked up by print. `Store.shelf` makes it.

    Args:
        store: The `Store` that it belongs to.
        name: Name of the shelf in its places.
        about: What to say about it there, a dict for JSON.
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
        self._opened = {}  # name → (place, segment). It only grows, so that numbers in an older index stay right
        self._index = Index([])
        self._lock = threading.Lock()

    def missing(self, prints):
        """Finds out what has to be computed.

        Args:
            prints: Prints `(n, 16)`, which may hold a print several times.

        Returns:
            Indices into `prints`, in order: the first place of each print that has no row yet.
        """
        found, _, _ = self._find(prints)
        indices = np.flatnonzero(~found)
        _, first = np.unique(as_keys(prints)[indices], return_index=True)
        return indices[np.sort(first)]

    @contextmanager
    def writer(self):
        """Opens the shelf for writing: `with shelf.writer() as writer: writer.append(prints, rows)`.

        What was appended can be looked up after the block, however that ended, and during it from time to time.

        Yields:
            A `Writer`.
        """
        writer = Writer(self, self._store)
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
        found, which, positions = self._find(prints)
        if not found.all():
            raise KeyError(f"{np.count_nonzero(~found):,} of {len(found):,} prints have no row on this shelf.")
        segments = [segment for _, segment in self._opened.values()]
        return Rows(segments, which, positions, self.row_shape, owner=self)

    def put(self, place, batches):
        """Makes a segment of pairs of prints and rows in a place. Raises `OSError` if it could not be written."""
        name, segment = place.put(self._name, self._about, batches)
        self.names_in_use.add(name)
        self._add(place, {name: segment})

    def _find(self, prints):
        for place in self._store.places:
            self._add(place, place.open(self._name, self._opened, self.row_shape, self.dtype))
        found, which, positions = self._index.find(prints)
        opened = list(self._opened.items())
        for name, (place, _) in (opened[number] for number in np.unique(which[found])):
            place.touch(self._name, name)
            self.names_in_use.add(name)
        return found, which, positions

    def _add(self, place, segments):
        with self._lock:  # rows may be written in one thread and looked up in another
            new = {name: (place, segment) for name, segment in segments.items() if name not in self._opened}
            if new:
                opened = self._opened | new
                index = Index([segment for _, segment in opened.values()])
                self._opened, self._index = opened, index


class Writer:
    """Puts rows on a shelf. `Shelf.writer` makes it.

    Args:
        shelf: The `Shelf`.
        store: Its `Store`.
    """

    def __init__(self, shelf, store):
        self._shelf = shelf
        self._store = store
        self._places = list(store.places)
        self._start_segment()

    def append(self, prints, rows):
        """Adds rows.

        Args:
            prints: Prints `(n, 16)`.
            rows: Rows `(n, *row_shape)`. They are copied.

        Raises:
            ValueError: If the two do not fit together, or not on this shelf.
            OverflowError: If a finite value is too large for the shelf's dtype. Nothing of this batch is stored then.
        """
        rows = np.asarray(rows)
        count = len(as_keys(prints))
        if rows.shape != (count, *self._shelf.row_shape):
            raise ValueError(
                f"Expected one row for each of {count} prints, shape {(count, *self._shelf.row_shape)}. "
                f"Received: shape {rows.shape}."
            )
        if count:
            self._batches.append((np.array(prints), _convert(rows, self._shelf.dtype)))
            self._num_bytes += self._batches[-1][1].nbytes
        if self._num_bytes >= _SEGMENT_BYTES or time.monotonic() - self._start >= _SEGMENT_SECONDS:
            self.commit()

    def commit(self):
        """Makes a segment of what was appended since the last one. If that fails on disk, it is made in memory."""
        if not self._batches:
            return
        try:
            self._shelf.put(self._places[0], self._batches)
        except OSError as error:
            if len(self._places) == 1:
                raise
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
    with np.errstate(over="ignore"):
        converted = rows.astype(dtype)
    is_wrong = ~np.isfinite(converted)
    if is_wrong.any() and np.isfinite(rows[is_wrong]).any():
        largest = np.abs(rows[np.isfinite(rows)]).max()
        raise OverflowError(f"{dtype} holds values up to {np.finfo(dtype).max:g}. Received: rows with {largest:g}.")
    return converted
