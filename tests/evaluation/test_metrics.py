import numpy as np
import pytest

from transferkit.evaluation.metrics import accuracy_interval, class_metrics


def test_the_interval_is_wilsons():
    z, n, p = 1.959964, 300, 0.86
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert accuracy_interval(258, 300) == pytest.approx((centre - half, centre + half), abs=1e-6)


def test_the_interval_stays_within_0_and_1():
    assert accuracy_interval(0, 5)[0] == 0
    assert accuracy_interval(5, 5)[1] == 1


def test_class_metrics_of_a_case_worked_by_hand():
    precision, recall, f1, support, confusion = class_metrics([0, 0, 0, 1, 1], [0, 0, 1, 1, 2], 4)
    assert precision == pytest.approx([1, 1 / 2, 0, 0])
    assert recall == pytest.approx([2 / 3, 1 / 2, 0, 0])
    assert f1 == pytest.approx([0.8, 0.5, 0, 0])
    assert support.tolist() == [3, 2, 0, 0]
    assert confusion.tolist() == [[2, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
