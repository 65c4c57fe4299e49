"""Multinomial logistic regression with one L2 strength: several problems on the same features, side by side."""

from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import minimize

from transferkit.solvers.axes import RotatedRows, Standardised, StreamedRows, Taken
from transferkit.solvers.examples import rows_of
from transferkit.solvers.losses import SigmoidLoss, SoftmaxLoss
from transferkit.solvers.workers import Workers

_STACK_FLOATS = 1 << 20  # variables of the problems that are solved side by side


@dataclass(frozen=True)
class Images:
    """`Examples` whose features are standardised, and of which each has a weight."""

    rows: Standardised
    labels: np.ndarray
    weights: np.ndarray
    copies: int = 1
    targets: np.ndarray | None = None
    groups: np.ndarray | None = None

    @property
    def row_weights(self):
        """Weights `(copies * n,)` of the rows of features."""
        return np.tile(self.weights, self.copies)

    @property
    def num_floats(self):
        """Numbers in all features."""
        return len(self.rows) * self.rows.shape[1]

    def take(self, indices):
        """Returns some of them, in all their versions."""
        features = self.rows.of(Taken(self.rows.features, rows_of(indices, len(self.labels), self.copies)))
        targets = None if self.targets is None else self.targets[indices]
        groups = None if self.groups is None else self.groups[indices]
        return Images(features, self.labels[indices], self.weights[indices], self.copies, targets, groups)


def standardised(examples, rows):
    """Makes `Images` of `Examples`, whose features are given as `Standardised` rows."""
    return Images(rows, examples.labels, examples.image_weights, examples.copies, examples.targets, examples.groups)


@dataclass(frozen=True)
class Problem:
    """What the problems of all strengths and folds share."""

    design: RotatedRows | StreamedRows
    images: Images
    num_classes: int
    workers: Workers
    loss: SoftmaxLoss | SigmoidLoss = field(default_factory=SoftmaxLoss)


def solve(problem, training, start, strength, tolerance):
    """Solves all problems for one strength, as many side by side as memory allows.

    Args:
        problem: `Problem`.
        training: `(problems, n)` bool, the images of each problem.
        start: `(problems, num_classes, width)` float32, weights to start from.
        strength: L2 strength.
        tolerance: Decrease of the objective in one step that ends the search.

    Returns:
        The weights, shaped as `start`.
    """
    together = max(1, _STACK_FLOATS // start[0].size)
    solved = [
        _minimize(problem, training[i : i + together], start[i : i + together], strength, tolerance)
        for i in range(0, len(start), together)
    ]
    return np.concatenate(solved)


def _minimize(problem, training, start, strength, tolerance):
    row_weights = training * problem.images.weights
    row_weights /= problem.images.copies * row_weights.sum(axis=1, keepdims=True, dtype="float64")
    precondition = problem.design.preconditioner(strength)

    def evaluate(weights):
        loss, gradient = _data_term(problem, row_weights, weights)
        # The intercept, the last column, is not penalised.
        loss += 0.5 * strength * float(np.square(weights[..., :-1]).sum(dtype="float64"))
        gradient[..., :-1] += np.float32(strength) * weights[..., :-1]
        return loss, precondition(gradient)

    # The first step of L-BFGS-B has length 1. Here the problem is nearly round, so the gradient is about as long as the
    # way to the solution: it is the unit.
    first_loss, first_gradient = evaluate(start)
    # At a solution the gradient may be 0.
    unit = np.float32(np.linalg.norm(first_gradient)) or np.float32(1)

    def loss_and_gradient(flat):
        if flat.any():
            way = flat.reshape(start.shape).astype("float32") * unit
            loss, gradient = evaluate(start + precondition(way))
        else:
            loss, gradient = first_loss, first_gradient
        return loss, (gradient * unit).ravel().astype("float64")

    options = {"maxiter": 200, "ftol": tolerance, "gtol": 1e-9}
    found = minimize(loss_and_gradient, np.zeros(start.size), jac=True, method="L-BFGS-B", options=options)
    return start + precondition(found.x.reshape(start.shape).astype("float32") * unit)


def _data_term(problem, row_weights, weights):
    """Weighted loss, summed over the problems, and its gradient by the weights `(problems, classes, width)`.

    Rows of features run along the last axis of everything, so that sums over the few classes are fast.
    """
    problems, classes, width = weights.shape
    wide = weights.reshape(problems * classes, width)
    labels, targets = problem.images.labels, problem.images.targets

    def add(rows):
        images = np.arange(rows.start, rows.stop) % len(labels)
        block = problem.design.rows[rows]
        logits = (wide[:, :-1] @ block.T + wide[:, -1:]).reshape(problems, classes, -1)
        wanted = labels[images] if targets is None else np.ascontiguousarray(targets[images].T)
        loss, residual = problem.loss.compare(logits, wanted, row_weights[:, images])
        residual = residual.reshape(problems * classes, -1)
        return loss, residual @ block, residual.sum(axis=1)

    num_rows = len(problem.design.rows)
    loss, by_kernel, by_bias = problem.workers.sum(add, num_rows, width + 2 * len(wide), result_size=2 * wide.size)
    return loss, np.concatenate([by_kernel, by_bias[:, None]], axis=1).reshape(weights.shape)


def compute_logits(rows, weights, workers):
    """Computes the logits of all rows.

    Args:
        rows: Array-like `(n, num_features)` float32, of the kind that the weights belong to.
        weights: `(num_classes, num_features + 1)` float32, the intercept last.
        workers: `Workers`.

    Returns:
        `(n, num_classes)` float32.
    """

    def compute(part):
        return rows[part] @ weights[:, :-1].T + weights[:, -1]

    return workers.collect(compute, len(rows), rows.shape[1] + len(weights), len(weights))
