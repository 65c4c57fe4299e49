from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from transferkit.cache.recent import RecentRows

ROW = np.arange(100, dtype="float32")
BYTES = 650  # of a row, with its overhead


@pytest.fixture
def rows():
    rows = RecentRows(max_bytes=3 * BYTES)
    rows.put([b"a", b"b", b"c"], np.stack([ROW, ROW + 1, ROW + 2]))
    return rows


def test_a_row_is_what_was_put_to_the_last_bit(rows):
    assert np.array_equal(rows.get(b"b"), ROW + 1)
    assert rows.get(b"d") is None


def test_what_was_not_used_for_longest_goes_first(rows):
    rows.get(b"a")
    rows.put([b"d"], [ROW + 3])
    assert [rows.get(key) is None for key in (b"a", b"b", b"c", b"d")] == [False, True, False, False]
    assert rows.num_bytes <= rows.max_bytes


def test_a_key_that_is_put_twice_counts_once(rows):
    before = rows.num_bytes
    rows.put([b"a"], [ROW + 9])
    assert rows.num_bytes == before
    assert np.array_equal(rows.get(b"a"), ROW + 9)


def test_more_than_fits_is_kept_to_the_bound(rows):
    rows.put([bytes([number]) for number in range(50)], np.tile(ROW, (50, 1)))
    assert len(rows) == 3
    assert rows.get(bytes([49])) is not None


def test_a_row_does_not_keep_its_batch(rows):
    assert rows.get(b"a").base is None


def test_nothing_is_left_after_clearing(rows):
    rows.clear()
    assert len(rows) == rows.num_bytes == 0


def test_threads_may_use_it_side_by_side():
    rows = RecentRows(max_bytes=20 * BYTES)

    def work(thread):
        for number in range(200):
            key = bytes([thread % 3, number % 40])
            rows.put([key], [ROW + number % 40])
            found = rows.get(key)
            assert found is None or np.array_equal(found, ROW + number % 40)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(8)))
    assert len(rows) <= 20
    assert rows.num_bytes == sum(rows.get(key).nbytes + 250 for key in list(rows._rows))
