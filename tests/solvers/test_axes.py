import numpy as np
import pytest

from transferkit.solvers.axes import RotatedRows, StreamedRows, Taken, principal_axes, rotate, standardise
from transferkit.solvers.workers import one_worker_a_core


@pytest.fixture
def workers(monkeypatch):
    monkeypatch.setattr("transferkit.solvers.workers._BLOCK_FLOATS", 1000)
    with one_worker_a_core() as workers:
        yield workers


@pytest.fixture(params=[(400, 20), (30, 50)], ids=["more rows", "more columns"])
def features(request):
    num_features = request.param[1]
    rng = np.random.default_rng(0)
    x = rng.normal(size=request.param) @ rng.normal(size=(num_features, num_features))
    return (x * np.linspace(1, 100, num_features) + 1000).astype("float32")


def ones(rows):
    return np.ones(len(rows), "float32")


def test_features_are_standardised_as_they_are_read(features, workers):
    rows = standardise(features, ones(features), workers)
    expected = (features - features.mean(axis=0)) / features.std(axis=0)
    assert rows[3:7] == pytest.approx(expected[3:7], abs=1e-3)
    assert rows.of(Taken(features, np.array([5, 2])))[:] == pytest.approx(expected[[5, 2]], abs=1e-3)
    assert rows[:].dtype == "float32"


def test_a_feature_that_never_changes_becomes_zero(features, workers):
    features[:, 4] = 0.1
    rows = standardise(features, ones(features), workers)
    assert not rows[:][:, 4].any()
    axes = principal_axes(rows, ones(rows), workers)
    assert np.abs(axes.directions[4]).max() < 1e-5


def test_the_order_of_rows_does_not_change_the_scale(features, workers):
    by_size = features[features.sum(axis=1).argsort()]  # the first rows tell little about the rest
    assert standardise(by_size, ones(by_size), workers).scale == pytest.approx(features.std(axis=0), rel=1e-3)


def test_axes_are_those_of_the_covariance(features, workers):
    rows = standardise(features, ones(features), workers)
    axes = principal_axes(rows, ones(rows), workers)
    z = rows[:].astype("float64")
    variances = np.linalg.eigvalsh(z.T @ z / len(z))[::-1]
    rank = min(len(z) - 1, z.shape[1])
    assert axes.variances[::-1][:rank] == pytest.approx(variances[:rank], rel=1e-3, abs=1e-4)
    directions = axes.directions[:, -rank:]
    assert directions.T @ directions == pytest.approx(np.eye(rank), abs=1e-3)
    covariance = directions.T @ (z.T @ z / len(z)) @ directions
    assert covariance == pytest.approx(np.diag(axes.variances[-rank:]), abs=1e-3 * variances[0])


def test_weights_give_the_same_logits_wherever_they_are_applied(features, workers):
    rows = standardise(features, ones(features), workers)
    design = rotate(rows, principal_axes(rows, ones(rows), workers), workers)
    weights = np.random.default_rng(1).normal(size=(3, design.rows.shape[1] + 1)).astype("float32")
    logits = design.rows @ weights[:, :-1].T + weights[:, -1]
    plain = design.standardised(weights)
    assert rows[:] @ plain[:, :-1].T + plain[:, -1] == pytest.approx(logits, abs=0.01)
    kernel, bias = rows.unscale(plain)
    assert features @ kernel + bias == pytest.approx(logits, abs=0.05)


def test_both_preconditioners_do_the_same(features, workers):
    rows = standardise(features, ones(features), workers)
    axes = principal_axes(rows, ones(rows), workers)
    rotated, streamed = RotatedRows(rows[:] @ axes.directions, axes), StreamedRows(rows, axes)
    weights = np.random.default_rng(1).normal(size=(2, 3, len(axes.variances) + 1)).astype("float32")
    found = streamed.preconditioner(0.1)(rotated.standardised(weights))
    assert found == pytest.approx(rotated.standardised(rotated.preconditioner(0.1)(weights)), abs=0.01)


def test_directions_that_a_sample_does_not_show_are_left_a_mean_variance(workers):
    x = np.random.default_rng(0).normal(size=(2000, 50)).astype("float32")
    rows = standardise(x, ones(x), workers)
    axes = principal_axes(rows.of(Taken(x, np.arange(20))), np.ones(20, "float32"), workers)
    assert axes.directions.shape == (50, 20)
    assert axes.rest == pytest.approx((50 - axes.variances.sum()) / 30, rel=1e-3)
    inside, outside = np.linalg.qr(np.hstack([axes.directions, np.eye(50)]))[0][:, [0, 30]].T
    design = StreamedRows(rows, axes)
    stretched = design.preconditioner(0.1)(np.append(outside, 1)[None].astype("float32"))
    assert stretched[0, :-1] == pytest.approx(outside / np.sqrt(0.05 * axes.rest + 0.1), abs=1e-3)
    assert stretched[0, -1] == pytest.approx(1 / np.sqrt(0.05))
    stretched = design.preconditioner(0.1)(np.append(inside, 1)[None].astype("float32"))
    assert stretched[0, :-1] == pytest.approx(inside / np.sqrt(0.05 * axes.variances[0] + 0.1), abs=1e-3)


@pytest.fixture
def repeated(features):
    """Weights 0, 1 and 2 of the features, and the rows that stand for them."""
    weights = np.tile([1, 2, 0], len(features))[: len(features)]
    features[weights == 0] *= 1.5  # what has no weight must not be seen
    return weights.astype("float32"), np.repeat(features, weights, axis=0)


def test_a_row_without_weight_is_not_there_and_one_of_twice_the_weight_there_twice(features, repeated, workers):
    weights, as_rows = repeated
    found, expected = standardise(features, weights, workers), standardise(as_rows, ones(as_rows), workers)
    assert found.mean == pytest.approx(expected.mean, rel=1e-5)
    assert found.scale == pytest.approx(expected.scale, rel=1e-4)


def test_axes_are_those_of_rows_as_often_as_they_weigh(features, repeated, workers):
    weights, as_rows = repeated
    found = principal_axes(standardise(features, weights, workers), weights, workers)
    expected = principal_axes(standardise(as_rows, ones(as_rows), workers), ones(as_rows), workers)
    rank = min(len(np.unique(as_rows, axis=0)) - 1, features.shape[1])
    for axes in (found, expected):
        assert (axes.variances[:-rank] < 1e-5 * axes.variances[-1]).all()
    assert found.variances[-rank:] == pytest.approx(expected.variances[-rank:], rel=1e-2, abs=1e-4)
    overlap = np.abs(np.sum(found.directions[:, -3:] * expected.directions[:, -3:], axis=0))
    assert overlap == pytest.approx(np.ones(3), abs=1e-3)
    assert found.rest == pytest.approx(expected.rest, abs=1e-3)
