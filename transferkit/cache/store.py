"""The cache as a whole: tables of rows, their sum, and what has to go when there are too many."""

import threading
import warnings
import weakref
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

import numpy as np

from transferkit._utils.fingerprints import fingerprint
from transferkit._utils.folders import expanded, refuse_strangers
from transferkit.cache.places import Disk, Memory
from transferkit.cache.table import FeatureTable


@dataclass(frozen=True)
class TableContents:
    """What there is in one table.

    Args:
        title: What the rows are, for a person.
        key: What the table was opened by.
        rows: Number of rows.
        bytes: What they take.
        last_used: When they were last used or written, in seconds since 1970.
    """

    title: str
    key: str
    rows: int
    bytes: int
    last_used: float


class Store:
    """Rows that were computed from images, kept for whoever needs them again.

    Several processes may use one folder at the same time.

    Args:
        folder: Where to keep them. It is made when something is written. `None` keeps them in memory, for as long as
            this object lives, and writes nothing.
        max_bytes: Most bytes that they may take. After each addition, the least recently used ones are removed until
            that holds; those that this process is using stay, even if they take more.

    Raises:
        ValueError: If `folder` begins with the home of nobody.
        PermissionError: If it belongs to somebody else and lies where everybody can make one.
    """

    def __init__(self, folder, max_bytes):
        self.folder = None if folder is None else expanded(folder, "The cache folder")
        if self.folder is not None:
            refuse_strangers(self.folder)
        self.max_bytes = max_bytes
        self._memory = Memory()
        self._disk = None if self.folder is None else Disk(self.folder)
        self._has_warned = False

    @property
    def places(self):
        """Where rows are looked for, and written to: first the first, and if that fails the last."""
        return [self._memory] if self._disk is None else [self._disk, self._memory]

    def table(self, key, row_shape, dtype, title):
        """Opens the table of all rows that one network front computes, from any images.

        Args:
            key: Fingerprint of all that the rows depend on besides the image.
            row_shape: Shape of one row.
            dtype: What to store them in, a float dtype. Those of another dtype or shape are another table.
            title: What they are, for a person.

        Returns:
            A `FeatureTable`. As long as it or rows from it are referred to, what it has found and written stays in the
            store.
        """
        dtype = np.dtype(dtype)
        if dtype.kind != "f":
            raise ValueError(f"`dtype` must be a float dtype, such as 'float16'. Received: {dtype}.")
        row_shape = tuple(int(length) for length in row_shape)
        about = {"title": title, "key": key, "row_shape": list(row_shape), "dtype": dtype.name}
        table = FeatureTable(self, fingerprint(key, row_shape, dtype.name), about, row_shape, dtype)
        with _lock:
            _open_tables.add(table)
        return table

    def contents(self):
        """Returns `TableContents` of each table that holds rows, the most recently used first."""
        found = [(entry, place) for place in self.places for entry in place.entries()]
        found.sort(key=lambda pair: pair[0].table)
        tables = [_sum_up(list(group)) for _, group in groupby(found, key=lambda pair: pair[0].table)]
        return sorted(tables, key=attrgetter("last_used"), reverse=True)

    def clear(self):
        """Removes all rows, and what killed writers have left. Returns the bytes that this freed."""
        freed = 0
        for place in self.places:
            freed += sum(place.remove(entry) for entry in place.entries()) + place.sweep(everything=True)
        return freed

    def make_room(self):
        """Removes what was used least recently until the rest takes at most `max_bytes`."""
        names_in_use = _names_in_use()
        for place in self.places:
            # Memory that stands in for the disk holds only what is in use.
            _remove_oldest(place, self.max_bytes if place is self.places[0] else 0, names_in_use)
            place.sweep()

    def warn_of_failure(self, error):
        """Warns, once, that rows could not be written and stay in memory."""
        if not self._has_warned:
            self._has_warned = True
            warnings.warn(
                f"Activations could not be written to {str(self.folder)!r}: {error.strerror or error}. They stay in "
                "memory for this run and are lost after it. Name another folder by `Compute(cache_dir=...)`, or, if "
                'they need not be kept, choose `Compute(cache="memory")`.',
                stacklevel=2,
            )


# Of all stores of this process: two of them may have one folder.
_open_tables: weakref.WeakSet[FeatureTable] = weakref.WeakSet()
_lock = threading.Lock()


def _names_in_use():
    with _lock:
        return set().union(*(table.names_in_use for table in _open_tables))


def _remove_oldest(place, max_bytes, names_in_use):
    entries = sorted(place.entries(), key=attrgetter("last_used"))
    excess = sum(entry.num_bytes for entry in entries) - max_bytes
    for entry in entries:
        if excess <= 0:
            return
        if entry.name not in names_in_use:
            excess -= place.remove(entry)


def _sum_up(found):
    """Contents of one table, from its entries and the place of each."""
    entry, place = found[0]
    about = place.describe(entry.table)
    return TableContents(
        title=_text(about.get("title"), "unknown"),
        key=_text(about.get("key"), entry.table),
        rows=sum(place.count(entry) for entry, place in found),
        bytes=sum(entry.num_bytes for entry, _ in found),
        last_used=max(entry.last_used for entry, _ in found),
    )


def _text(value, otherwise):
    return value if isinstance(value, str) else otherwise
