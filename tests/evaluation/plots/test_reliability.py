import numpy as np
import pytest

from transferkit.evaluation.plots.reliability import draw_reliability


def test_points_are_the_bins_that_have_images(drawn):
    ax = draw_reliability([0.2, 0.5, 0.9], [0.3, np.nan, 0.8], [5, 0, 20], [[0.1, 0.5], [0, 1], [0.7, 0.9]], 0.1234)
    points = ax.lines[1]
    assert points.get_xydata().tolist() == [[0.2, 0.3], [0.9, 0.8]]
    assert ax.get_title(loc="left") == "calibration error 0.123"
    drawn(ax)


@pytest.mark.parametrize("confidence", [[1.0], [0.999999, 1.0], [0.5, 0.5000001, 0.6]])
def test_confidences_may_be_all_alike(confidence, drawn):
    drawn(draw_reliability(confidence, np.ones(len(confidence)), np.ones(len(confidence))))
