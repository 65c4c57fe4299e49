import numpy as np
import pytest
from matplotlib.colors import to_rgb

from transferkit._utils.figures import ShownAxes, new_axes
from transferkit.evaluation.plots.style import COLOURS, GRAY, as_written, axes_or_new, label_lines, shades, short


def luminance(colour):
    """Relative luminance of WCAG 2."""
    channels = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return np.dot([0.2126, 0.7152, 0.0722], channels)


@pytest.mark.parametrize("colour", [*COLOURS, GRAY])
def test_colours_stand_out_on_white_and_on_black(colour):
    assert 1.05 / (luminance(colour) + 0.05) >= 3
    assert (luminance(colour) + 0.05) / 0.05 >= 3


def test_new_axes_are_made_where_none_are_given():
    assert isinstance(axes_or_new(None), ShownAxes)
    ax = new_axes(2, 2)
    assert axes_or_new(ax) is ax


def test_names_are_cut_and_on_one_line():
    assert short("a\nb\t c") == "a b c"
    assert short("x" * 30) == "x" * 19 + "…"
    assert short("") == "(empty)"


def test_any_name_may_stand_in_a_legend(drawn):
    ax = new_axes(2, 2)
    label_lines(ax, ax.plot([0, 1]) + ax.plot([1, 0]), ["_hidden_", r"$\oops"])
    assert {"_hidden_", r"$\oops"} <= set(drawn(ax))


def test_dollar_signs_are_no_formulas(drawn):
    ax = new_axes(2, 2)
    as_written([ax.text(0, 0, r"$\frac{$")])
    assert r"$\frac{$" in drawn(ax)


def test_shades_begin_at_nothing():
    assert shades("#ff0000")([0.0, 1.0]).tolist() == [[1, 0, 0, 0], [1, 0, 0, 1]]
