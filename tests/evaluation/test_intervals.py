import inspect

import numpy as np
import pytest
from scipy.stats import bootstrap

from transferkit.evaluation.intervals import (
    STRETCHES,
    Resampling,
    bca_interval,
    distance_interval,
    num_resamples,
    resample,
)


def mean_interval(values, groups=None, count=1000):
    resampling = Resampling(len(values), groups)
    ((drawn, left_out),) = resample([lambda weights: values @ weights / weights.sum(axis=0)], resampling, count)
    return bca_interval(values.mean(), drawn, left_out, resampling.num_units)


def test_images_are_drawn_as_often_as_there_are():
    weights = np.concatenate(list(Resampling(50).draws(200)), axis=1)
    assert weights.shape == (50, 200)
    assert (weights.sum(axis=0) == 50).all()
    assert weights.var() == pytest.approx(1 - 1 / 50, rel=0.05)  # of a multinomial


def test_groups_are_drawn_whole():
    groups = np.array([7, 7, 2, 9, 9, 9])
    resampling = Resampling(6, groups)
    (weights,) = resampling.draws(30)
    assert resampling.num_units == 3
    assert (weights[0] == weights[1]).all()
    assert (weights[3] == weights[5]).all()
    assert (weights[[0, 2, 3]].sum(axis=0) == 3).all()
    left_out = resampling.blocks() == 0
    assert sorted(left_out.sum(axis=0).tolist()) == [1, 2, 3]


def test_draws_do_not_depend_on_how_many_fit_into_memory(monkeypatch):
    whole = np.concatenate(list(Resampling(20).draws(40)), axis=1)
    monkeypatch.setattr("transferkit.evaluation.intervals._MOST_WEIGHTS", 100)
    parts = list(Resampling(20).draws(40))
    assert len(parts) == 8
    assert np.concatenate(parts, axis=1).shape == whole.shape


def test_the_interval_is_that_of_scipy_but_for_chance():
    values = np.random.default_rng(0).exponential(size=200)
    seed = "rng" if "rng" in inspect.signature(bootstrap).parameters else "random_state"  # SciPy before 1.15
    options = {"n_resamples": 20_000, "method": "BCa", "vectorized": True, seed: np.random.default_rng(1)}
    expected = bootstrap((values,), np.mean, **options).confidence_interval
    width = expected.high - expected.low
    found = mean_interval(values, count=20_000)
    assert found == pytest.approx((expected.low, expected.high), abs=0.04 * width)
    assert found[1] - values.mean() > values.mean() - found[0]  # as skewed as the numbers are


def test_images_of_one_group_tell_less_than_as_many_others():
    values = np.random.default_rng(0).normal(size=50).repeat(8)
    alone, together = mean_interval(values), mean_interval(values, np.arange(50).repeat(8))
    ratio = np.ptp(together) / np.ptp(alone)
    assert ratio == pytest.approx(np.sqrt(8), rel=0.15)


def test_what_resamples_do_not_tell_is_nan():
    assert np.isnan(mean_interval(np.ones(20))).all()
    assert np.isnan(bca_interval(2.0, np.arange(5.0), np.arange(2.0), num_units=1)).all()
    lacking = np.where(np.arange(100) < 60, np.nan, np.arange(100))
    assert np.isnan(bca_interval(80, lacking, np.arange(10.0), 100)).all()


def test_numbers_are_missing_from_a_few_resamples_only():
    drawn, left_out = np.random.default_rng(0).normal(size=1000), np.random.default_rng(1).normal(size=100) / 100
    drawn[::50] = np.nan
    low, high = bca_interval(0.0, drawn, left_out, 1000)
    assert (low, high) == pytest.approx((-1.96, 1.96), abs=0.25)


def test_many_images_and_classes_are_resampled_less_often():
    assert num_resamples(2000, 10) == 1000
    assert num_resamples(10_000, 200) == 200


def test_a_calibration_error_that_chance_explains_may_be_0():
    deviations = np.random.default_rng(0).normal(0, 0.05 / 15, (15, 1000))
    nothing_more = np.zeros((15, len(STRETCHES)))
    low, high = distance_interval(deviations[:, 0], deviations, nothing_more)
    assert low == 0
    assert high < 0.1
    low, high = distance_interval(np.full(15, 0.02), deviations, nothing_more)
    assert (low, high) == pytest.approx((0.3 - 1.96 * 0.05 / 15**0.5, 0.3 + 1.96 * 0.05 / 15**0.5), abs=0.003)


def test_bins_without_a_mistake_vary_as_their_probabilities_say():
    gaps, still = np.full(15, 0.002), np.zeros((15, 1000))
    low, high = distance_interval(gaps, still, np.full((15, len(STRETCHES)), 0.002))
    assert low == 0
    assert high > 0.035
    assert distance_interval(gaps, still, np.zeros((15, len(STRETCHES)))) == pytest.approx((0.03, 0.03), rel=0.05)


def test_the_error_that_was_found_lies_in_its_interval():
    noise = np.random.default_rng(0).normal(0, 0.01, (15, 1000))
    low, high = distance_interval(np.full(15, 1e-6), noise, np.zeros((15, len(STRETCHES))))  # less than chance makes
    assert low <= 15e-6 <= high
