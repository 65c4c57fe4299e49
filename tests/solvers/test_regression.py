import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression

from transferkit.solvers.axes import StreamedRows, principal_axes, rotate, standardise
from transferkit.solvers.regression import Images, Problem, compute_logits, solve
from transferkit.solvers.workers import one_worker_a_core


@pytest.fixture
def workers(monkeypatch):
    monkeypatch.setattr("transferkit.solvers.workers._BLOCK_FLOATS", 10_000)
    with one_worker_a_core() as workers:
        yield workers


@pytest.fixture
def images(workers):
    """300 images of 3 classes in two versions, with weights."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 300)
    x = np.tile(0.5 * np.eye(3, 20)[labels], (2, 1)) + rng.normal(size=(600, 20))
    weights = rng.uniform(0.5, 2, 300).astype("float32")
    rows = standardise((x * np.arange(1, 21)).astype("float32"), np.tile(weights, 2), workers)
    return Images(rows, labels, weights, 2)


@pytest.fixture(params=["rotated", "streamed"])
def problem(request, images, workers):
    axes = principal_axes(images.rows, images.row_weights, workers)
    rotated = request.param == "rotated"
    design = rotate(images.rows, axes, workers) if rotated else StreamedRows(images.rows, axes)
    return Problem(design, images, 3, workers)


def objective(weights, images, training, strength):
    """What is minimised, written out in double precision."""
    logits = images.rows[:].astype("float64") @ weights[:, :-1].T + weights[:, -1]
    losses = -log_softmax(logits, axis=1)[np.arange(600), np.tile(images.labels, 2)]
    loss = np.average(losses, weights=np.tile(images.weights * training, 2))
    return loss + strength / 2 * np.square(weights[:, :-1]).sum()


def scikit_learn(images, training, strength):
    row_weights = np.tile(images.weights * training, 2)
    model = LogisticRegression(C=1 / (strength * row_weights.sum()), tol=1e-10, max_iter=10_000)
    model.fit(images.rows[:].astype("float64"), np.tile(images.labels, 2), row_weights)
    return np.hstack([model.coef_, model.intercept_[:, None]])


@pytest.mark.parametrize("strength", [1.0, 0.01, 0.0001])
def test_each_problem_is_brought_to_its_optimum(problem, images, strength):
    training = np.stack([np.arange(300) % 3 != fold for fold in range(3)])
    start = np.zeros((3, 3, 21), "float32")
    solved = problem.design.standardised(solve(problem, training, start, strength, 1e-6))
    for weights, part in zip(solved, training, strict=True):
        best = objective(scikit_learn(images, part, strength), images, part, strength)
        assert best - 1e-7 <= objective(weights, images, part, strength) <= best + 1e-4


def test_a_solution_stays_where_it_is(problem):
    training = np.ones((1, 300), bool)
    solved = solve(problem, training, np.zeros((1, 3, 21), "float32"), 0.1, 1e-9)
    assert solve(problem, training, solved, 0.1, 1e-4) == pytest.approx(solved, abs=1e-3)


def test_some_images_are_taken_in_all_versions(images):
    taken = images.take(np.array([7, 2]))
    assert taken.rows[:] == pytest.approx(images.rows[:][[7, 2, 307, 302]])
    assert taken.labels.tolist() == images.labels[[7, 2]].tolist()
    assert taken.weights.tolist() == images.weights[[7, 2]].tolist()
    assert (taken.copies, taken.num_floats, images.num_floats) == (2, 80, 12_000)


def test_logits_are_those_of_the_weights(images, workers):
    weights = np.random.default_rng(0).normal(size=(3, 21)).astype("float32")
    logits = compute_logits(images.rows, weights, workers)
    assert logits == pytest.approx(images.rows[:] @ weights[:, :-1].T + weights[:, -1], abs=1e-4)
