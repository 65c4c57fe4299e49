import itertools
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from transferkit.cache import places
from transferkit.cache.store import Store

DAY = 24 * 3600

# What the other processes have in common: their prints, and the rows of them, are those of conftest.py.
PRELUDE = """
import sys, time
import numpy as np
from transferkit.cache import table as table_module
from transferkit.cache.store import Store

def make_prints(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 16), np.uint8)

def rows_of(prints):
    return prints[:, :6].reshape(-1, 2, 3).astype("float32")

def open_table(store, key):
    return store.table(key, (2, 3), "float16", "tiny features")
"""

WRITE_TWO_TABLES = """
folder, own_key, seed, max_bytes = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
table_module._SEGMENT_BYTES = 100 * 12
for round_number in range(5):
    store = Store(folder, max_bytes)
    for key, prints in (("0123456789abcdef" * 2, make_prints(1000)), (own_key, make_prints(1000, seed))):
        table = open_table(store, key)
        prints = prints[: 200 * (round_number + 1)]
        missing = table.missing(prints)
        with table.writer() as writer:
            for part in np.array_split(prints[missing], 7):
                writer.append(part, rows_of(part))
        assert (table.rows(prints)[:] == rows_of(prints)).all()
assert not {"tensorflow", "keras"} & set(sys.modules)
"""

STOP_BEFORE_THE_LAST_STEP = """
import os
replace = os.replace

def stop(source, target):
    if target.suffix == ".npy":
        print("written", flush=True)
        time.sleep(60)
    replace(source, target)

os.replace = stop
with open_table(Store(sys.argv[1], 10**9), "0123456789abcdef" * 2).writer() as writer:
    writer.append(make_prints(5), rows_of(make_prints(5)))
"""


def start(code, *arguments):
    command = [sys.executable, "-W", "error", "-c", PRELUDE + code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def paths(store, suffix):
    return sorted(path for path in store.folder.rglob(f"*{suffix}") if path.is_file())


def age(path, days):
    """Makes a file look as if it was last used that many days ago."""
    os.utime(path, (time.time() - days * DAY,) * 2)


@pytest.fixture
def leftover(store):
    """What a writer left that was killed in the middle of its last segment."""
    with start(STOP_BEFORE_THE_LAST_STEP, store.folder) as process:
        assert process.stdout.readline() == b"written\n"
        process.send_signal(signal.SIGKILL)
    (path,) = paths(store, ".part")
    return path


@pytest.mark.parametrize("max_bytes", [10**9, 30_000])
def test_processes_write_side_by_side(store, open_table, make_prints, rows_of, max_bytes):
    own_keys = ["a" * 32, "b" * 32]
    processes = [start(WRITE_TWO_TABLES, store.folder, key, seed, max_bytes) for seed, key in enumerate(own_keys, 1)]
    for process in processes:
        process.communicate(timeout=60)
    assert [process.returncode for process in processes] == [0, 0]
    for seed, key in enumerate(["0123456789abcdef" * 2, *own_keys]):
        table, prints = open_table(store, key=key), make_prints(1000, seed)
        there = np.setdiff1d(np.arange(1000), table.missing(prints))
        assert len(there) == 1000 or max_bytes < 10**9
        np.testing.assert_array_equal(table.rows(prints[there])[:], rows_of(prints[there]))
    assert paths(store, ".part") == []


def test_nothing_is_read_of_a_writer_that_was_killed(store, open_table, make_prints, leftover):
    assert leftover.stat().st_size > 5 * (12 + 16)
    assert len(open_table(store).missing(make_prints(5))) == 5
    assert store.contents() == []


def test_what_it_left_goes_when_it_is_a_day_old(store, open_table, fill, make_prints, leftover):
    age(leftover, 0.9)
    fill(open_table(store), make_prints(1))
    assert leftover.exists()
    age(leftover, 1.1)
    fill(open_table(store), make_prints(1, seed=1))
    assert not leftover.exists()


def test_clearing_takes_it_along(store, leftover):
    size = leftover.stat().st_size
    assert store.clear() == size
    assert list(store.folder.iterdir()) == []


@pytest.mark.parametrize("days", [(3, 2, 1), (1, 3, 2), (2, 1, 3)])
def test_what_was_used_least_recently_goes_first(store, open_table, fill, make_prints, days):
    for number, age_in_days in enumerate(days):
        before = paths(store, ".npy")
        fill(open_table(store, key=str(number) * 32), make_prints(5))
        (new,) = set(paths(store, ".npy")) - set(before)
        age(new, age_in_days)
    limit = 2 * new.stat().st_size
    fill(open_table(Store(store.folder, limit), key="f" * 32), make_prints(5))
    kept = [number for number in range(3) if not len(open_table(store, key=str(number) * 32).missing(make_prints(5)))]
    assert kept == [days.index(1)]


def test_memory_gives_up_what_was_used_least_recently(open_table, fill, make_prints, monkeypatch):
    clock = itertools.count()
    monkeypatch.setattr(time, "time", lambda: next(clock))
    store = Store(None, 3 * 5 * (12 + 16))
    for number in range(3):
        fill(open_table(store, key=str(number) * 32), make_prints(5))
    open_table(store, key="0" * 32).rows(make_prints(5))
    fill(open_table(store, key="3" * 32), make_prints(5))
    assert [table.key[0] for table in store.contents()] == ["3", "0", "2"]


def test_nothing_goes_before_the_limit_is_reached(store, open_table, fill, make_prints):
    fill(open_table(store, key="0" * 32), make_prints(5))
    (first,) = paths(store, ".npy")
    size = first.stat().st_size
    fill(open_table(Store(store.folder, 2 * size), key="1" * 32), make_prints(5))
    assert len(paths(store, ".npy")) == 2
    age(first, 1)
    fill(open_table(Store(store.folder, 3 * size - 1), key="2" * 32), make_prints(5))
    assert len(paths(store, ".npy")) == 2
    assert not first.exists()


def test_looking_rows_up_is_using_them(store, open_table, fill, make_prints):
    for number in range(2):
        fill(open_table(store, key=str(number) * 32), make_prints(5))
    for path in paths(store, ".npy"):
        age(path, 2)
    open_table(store, key="0" * 32).rows(make_prints(5))
    open_table(store, key="1" * 32).missing(make_prints(5, seed=1))
    used = {table.key: time.time() - table.last_used < DAY for table in store.contents()}
    assert used == {"0" * 32: True, "1" * 32: False}


@pytest.mark.parametrize("on_disk", [True, False])
def test_what_is_in_use_stays_whatever_the_limit(on_disk, tmp_path, open_table, fill, make_prints, rows_of):
    store = Store(tmp_path if on_disk else None, 0)
    other = Store(tmp_path, 0) if on_disk else store
    writing, unused = open_table(store, key="0" * 32), open_table(store, key="1" * 32)
    fill(writing, make_prints(5))
    fill(unused, make_prints(5))
    rows = open_table(store, key="0" * 32).rows(make_prints(5)[::-1]).take([4, 3, 2, 1, 0])
    del writing, unused
    fill(open_table(other, key="2" * 32), make_prints(5))
    assert {table.key[0] for table in store.contents()} == {"0", "2"}
    np.testing.assert_array_equal(rows[:], rows_of(make_prints(5)))
    del rows
    fill(open_table(other, key="3" * 32), make_prints(5))
    assert {table.key[0] for table in store.contents()} == {"3"}


def test_a_file_that_cannot_be_removed_is_passed_over(store, open_table, fill, make_prints, monkeypatch):
    """As on Windows, while another process has it mapped."""
    for number in range(3):
        fill(open_table(store, key=str(number) * 32), make_prints(5))
    held, *others = sorted(paths(store, ".npy"), key=lambda path: path.stat().st_mtime_ns)
    age(held, 3)
    unlink = type(held).unlink

    def refuse(path, missing_ok=False):
        if path == held:
            raise PermissionError("The process cannot access the file because it is being used by another process")
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(type(held), "unlink", refuse)
    size = held.stat().st_size
    fill(open_table(Store(store.folder, 2 * size), key="f" * 32), make_prints(5))
    assert held.exists()
    assert not any(path.exists() for path in others)
    assert store.clear() == size
    assert [table.title for table in store.contents()] == ["tiny features"]


def test_what_another_process_has_removed_counts_as_freed(store, open_table, fill, make_prints):
    """Otherwise more would go than has to."""
    fill(open_table(store), make_prints(5))
    (disk, _), (path,) = store.places, paths(store, ".npy")
    (entry,) = disk.entries()
    path.unlink()
    assert disk.remove(entry) == entry.num_bytes > 0


def test_rows_can_be_read_after_they_were_removed(store, open_table, fill, make_prints, rows_of):
    fill(open_table(store), make_prints(5))
    rows = open_table(store).rows(make_prints(5))
    store.clear()
    assert paths(store, ".npy") == []
    np.testing.assert_array_equal(rows[:], rows_of(make_prints(5)))
    assert len(open_table(store).missing(make_prints(5))) == 5


@pytest.mark.parametrize("on_disk", [True, False])
def test_contents_are_summed_up_by_table(on_disk, tmp_path, open_table, fill, make_prints):
    store = Store(tmp_path if on_disk else None, 10**9)
    fill(open_table(store, key="1" * 32), make_prints(5))
    fill(open_table(store, key="0" * 32), make_prints(5))
    fill(open_table(store, key="1" * 32), make_prints(7, seed=1))
    fill(open_table(store, "float32", key="1" * 32), make_prints(3))
    contents = store.contents()
    assert [table.title for table in contents] == ["tiny features"] * 3
    assert sorted((table.key[0], table.rows) for table in contents) == [("0", 5), ("1", 3), ("1", 12)]
    assert [table.last_used for table in contents] == sorted((table.last_used for table in contents), reverse=True)
    assert all(abs(table.last_used - time.time()) < 60 for table in contents)
    if on_disk:
        assert sum(table.bytes for table in contents) == sum(path.stat().st_size for path in paths(store, ".npy"))
    else:
        assert sorted(table.bytes for table in contents) == [3 * (24 + 16), 5 * (12 + 16), 12 * (12 + 16)]


def test_a_table_that_lost_its_description_is_listed(store, open_table, fill, make_prints):
    fill(open_table(store), make_prints(5))
    (path,) = paths(store, ".json")
    path.unlink()
    (table,) = store.contents()
    assert (table.title, table.rows) == ("unknown", 5)


@pytest.mark.parametrize("on_disk", [True, False])
def test_clearing_removes_everything_and_says_how_much(on_disk, tmp_path, open_table, fill, make_prints):
    store = Store(tmp_path / "cache" if on_disk else None, 10**9)
    assert store.clear() == 0
    for seed in range(3):
        fill(open_table(store, key=str(seed) * 32), make_prints(5))
    total = sum(table.bytes for table in store.contents())
    assert store.clear() == total > 0
    assert store.contents() == []
    assert not on_disk or list(store.folder.iterdir()) == []
    fill(open_table(store), make_prints(5))
    assert len(open_table(store).missing(make_prints(5))) == 0


def test_a_writer_goes_on_after_somebody_cleared(store, open_table, make_prints, rows_of):
    prints = make_prints(4)
    table = open_table(store)
    with table.writer() as writer:
        writer.append(prints[:2], rows_of(prints[:2]))
        writer.commit()
        Store(store.folder, 10**9).clear()
        writer.append(prints[2:], rows_of(prints[2:]))
    np.testing.assert_array_equal(table.rows(prints)[:], rows_of(prints))
    assert [table.rows for table in store.contents()] == [2]
    assert [table.title for table in store.contents()] == ["tiny features"]


def test_an_error_without_a_number_is_told_in_its_own_words(store, open_table, fill, make_prints, monkeypatch):
    def fail(path, batches):
        raise OSError("the drive was pulled out")

    monkeypatch.setattr(places, "write_segment", fail)
    with pytest.warns(UserWarning, match="could not be written to .*: the drive was pulled out. They stay in memory"):
        fill(open_table(store), make_prints(5))


def test_a_store_that_nothing_was_written_to_makes_no_folder(store, open_table, make_prints):
    assert len(open_table(store).missing(make_prints(3))) == 3
    assert store.contents() == []
    assert store.clear() == 0
    assert not store.folder.exists()


def test_the_cache_imports_neither_keras_nor_tensorflow(in_fresh_process):
    loaded = in_fresh_process("import sys, transferkit.cache.store, transferkit.cache.folder; print(*sys.modules)")
    assert "transferkit.cache.store" in loaded.split()
    assert not {"keras", "tensorflow"} & set(loaded.split())
