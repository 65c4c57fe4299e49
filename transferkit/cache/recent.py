"""Rows in memory, of which those that were not used for the longest time give way to new ones."""

import threading
from collections import OrderedDict

import numpy as np

_OVERHEAD = 250  # bytes that a row takes besides its numbers: an array object, a key, an entry of a dict


class RecentRows:
    """Rows by key, those that were used last, in a bounded number of bytes. Several threads may use it at once.

    Args:
        max_bytes: Most bytes that all rows may take.

    Example:
        >>> rows = RecentRows(max_bytes=1000)
        >>> rows.put([b"first", b"second"], np.ones((2, 3), "float32"))
        >>> rows.get(b"first")
        array([1., 1., 1.], dtype=float32)
        >>> rows.get(b"third") is None
        True
    """

    def __init__(self, max_bytes):
        self.max_bytes = max_bytes
        self._rows = OrderedDict()
        self._num_bytes = 0
        self._lock = threading.Lock()

    def __len__(self):
        return len(self._rows)

    @property
    def num_bytes(self):
        """Bytes that the rows take."""
        return self._num_bytes

    def get(self, key):
        """Returns a row, which nobody must write to, or `None`."""
        with self._lock:
            row = self._rows.get(key)
            if row is not None:
                self._rows.move_to_end(key)
            return row

    def put(self, keys, rows):
        """Keeps copies of rows `(n, …)` under `n` keys. What was kept under one of them is replaced."""
        for key, row in zip(keys, rows, strict=True):
            row = np.array(row)  # a view would keep the whole batch in memory
            with self._lock:
                self._take_away(key)
                self._rows[key] = row
                self._num_bytes += _size(row)
        with self._lock:
            while self._num_bytes > self.max_bytes:
                self._take_away(next(iter(self._rows)))

    def clear(self):
        """Forgets all rows."""
        with self._lock:
            self._rows.clear()
            self._num_bytes = 0

    def _take_away(self, key):
        row = self._rows.pop(key, None)
        if row is not None:
            self._num_bytes -= _size(row)


def _size(row):
    return row.nbytes + _OVERHEAD
