import numpy as np

from transferkit.training.rate_finder import RateCurve, _suggest


def test_the_suggestion_is_a_tenth_of_the_rate_where_the_loss_explodes():
    rates = np.geomspace(1e-5, 1, 6)
    assert _suggest(rates, np.array([2.0, 1.5, 1.0, 0.6, 0.95, 5.0])) == (rates[4] / 10, True)
    assert _suggest(rates, np.array([0.3, 0.3, 0.3, 0.29, 0.4, 5.0])) == (rates[5] / 10, True)


def test_a_loss_that_did_not_explode_is_told_apart():
    rates = np.geomspace(1e-5, 1, 6)
    assert _suggest(rates, np.array([2.0, 1.5, 1.0, 0.6, 0.5, 0.5])) == (rates[5] / 10, False)


def test_a_curve_is_drawn_on_a_logarithmic_axis():
    curve = RateCurve(np.geomspace(1e-5, 1, 6), np.arange(6.0), 1e-3)
    ax = curve.plot()
    assert ax.get_xscale() == "log"
    assert np.array_equal(ax.lines[0].get_ydata(), np.arange(6.0))
    assert curve._repr_png_().startswith(b"\x89PNG")
    assert curve.plot(ax) is ax
