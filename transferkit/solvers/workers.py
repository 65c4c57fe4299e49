"""Threads that walk through the rows of a large matrix, a block at a time."""

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import numpy as np
from threadpoolctl import ThreadpoolController

_BLOCK_FLOATS = 1 << 20  # held at once by one worker: what the caches near a core can keep
_RESULT_FLOATS = 1 << 24  # of all sums that workers gather at once
_FEWEST_ROWS = 128  # a block: for less, a thread takes longer to wake than to work
_MOST_WORKERS = 16


@dataclass(frozen=True)
class Workers:
    """Threads that share out the blocks of a matrix. `one_worker_a_core` makes them."""

    pool: ThreadPoolExecutor
    count: int

    def sum(self, function, num_rows, width, result_size=1):
        """Sums what a function returns over all rows.

        Each worker goes through its blocks in the order of the rows, and always through the same ones, so that sums of
        floats come out the same every time.

        Args:
            function: Function of a slice of rows. Returns a tuple of numbers and arrays, which may be changed.
            num_rows: Number of rows.
            width: Floats that it holds for each row.
            result_size: Floats in what it returns.

        Returns:
            List of the sums.
        """
        count = max(1, min(self.count, _RESULT_FLOATS // result_size))
        slices = _blocks(num_rows, width, count)
        shares = [slices[start::count] for start in range(min(count, len(slices)))]
        gather = self.pool.map if len(shares) > 1 else map
        return _add_up(gather(lambda share: _add_up(map(function, share)), shares))

    def collect(self, function, num_rows, width, num_columns):
        """Puts together what a function returns for all rows.

        Args:
            function: Function of a slice of rows. Returns an array with a row for each.
            num_rows: Number of rows.
            width: Floats that it holds for each row.
            num_columns: Number of columns of what it returns.

        Returns:
            `(num_rows, num_columns)` float32.
        """
        collected = np.empty((num_rows, num_columns), "float32")

        def fill(rows):
            collected[rows] = function(rows)
            return ()

        self.sum(fill, num_rows, width)
        return collected


def _add_up(results):
    results = iter(results)
    total = list(next(results))
    for result in results:
        for i, value in enumerate(result):
            total[i] += value  # in place, where it is an array
    return total


def _blocks(num_rows, width, count):
    """Slices of about the same length that cover all rows: as many as fit `count` workers, and small enough."""
    number = max(-(-num_rows * width // _BLOCK_FLOATS), min(count, num_rows // _FEWEST_ROWS), 1)
    if number > 1:
        number = count * -(-number // count)
    size = -(-num_rows // number)
    return [slice(start, min(start + size, num_rows)) for start in range(0, num_rows, size)]


@contextmanager
def one_worker_a_core():
    """Yields `Workers` and holds BLAS to one thread meanwhile: each worker calls it for itself.

    The wheels of NumPy and SciPy each bring BLAS with a pool of threads that spin while they wait for each other. Going
    back and forth between the two made small problems up to 25 times slower, and a core that is busy with something
    else holds all of them up.
    """
    blas = _blas()
    count = max([library["num_threads"] for library in blas.info()], default=os.cpu_count() or 1)
    count = min(count, _MOST_WORKERS)
    with blas.limit(limits=1), ThreadPoolExecutor(count) as pool:
        yield Workers(pool, count)


@cache
def _blas():
    return ThreadpoolController().select(user_api="blas")
