import numpy as np
import pytest

from transferkit.cache.index import Index, as_keys
from transferkit.cache.segments import Segment


def test_prints_are_found_where_they_are(make_prints):
    prints = make_prints(50)
    index = Index([Segment(part, None) for part in np.split(prints, [20, 20, 45])])
    found, which, positions = index.find(prints[::-1])
    assert found.all()
    np.testing.assert_array_equal(which[::-1], [0] * 20 + [2] * 25 + [3] * 5)
    np.testing.assert_array_equal(positions[::-1], [*range(20), *range(25), *range(5)])


def test_prints_that_are_not_there_are_not_found(make_prints):
    index = Index([Segment(make_prints(50), None)])
    mixed = np.concatenate([make_prints(3, seed=1), make_prints(2)])
    np.testing.assert_array_equal(index.find(mixed)[0], [False] * 3 + [True] * 2)
    assert not Index([]).find(mixed)[0].any()


def test_zeros_count_wherever_they_are():
    prints = np.zeros((17, 16), np.uint8)
    prints[np.arange(16), np.arange(16)] = 1
    found, _, positions = Index([Segment(prints[::2], None)]).find(prints)
    np.testing.assert_array_equal(found, np.arange(17) % 2 == 0)
    np.testing.assert_array_equal(positions[::2], np.arange(9))


def test_of_equal_prints_the_first_is_found(make_prints):
    prints = make_prints(3)
    _, which, positions = Index([Segment(prints[[0, 1, 1]], None), Segment(prints, None)]).find(prints)
    np.testing.assert_array_equal(which, [0, 0, 1])
    np.testing.assert_array_equal(positions, [0, 1, 2])


def test_of_many_equal_prints_the_first_are_found(make_prints):
    prints = make_prints(1000)  # NumPy sorts a few stably, whatever it is asked for
    found, which, positions = Index([Segment(prints, None), Segment(prints[::-1], None)]).find(prints)
    assert found.all()
    assert not which.any()
    np.testing.assert_array_equal(positions, np.arange(1000))


def test_prints_are_found_in_any_order(make_prints):
    prints = make_prints(1000)
    shuffled = np.random.default_rng(1).permutation(len(prints))
    found, which, positions = Index([Segment(part, None) for part in np.split(prints, 4)]).find(prints[shuffled])
    assert found.all()
    np.testing.assert_array_equal(which * 250 + positions, shuffled)


@pytest.mark.parametrize("prints", [np.zeros((3, 16), "int8"), np.zeros((3, 15), "uint8"), np.zeros(16, "uint8")])
def test_what_is_no_print_is_refused(prints):
    with pytest.raises(ValueError, match="`prints` must be uint8"):
        as_keys(prints)
