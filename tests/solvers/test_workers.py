import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from transferkit.solvers.workers import one_worker_a_core


def blas_threads():
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


@pytest.fixture
def workers(monkeypatch):
    monkeypatch.setattr("transferkit.solvers.workers._BLOCK_FLOATS", 1000)
    with one_worker_a_core() as workers:
        yield workers


@pytest.mark.parametrize("num_rows", [1, 99, 100, 1001, 12_345])
def test_every_row_counts_once(workers, num_rows):
    values = np.random.default_rng(0).normal(size=(num_rows, 3))
    total, count = workers.sum(lambda rows: (values[rows].sum(axis=0), rows.stop - rows.start), num_rows, 10)
    assert total == pytest.approx(values.sum(axis=0))
    assert count == num_rows


def test_a_block_is_no_larger_than_its_bound(workers):
    sizes = []
    workers.sum(lambda rows: sizes.append(rows.stop - rows.start) or (), 5000, 10)
    assert 50 <= max(sizes) <= 100


def test_each_worker_goes_from_first_to_last(workers):
    starts = []
    workers.sum(lambda rows: starts.append(rows.start) or (), 100 * 60 * workers.count, 10)
    for share in range(workers.count):
        own = [start // 100 for start in starts if start // 100 % workers.count == share]
        assert own == list(range(share, 60 * workers.count, workers.count))


def test_sums_of_floats_come_out_the_same_every_time(workers):
    values = np.random.default_rng(0).normal(size=30_000).astype("float32")
    sums = {float(workers.sum(lambda rows: (values[rows].sum(),), len(values), 10)[0]) for _ in range(20)}
    assert len(sums) == 1


def test_few_large_results_are_held_at_once(workers, monkeypatch):
    monkeypatch.setattr("transferkit.solvers.workers._RESULT_FLOATS", 1)
    threads = set()
    workers.sum(lambda rows: threads.add(threading.get_ident()) or (), 50_000, 10, result_size=10)
    assert threads == {threading.get_ident()}


def test_what_is_returned_for_blocks_is_put_together(workers):
    values = np.random.default_rng(0).normal(size=(2345, 4))
    collected = workers.collect(lambda rows: values[rows] * 2, 2345, 10, 4)
    assert collected.dtype == "float32"
    assert collected == pytest.approx(values * 2)


def test_an_error_in_a_block_is_raised(workers):
    def fail(rows):
        raise OSError("No such disk.")

    with pytest.raises(OSError, match="No such disk"):
        workers.sum(fail, 5000, 10)


def test_blas_has_one_thread_a_worker_and_gets_back_what_it_had():
    before = blas_threads()
    with one_worker_a_core() as workers:
        assert blas_threads() == [1] * len(before)
        assert workers.count == min(16, max(before))
    assert blas_threads() == before
