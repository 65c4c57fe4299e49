"""Prints of invented images, and rows that can be told from the prints, so that a wrong row is seen."""

import numpy as np
import pytest

from transferkit.cache.store import Store

KEY = "0123456789abcdef" * 2


@pytest.fixture
def make_prints():
    """Makes prints `(count, 16)` of different images."""
    return lambda count, seed=0: np.random.default_rng(seed).integers(0, 256, (count, 16), np.uint8)


@pytest.fixture
def rows_of():
    """Makes the rows `(n, 2, 3)` that belong to prints. Their values are small integers: float16 holds them."""
    return lambda prints: prints[:, :6].reshape(-1, 2, 3).astype("float32")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "cache", 10**9)


@pytest.fixture
def open_table():
    """Opens the table for such rows in a store."""
    return lambda store, dtype="float16", key=KEY: store.table(key, (2, 3), dtype, "tiny features")


@pytest.fixture
def fill(rows_of):
    """Writes the rows of prints, as many to a batch as are asked for, as one segment."""

    def fill(table, prints, batch=5, **limits):
        with table.writer(**limits) as writer:
            for start in range(0, len(prints), batch):
                part = prints[start : start + batch]
                writer.append(part, rows_of(part))

    return fill
