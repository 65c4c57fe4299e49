import numpy as np
import pytest

from transferkit.data.splits import stratified_split


def test_each_class_is_on_both_sides_in_proportion():
    labels = np.repeat([0, 1, 2], [100, 10, 2])
    first, second = stratified_split(labels, 0.2, seed=0)
    assert np.array_equal(np.sort(np.concatenate([first, second])), np.arange(112))
    assert np.bincount(labels[second]).tolist() == [20, 2, 1]


def test_the_seed_decides():
    labels = np.repeat([0, 1], 50)
    one, again, other = (stratified_split(labels, 0.5, seed)[1].tolist() for seed in (0, 0, 1))
    assert one == again != other


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 20])
def test_a_share_outside_0_to_1_is_refused(fraction):
    with pytest.raises(ValueError, match="`validation_split` must be between 0 and 1"):
        stratified_split(np.array([0, 0, 1, 1]), fraction, seed=0)
