import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from transferkit.evaluation.plots.curves import draw_precision_recall, draw_roc, precision_recall_curves, roc_curves


@pytest.fixture
def sample():
    rng = np.random.default_rng(0)
    truth = rng.random((400, 6)) < 0.3
    return truth, (rng.normal(size=truth.shape) + truth).round(1)  # with ties


def test_areas_are_those_of_scikit_learn(sample):
    areas = [curve.area for curve in roc_curves(*sample)]
    assert areas == pytest.approx(roc_auc_score(*sample, average=None), abs=1e-12)
    areas = [curve.area for curve in precision_recall_curves(*sample)]
    assert areas == pytest.approx(average_precision_score(*sample, average=None), abs=1e-12)


def test_a_class_without_images_has_no_curve(sample, drawn):
    truth, scores = sample
    truth[:, 0], truth[:, 1] = False, True
    for curves, draw in (
        (roc_curves(truth, scores), draw_roc),
        (precision_recall_curves(truth, scores), draw_precision_recall),
    ):
        assert [curve is None for curve in curves] == [True, True, False, False, False, False]
        drawn(draw(curves, list("abcdef")))


@pytest.mark.parametrize("draw", [draw_roc, draw_precision_recall])
def test_without_any_curve_it_is_said_so(draw, drawn):
    assert any("no class" in text for text in drawn(draw([None], ["a"])))


def test_up_to_four_classes_are_named_and_of_more_the_worst(sample, drawn):
    curves = roc_curves(*sample)
    few = drawn(draw_roc(curves[:4], list("abcd")))
    assert sum(", AUC" in text for text in few) == 4
    worst = sorted(zip(curves, "abcdef", strict=True), key=lambda item: item[0].area)[:3]
    many = [text for text in drawn(draw_roc(curves, list("abcdef"))) if ", AUC" in text]
    assert [text[0] for text in many[:3]] == [name for _, name in worst]
    assert many[3].startswith("mean of 6 classes, AUC")


def area_below(line):
    x, y = line.get_xdata(), line.get_ydata()
    if line.get_drawstyle() == "steps-pre":
        return np.sum(np.diff(x) * y[1:])
    return np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2)


@pytest.mark.parametrize(
    ("compute", "draw"), [(roc_curves, draw_roc), (precision_recall_curves, draw_precision_recall)]
)
def test_the_mean_curve_has_the_mean_area(compute, draw, sample):
    curves = compute(*sample)
    (mean,) = [line for line in draw(curves, list("abcdef")).lines if len(line.get_xdata()) == 101]
    assert np.sum(np.diff(mean.get_xdata()) * (mean.get_ydata()[1:] + mean.get_ydata()[:-1]) / 2) == pytest.approx(
        np.mean([curve.area for curve in curves]), abs=0.01
    )


def test_long_curves_are_thinned_without_changing_their_shape():
    rng = np.random.default_rng(0)
    truth = rng.random((20_000, 1)) < 0.5
    (curve,) = roc_curves(truth, rng.normal(size=truth.shape) + truth)
    line = draw_roc([curve], ["a"]).lines[1]
    assert len(line.get_xdata()) <= 300 < len(curve.x)
    assert area_below(line) == pytest.approx(curve.area, abs=1e-3)
