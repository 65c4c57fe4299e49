"""Rows that lie in segments, as one array that reads what is asked of it."""

import numpy as np


class Rows:
    """Rows of a table in any order: array-like, lazy, and float32 for callers.

    `rows[…]` takes what NumPy takes for a first axis, such as an integer, a slice or an array of integers, and reads
    those rows. `np.asarray(rows)` reads all of them.

    Args:
        segments: The `Segment`s that they lie in.
        which: Position in `segments` of each row, integers `(n,)`.
        positions: Position in its segment of each row, integers `(n,)`.
        row_shape: Shape of one row.
        owner: What has to live as long as the rows do.
    """

    dtype = np.dtype("float32")

    def __init__(self, segments, which, positions, row_shape, owner=None):
        self._segments = segments
        self._which = which
        self._positions = positions
        self._row_shape = row_shape
        self._owner = owner

    def __len__(self):
        return len(self._which)

    @property
    def shape(self):
        """`(n, *row_shape)`."""
        return (len(self), *self._row_shape)

    @property
    def ndim(self):
        """Number of axes, that of the rows included."""
        return len(self.shape)

    def __getitem__(self, index):
        which, positions = self._which[index], self._positions[index]
        rows = self._gather(which.reshape(-1), positions.reshape(-1))
        return rows.reshape(*which.shape, *self._row_shape)

    def __array__(self, dtype=None, copy=None):
        if copy is False:
            raise ValueError("Rows of the cache are read and converted: `np.asarray(rows)` makes an array of them.")
        return self[:].astype(dtype or self.dtype, copy=False)

    def take(self, indices):
        """Returns the part of these rows at `indices`, in that order, without reading it."""
        indices = np.asarray(indices, dtype=None if len(indices) else int)
        return Rows(self._segments, self._which[indices], self._positions[indices], self._row_shape, self._owner)

    def _gather(self, which, positions):
        """Reads rows. Each segment is gone through once, from its beginning to its end."""
        gathered = np.empty((len(which), *self._row_shape), self.dtype)
        if len(which) == 0:
            return gathered
        order = np.lexsort((positions, which))
        borders = np.flatnonzero(np.diff(which[order])) + 1
        for part in np.split(order, borders):
            rows = self._segments[which[part[0]]].rows
            gathered[_as_slice(part)] = rows[_as_slice(positions[part])]
        return gathered


def _as_slice(indices):
    """Indices that count up by one, as a slice, which NumPy copies in one go. Others are returned as they are."""
    first, last = int(indices[0]), int(indices[-1])
    is_run = last - first == len(indices) - 1 and bool((np.diff(indices) == 1).all())
    return slice(first, last + 1) if is_run else indices
