"""Multinomial logistic regression over a whole path of L2 strengths, with cross-validation, in one go.

Every strength and every fold works on the same feature matrix. Two things follow, and make the path cheap:

- one rotation of the features into their principal axes, scaled by how much the loss can bend along each, makes the
  problem nearly round for every strength and fold alike, so that L-BFGS needs tens of steps where it needed hundreds;
- the folds and the final fit are solved side by side, their weights stacked into one wide matrix, so that each step is
  one large matrix product instead of many thin ones.
"""

import os
import warnings
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
from scipy.optimize import minimize
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import ThreadpoolController

from transferkit.evaluation.calibration import judge_at_best_temperature

STRENGTHS = tuple(float(strength) for strength in np.logspace(1, -3.5, 10))

_BLOCK_FLOATS = 1 << 22  # logits held at once while the rows are walked through
_STACK_FLOATS = 1 << 21  # variables of the problems that are solved side by side
_PATIENCE = 2  # weaker strengths tried after the best one before the path ends
_WORTHWHILE = 1e-3  # relative gain in held-out loss below which a weaker strength is no better
_CURVATURE = 0.05  # typical p (1 - p): what a direction's variance is worth in curvature


@dataclass(frozen=True)
class LogisticPath:
    """The outcome of `fit_logistic_path`.

    Attributes:
        kernel: `(num_features, num_classes)` float32, for features as they were given, not standardised.
        bias: `(num_classes,)` float32.
        strength: The L2 strength that was chosen.
        strengths: Strengths that were tried, from strong to weak.
        val_loss: Held-out log loss of each at its temperature, in nats, against Platt's targets
            (see `judge_at_best_temperature`).
        val_accuracy: Held-out accuracy of each.
        temperature: What the logits of each are divided by; that of the chosen one is part of `kernel` and `bias`.
    """

    kernel: np.ndarray
    bias: np.ndarray
    strength: float
    strengths: tuple[float, ...]
    val_loss: tuple[float, ...]
    val_accuracy: tuple[float, ...]
    temperature: tuple[float, ...]


def fit_logistic_path(features, labels, num_classes, *, class_weights=None, strengths=STRENGTHS, folds=5,
                      validation=None, seed=0, on_strength=lambda count: None):  # fmt: skip
    """Fits `softmax(features @ kernel + bias)` and chooses its L2 strength on data it was not fitted to.

    Minimises the mean log loss plus `strength / 2` times the squared norm of the weights on standardised features, by
    L-BFGS (Liu & Nocedal, 1989), from the strongest to the weakest strength, each starting from the one before. The
    path ends when held-out data has shown two weaker strengths to be worse than the best.

    Strengths are compared by their held-out log loss after temperature scaling (Guo et al., ICML 2017): a strong
    penalty makes a classifier timid before it makes it wrong, and one number mends the former. Without it the path
    prefers weaker penalties, and was less accurate wherever we measured (`benchmarks/solver.py`). The temperature stays
    in the weights, so the probabilities are calibrated.

    Args:
        features: `(n, num_features)` float32.
        labels: `(n,)` integer codes below `num_classes`, each class at least twice.
        num_classes: Number of classes.
        class_weights: `(num_classes,)` weights in the loss, held-out loss and accuracy included, or `None`.
        strengths: L2 strengths to try, from strong to weak.
        folds: Number of stratified folds of the cross-validation; fewer if every class has fewer images.
        validation: `(features, labels)` to choose the strength on instead of cross-validation.
        seed: Seed of the folds.
        on_strength: Called with 1 after each strength, and with the number of those that were not needed.

    Returns:
        A `LogisticPath`; its weights are fitted to all of `features`.
    """
    axes = _principal_axes(features)
    rotated = axes.rotate(features)
    if validation is None:
        held_out = _fold_masks(labels, folds, seed)
        judge = partial(_cross_validate, rotated, labels, held_out, _weights_of(labels, class_weights))
    else:
        held_out = np.zeros((0, len(labels)), bool)
        judge = partial(_validate, axes.rotate(validation[0]), validation[1], _weights_of(validation[1], class_weights))
    training_rows = np.vstack([~held_out, np.ones((1, len(labels)), bool)])
    if class_weights is not None:
        training_rows = training_rows * _weights_of(labels, class_weights)

    weights = np.zeros((len(training_rows), num_classes, rotated.shape[1] + 1), "float32")
    tried, best = [], None
    for strength in strengths:
        weights = _solve(rotated, labels, training_rows, weights, strength, axes.variances)
        tried.append(_Trial(strength, *judge(weights)))
        on_strength(1)
        if best is None or tried[-1].val_loss < (1 - _WORTHWHILE) * tried[best].val_loss:
            best, best_weights = len(tried) - 1, weights[-1]
        elif best < len(tried) - _PATIENCE:
            break
    on_strength(len(strengths) - len(tried))
    kernel, bias = axes.unrotate(best_weights / tried[best].temperature)
    columns = {
        name: tuple(getattr(trial, name) for trial in tried) for name in ("val_loss", "val_accuracy", "temperature")
    }
    return LogisticPath(kernel, bias, tried[best].strength, tuple(trial.strength for trial in tried), **columns)


@dataclass(frozen=True)
class _Trial:
    strength: float
    val_loss: float
    val_accuracy: float
    temperature: float


@dataclass(frozen=True)
class _Axes:
    """Principal axes of standardised features."""

    mean: np.ndarray
    scale: np.ndarray
    directions: np.ndarray  # (num_features, rank)
    variances: np.ndarray  # (rank,)

    def rotate(self, features):
        directions = self.directions / self.scale[:, None]
        offset = self.mean @ directions
        rotated = np.empty((len(features), directions.shape[1]), "float32")
        for rows in _blocks(len(features), features.shape[1]):
            rotated[rows] = features[rows] @ directions - offset
        return rotated

    def unrotate(self, weights):
        """Weights `(num_classes, rank + 1)` on the axes, the intercept last, as kernel and bias for plain features."""
        kernel = (self.directions @ weights[:, :-1].T) / self.scale[:, None]
        return kernel.astype("float32"), (weights[:, -1] - self.mean @ kernel).astype("float32")


def _principal_axes(features):
    mean = features.mean(axis=0, dtype="float64")
    scale = np.sqrt(np.maximum(_mean_square_deviation(features, mean), 0))
    scale[scale <= 1e-6 * np.abs(mean)] = np.inf  # a constant feature says nothing: its weights become 0
    mean, scale = mean.astype("float32"), scale.astype("float32")
    if len(features) < features.shape[1]:
        standardised = (features - mean) / scale
        variances, left = np.linalg.eigh((standardised @ standardised.T).astype("float64") / len(features))
        keep = variances > 1e-7 * variances[-1]
        variances, left = variances[keep], left[:, keep]
        directions = standardised.T @ (left / np.sqrt(len(features) * variances)).astype("float32")
    else:
        variances, directions = np.linalg.eigh(_covariance(features, mean, scale))
        keep = variances > 1e-7 * variances[-1]
        variances, directions = variances[keep], directions[:, keep]
    return _Axes(mean, scale, directions.astype("float32"), variances.astype("float32"))


def _mean_square_deviation(features, mean):
    total = np.zeros(features.shape[1])
    for rows in _blocks(len(features), features.shape[1]):
        total += np.square(features[rows] - mean).sum(axis=0)
    return total / len(features)


def _covariance(features, mean, scale):
    total = np.zeros((features.shape[1], features.shape[1]))
    for rows in _blocks(len(features), features.shape[1]):
        block = (features[rows] - mean) / scale
        total += block.T @ block
    return total / len(features)


def _solve(rotated, labels, training_rows, start, strength, variances):
    """Solves all problems for one strength, as many side by side as memory allows."""
    # Along an axis of variance v the loss bends by about v p (1 - p) and the penalty by `strength`.
    stretch = np.append(1 / np.sqrt(_CURVATURE * variances + strength), 1 / np.sqrt(_CURVATURE)).astype("float32")
    penalty = np.append(np.full(len(variances), strength), 0).astype("float32") * stretch**2
    together = max(1, _STACK_FLOATS // start[0].size)
    solved = [
        _minimize(rotated, labels, training_rows[i : i + together], start[i : i + together], stretch, penalty)
        for i in range(0, len(start), together)
    ]
    return np.concatenate(solved)


def _minimize(rotated, labels, training_rows, start, stretch, penalty):
    row_weights = (training_rows / training_rows.sum(axis=1, keepdims=True)).astype("float32")
    shape = start.shape

    def loss_and_gradient(flat):
        stretched = flat.reshape(shape).astype("float32")
        loss, gradient = _data_term(rotated, labels, row_weights, stretched * stretch)
        gradient = gradient * stretch + penalty * stretched
        loss += 0.5 * float(np.einsum("pkr,r,pkr->", stretched, penalty, stretched, dtype="float64"))
        return loss, gradient.ravel().astype("float64")

    flat = (start / stretch).ravel().astype("float64")
    options = {"maxiter": 200, "ftol": 1e-6, "gtol": 1e-5}
    with _one_thread_in_scipy():
        result = minimize(loss_and_gradient, flat, jac=True, method="L-BFGS-B", options=options)
    return result.x.reshape(shape).astype("float32") * stretch


def _one_thread_in_scipy():
    """Keeps SciPy's BLAS to one thread for a while; NumPy's keeps its own.

    Each brings a pool of threads that spin for a moment after their work. L-BFGS goes back and forth between the two,
    and on few cores they then wait for each other: up to 25 times slower.
    """
    return _scipy_blas().limit(limits=1)


@cache
def _scipy_blas():
    controller = ThreadpoolController()
    paths = [library["filepath"] for library in controller.info()]
    return controller.select(filepath=[path for path in paths if f"{os.sep}scipy" in path])


def _data_term(rotated, labels, row_weights, weights):
    """Weighted log loss, summed over the problems, and its gradient by the weights `(problems, classes, rank + 1)`.

    Rows of features run along the last axis of everything, so that sums over the few classes are fast.
    """
    problems, classes, width = weights.shape
    wide = weights.reshape(problems * classes, width)
    gradient = np.zeros_like(wide)
    loss = 0.0
    for rows in _blocks(len(rotated), problems * classes):
        codes, positions = labels[rows], np.arange(rows.stop - rows.start)
        logits = (wide[:, :-1] @ rotated[rows].T + wide[:, -1:]).reshape(problems, classes, -1)
        logits -= logits.max(axis=1, keepdims=True)
        target = logits[:, codes, positions]
        residual = np.exp(logits, out=logits)
        normaliser = residual.sum(axis=1)
        loss += float(np.sum((np.log(normaliser) - target) * row_weights[:, rows], dtype="float64"))
        residual *= (row_weights[:, rows] / normaliser)[:, None]
        residual[:, codes, positions] -= row_weights[:, rows]
        residual = residual.reshape(problems * classes, -1)
        gradient[:, :-1] += residual @ rotated[rows]
        gradient[:, -1] += residual.sum(axis=1)
    return loss, gradient.reshape(weights.shape)


def _fold_masks(labels, folds, seed):
    """Boolean `(folds, n)`: which rows each fold holds out. A class of two images or more is in every training part."""
    folds = max(2, min(folds, int(np.bincount(labels).max())))
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    masks = np.zeros((folds, len(labels)), bool)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)  # it is held out in some folds only
        for mask, (_, held_out) in zip(masks, splitter.split(np.zeros(len(labels)), labels), strict=True):
            mask[held_out] = True
    return masks


def _weights_of(labels, class_weights):
    return None if class_weights is None else class_weights[labels]


def _cross_validate(rotated, labels, held_out, row_weights, weights):
    """Judges the weights of each fold on the rows it did not see, all folds together."""
    logits = np.empty((len(labels), weights.shape[1]), "float32")
    for rows, fold_weights in zip(held_out, weights, strict=False):
        logits[rows] = _logits(rotated[rows], fold_weights)
    return judge_at_best_temperature(logits, labels, row_weights)


def _validate(rotated, labels, row_weights, weights):
    """Judges the weights that were fitted to all rows on other data."""
    return judge_at_best_temperature(_logits(rotated, weights[-1]), labels, row_weights)


def _logits(rotated, weights):
    return rotated @ weights[:, :-1].T + weights[:, -1]


def _blocks(rows, width):
    """Slices that walk through `rows` rows of `width` floats a block at a time."""
    size = max(256, _BLOCK_FLOATS // max(1, width))
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]
