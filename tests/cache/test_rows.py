import numpy as np
import pytest

from transferkit.cache.rows import Rows
from transferkit.cache.segments import Segment

ROWS = np.random.default_rng(0).normal(size=(40, 3, 2)).astype("float16")
EXPECTED = ROWS.astype("float32")

# Orders of the 40 rows, as they might have been computed or asked for.
ORDERS = {
    "in order": np.arange(40),
    "backwards": np.arange(40)[::-1],
    "shuffled": np.random.default_rng(1).permutation(40),
    "with repetitions": np.random.default_rng(2).integers(0, 40, 100),
    "every third": np.arange(0, 40, 3),
    "none": np.arange(0),
}

INDICES = {
    "all": slice(None),
    "slice": slice(3, 17),
    "step": slice(17, 3, -2),
    "past the end": slice(35, 99),
    "nothing": slice(5, 5),
    "integers": np.array([7, 3, 3, 39, -1]),
    "list": [12, 0],
    "run": np.arange(10, 30),
    "square": np.array([[1, 2], [3, 30]]),
    "mask": np.arange(40) % 7 == 0,
    "integer": 11,
    "last": -1,
    "numpy integer": np.int64(4),
}


def rows_in_segments(order, lengths=(10, 1, 20, 9)):
    """The rows at `order`, from segments of those lengths."""
    starts = np.cumsum(lengths) - lengths
    segments = [Segment(None, ROWS[start : start + length]) for start, length in zip(starts, lengths, strict=True)]
    which = np.searchsorted(starts, order, side="right") - 1
    return Rows(segments, which, order - starts[which], ROWS.shape[1:])


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_all_rows_at_once_are_those_that_were_asked_for(order):
    rows = rows_in_segments(order)
    array = np.asarray(rows)
    assert array.dtype == rows.dtype == "float32"
    assert array.shape == rows.shape == (len(order), 3, 2)
    assert len(rows) == len(order)
    assert rows.ndim == 3
    np.testing.assert_array_equal(array, EXPECTED[order])


@pytest.mark.parametrize("index", INDICES.values(), ids=INDICES)
@pytest.mark.parametrize("order", ["in order", "shuffled"])
def test_an_index_means_what_it_means_to_numpy(order, index):
    selected = rows_in_segments(ORDERS[order])[index]
    expected = EXPECTED[ORDERS[order]][index]
    assert selected.dtype == "float32"
    assert selected.shape == expected.shape
    np.testing.assert_array_equal(selected, expected)


@pytest.mark.parametrize("index", [40, -41, [3, 40]])
def test_an_index_out_of_range_is_an_error(index):
    with pytest.raises(IndexError):
        _ = rows_in_segments(ORDERS["in order"])[index]


def test_iteration_ends():
    np.testing.assert_array_equal(list(rows_in_segments(ORDERS["shuffled"])), EXPECTED[ORDERS["shuffled"]])


@pytest.mark.parametrize("indices", [[5, 5, 2], np.arange(30, 10, -1), [], np.arange(40) > 20])
def test_a_part_of_the_rows_is_rows_again(indices):
    part = rows_in_segments(ORDERS["shuffled"]).take(indices)
    assert isinstance(part, Rows)
    expected = EXPECTED[ORDERS["shuffled"]][np.asarray(indices, None if len(indices) else int)]
    np.testing.assert_array_equal(np.asarray(part), expected)
    np.testing.assert_array_equal(part.take(np.arange(len(part))[::-1])[:], expected[::-1])


def test_what_is_read_belongs_to_the_reader():
    rows = rows_in_segments(ORDERS["in order"])
    rows[:10][...] = 0
    np.testing.assert_array_equal(rows[:], EXPECTED)


def test_another_dtype_can_be_asked_for_but_not_a_view():
    rows = rows_in_segments(ORDERS["in order"])
    assert np.asarray(rows, "float64").dtype == "float64"
    with pytest.raises(ValueError, match="read and converted"):
        rows.__array__(copy=False)
