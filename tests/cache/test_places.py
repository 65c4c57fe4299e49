"""Both places answer to the same calls; the promises of the whole cache are in `test_store.py` and `test_table.py`."""

import os
import time

import numpy as np
import pytest

from transferkit.cache.places import Disk, Memory

TABLE, ABOUT = "0123456789abcdef" * 2, {"title": "tiny features"}


@pytest.fixture(params=["disk", "memory"])
def place(request, tmp_path):
    return Disk(tmp_path / "cache") if request.param == "disk" else Memory()


@pytest.fixture
def batches(make_prints, rows_of):
    """Twelve rows in three batches."""
    return [(part, rows_of(part)) for part in np.split(make_prints(12), 3)]


def opened(place, known=()):
    return place.open(TABLE, known, (2, 3), np.dtype("float32"))


def test_what_is_put_is_found(place, batches, make_prints, rows_of):
    name, segment = place.put(TABLE, ABOUT, batches)
    for found in (segment, opened(place)[name]):
        np.testing.assert_array_equal(found.prints, make_prints(12))
        np.testing.assert_array_equal(found.rows, rows_of(make_prints(12)))
        assert found.is_intact(np.arange(12))
    assert place.describe(TABLE) == ABOUT


def test_only_what_is_not_known_is_opened(place, batches):
    first, _ = place.put(TABLE, ABOUT, batches)
    second, _ = place.put(TABLE, ABOUT, batches)
    assert set(opened(place)) == {first, second}
    assert set(opened(place, known={first})) == {second}
    assert place.open("f" * 32, (), (2, 3), np.dtype("float32")) == {}


def test_an_entry_tells_size_rows_and_last_use(place, batches):
    name, segment = place.put(TABLE, ABOUT, batches)
    (entry,) = place.entries()
    assert (entry.table, entry.name) == (TABLE, name)
    assert entry.num_bytes >= segment.num_bytes
    assert place.count(entry) == 12
    assert time.time() - 60 < entry.last_used < time.time() + 60


def test_use_is_noted(place, batches):
    name, _ = place.put(TABLE, ABOUT, batches)
    before = place.entries()[0].last_used
    time.sleep(0.02)
    place.touch(TABLE, name)
    place.touch(TABLE, "f" * 32)  # one that is gone
    assert place.entries()[0].last_used > before


def test_what_is_removed_is_gone_and_says_what_it_freed(place, batches):
    _, segment = place.put(TABLE, ABOUT, batches)
    (entry,) = place.entries()
    assert place.remove(entry) == entry.num_bytes
    assert place.entries() == []
    assert opened(place) == {}
    assert place.count(entry) == 0
    assert segment.rows.shape == (12, 2, 3)  # whoever holds the rows still reads them


def test_nothing_is_known_of_a_table_that_is_not_there(place):
    assert place.describe(TABLE) == {}
    assert place.entries() == []
    assert place.sweep(everything=True) == 0


# ---- on disk ----


@pytest.fixture
def disk(tmp_path):
    return Disk(tmp_path)


def test_leftovers_of_killed_writers_go_after_a_day(disk, batches):
    disk.put(TABLE, ABOUT, batches)
    leftover = disk.folder / TABLE / f"{'a' * 32}.part"
    leftover.write_bytes(b"12345")
    assert disk.sweep() == 0
    os.utime(leftover, (0, 0))
    assert disk.sweep() == 5
    assert not leftover.exists()
    assert len(disk.entries()) == 1


def test_sweeping_everything_takes_young_leftovers_and_empty_tables(disk, batches):
    disk.put(TABLE, ABOUT, batches)
    disk.remove(disk.entries()[0])
    (disk.folder / f"{'a' * 32}.part").write_bytes(b"12345")
    assert disk.sweep(everything=True) == 5
    assert list(disk.folder.iterdir()) == []


def test_a_damaged_segment_is_removed_and_named_once(disk, batches):
    name, _ = disk.put(TABLE, ABOUT, batches)
    path = disk.folder / TABLE / f"{name}.npy"
    path.write_bytes(b"")
    with pytest.warns(UserWarning, match=f"{name}.npy' is damaged"):
        assert opened(disk) == {}
    assert not path.exists()
    disk.discard(TABLE, name, "Again.")  # a warning would be an error here


def test_rows_of_another_shape_are_damage(disk, batches):
    disk.put(TABLE, ABOUT, batches)
    with pytest.warns(UserWarning, match=r"Expected rows \(3, 2\)"):
        assert disk.open(TABLE, (), (3, 2), np.dtype("float32")) == {}
