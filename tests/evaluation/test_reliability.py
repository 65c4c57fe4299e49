import numpy as np
import pytest

from transferkit.evaluation.reliability import bins_of, reliability_of


def test_bins_hold_as_many_each_whatever_the_order():
    confidences = np.random.default_rng(0).random(300)
    codes = bins_of(confidences)
    assert np.bincount(codes).tolist() == [20] * 15
    order = np.random.default_rng(1).permutation(300)
    assert np.array_equal(bins_of(confidences[order]), codes[order])


def test_equal_confidences_share_a_bin():
    confidences = np.array([0.5] * 10 + [1.0] * 90)
    assert bins_of(confidences).tolist() == [0] * 10 + [1] * 90
    assert bins_of(np.array([0.7])).tolist() == [0]


def test_the_error_of_a_case_worked_by_hand():
    found = reliability_of(np.array([0.5, 0.6, 0.9, 1.0]), np.array([True, False, True, True]), num_bins=2)
    assert found.confidence == pytest.approx([0.55, 0.95])
    assert found.accuracy == pytest.approx([0.5, 1])
    assert found.count.tolist() == [2, 2]
    assert (found.low.tolist(), found.high.tolist()) == ([0.5, 0.9], [0.6, 1.0])
    assert found.error == pytest.approx(0.05)
