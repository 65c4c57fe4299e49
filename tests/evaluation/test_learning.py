import numpy as np
import pytest

from transferkit.evaluation.learning import LearningCurve


@pytest.fixture
def curve():
    return LearningCurve(np.array([20.0, 1000.0]), np.array([[0.5, 0.7], [0.8, 0.8]]))


def test_scores_are_summed_up_over_the_folds(curve):
    assert curve.means.tolist() == [0.6, 0.8]
    assert curve.spread == pytest.approx([0.1 * 2**0.5, 0])
    assert curve.to_dict() == {"sizes": [20, 1000], "scores": [[0.5, 0.7], [0.8, 0.8]]}


def test_it_prints_as_a_table(curve):
    assert str(curve).splitlines()[2].split() == ["1,000", "0.800", "0.000"]
    assert repr(curve) == "LearningCurve(20: 0.600, 1,000: 0.800)"


def test_a_notebook_shows_the_plot(curve):
    assert curve._repr_png_().startswith(b"\x89PNG")
    assert curve.plot().lines[0].get_ydata() == pytest.approx(curve.means)


def test_one_fold_has_no_spread():
    assert LearningCurve(np.array([10.0]), np.array([[0.5]])).spread.tolist() == [0]
