"""How good a classifier's logits are once their temperature is right.

Labels are integer codes `(n,)` or, where an image can have any number of labels, `(n, num_classes)` of 0 and 1.
"""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit

_LOG_SHARPNESS = (-2.0, 4.0)  # range of the logarithm of 1 / temperature
_TINY = 1e-30
_MOST_STEPS = 5
_CLOSE = 1e-6  # relative step that is the last one: float32 does not know better
_SPREAD = 0.5  # standard deviation of the logarithm of temperatures, before any image was seen
_BY_CHANCE = 6.63  # twice the gain in log likelihood that a temperature has by chance in one of 100 cases
_FLAT = 1e-6  # second derivative by the logarithm of the sharpness, in nats, below which there is no minimum to find


def logits_of(probabilities, labels):
    """Returns logits, up to a constant for each image, of probabilities `(n, num_classes)`."""
    logits = np.log(np.maximum(probabilities, _TINY))
    if labels.ndim == 1:
        return logits
    return logits - np.log(np.maximum(1 - probabilities.astype("float64"), 1e-16)).astype("float32")


def log_loss(logits, labels, weights=None):
    """Returns the mean log loss in nats of logits `(n, num_classes)`, of images with weights `(n,)` or `None`."""
    return float(np.average(losses_of(logits, labels), weights=weights))


def losses_of(logits, labels):
    """Returns the log loss in nats of each image, `(n,)`, for logits `(n, num_classes)`: of many labels, their mean."""
    if labels.ndim == 2:
        return np.mean(np.logaddexp(0, logits) - labels * logits, axis=1)
    logits = logits - logits.max(axis=1, keepdims=True)
    return np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(labels)), labels]


def accuracy_of(logits, labels, weights=None):
    """Returns the share of right predictions: of images or, where there are many labels for each, of labels."""
    right = (logits > 0) == (labels > 0) if labels.ndim == 2 else logits.argmax(axis=1) == labels
    return float(np.average(right.mean(axis=1) if right.ndim == 2 else right, weights=weights))


def fit_temperature(logits, labels, is_fitted=False):
    """Returns the most probable temperature, which logits are to be divided by (Guo et al., ICML 2017).

    A temperature is taken to be near 1 unless images say otherwise: its logarithm is normal around 0 with a standard
    deviation of 0.5. So ten images move it a little, and a thousand where they want. Platt's targets, which
    `judge_at_best_temperature` has, would make a classifier of many classes underconfident until each has hundreds of
    images (`benchmarks/calibration.py`).

    Args:
        logits: `(n, num_classes)`, up to a constant in each row for codes.
        labels: `(n,)` integer codes, or `(n, num_classes)`.
        is_fitted: Whether 1 is the temperature that was fitted to other images. It stays then, unless these contradict
            it beyond chance: by a likelihood-ratio test at 1 %.
    """
    logits, count = logits.astype("float64"), labels.size

    def loss(log_sharpness):
        return count * log_loss(logits * np.exp(log_sharpness), labels)

    found = minimize_scalar(
        lambda log_sharpness: loss(log_sharpness) + (log_sharpness / _SPREAD) ** 2 / 2,
        bounds=_LOG_SHARPNESS,
        method="bounded",
        options={"xatol": 1e-6},
    )
    if is_fitted and 2 * (loss(0.0) - loss(found.x)) < _BY_CHANCE:
        return 1.0
    return float(np.exp(-found.x))


def judge_at_best_temperature(logits, labels, weights=None, is_judged=None):
    """Finds the temperature at which the log loss is least (Guo et al., ICML 2017).

    A few held-out images that are all right would have probabilities of 1. So a class of `m` images expects only
    `(m + 1) / (m + 2)` for itself and shares the rest among the others (Platt, 1999). An image of the weight that is
    usual in its class counts as one of these, one of twice that weight as two: weights of classes, which are the same
    for all images of one, make it neither larger nor smaller.

    Args:
        logits: `(n, num_classes)` float32, up to a constant in each row for codes; log probabilities will do.
        labels: `(n,)` integer codes, or `(n, num_classes)`.
        weights: `(n,)` weights of the images, or `None`.
        is_judged: `(n,)` bool: the images that are judged; the others only count for the sizes of the classes. `None`:
            all.

    Returns:
        `(log_loss, accuracy, temperature)`: the first in nats, at the last, which logits are to be divided by.
    """
    counted = np.ones(len(labels)) if weights is None else weights
    losses_at, slopes_at = (_independent_losses if labels.ndim == 2 else _losses)(logits, labels, counted)
    weights = weights if is_judged is None else counted * is_judged

    def log_loss(log_sharpness):
        return float(np.average(losses_at(np.float32(np.exp(log_sharpness))), weights=weights))

    def slope(sharpness):
        return [float(np.average(values, weights=weights)) for values in slopes_at(np.float32(sharpness))]

    found = minimize_scalar(log_loss, bounds=_LOG_SHARPNESS, method="bounded", options={"xatol": 1e-3})
    sharpness = _refine(float(np.exp(found.x)), slope)
    return log_loss(np.log(sharpness)), accuracy_of(logits, labels, weights), 1 / sharpness


def _refine(sharpness, slope):
    """Takes Newton's steps from near the minimum of the loss, which is convex, to where its slope is 0.

    Around its minimum a loss in float32 is the same number at many temperatures, so rounding alone would choose one of
    them. The slope is not flat there: logits that differ by rounding get temperatures that differ by rounding.
    """
    low, high = np.exp(_LOG_SHARPNESS)
    for _ in range(_MOST_STEPS):
        rise, curvature = slope(sharpness)
        if not curvature * sharpness**2 > _FLAT:  # any temperature is as good
            break
        before, sharpness = sharpness, float(np.clip(sharpness - rise / curvature, low, high))
        if abs(sharpness - before) <= _CLOSE * sharpness:
            break
    return sharpness


def _losses(logits, labels, weights):
    """Returns two functions of the sharpness: the loss of each image, and its first two derivatives."""
    logits = logits - logits.max(axis=1, keepdims=True)
    rest = 1 / (_class_sizes(labels, weights, logits.shape[1]) + 2)[labels]
    others = logits.shape[1] - 1
    own = logits[np.arange(len(labels)), labels]
    expected = own * (1 - rest - rest / others) + logits.sum(axis=1) * (rest / others)

    def losses_at(sharpness):
        return np.log(np.exp(logits * sharpness).sum(axis=1)) - expected * sharpness

    def slopes_at(sharpness):
        powers = np.exp(logits * sharpness)
        powers /= powers.sum(axis=1, keepdims=True)
        mean = (powers * logits).sum(axis=1)
        return mean - expected, (powers * logits**2).sum(axis=1) - mean**2

    return losses_at, slopes_at


def _class_sizes(labels, weights, num_classes):
    """Size of each class, in images of the weight that is usual in it: the lower median of those above 0."""
    is_counted = weights > 0
    labels, weights = labels[is_counted], weights[is_counted].astype("float64")
    counts, totals = np.bincount(labels, minlength=num_classes), np.bincount(labels, weights, num_classes)
    occurs, in_order = counts > 0, weights[np.lexsort((weights, labels))]
    usual = in_order[(np.cumsum(counts) - counts + (counts - 1) // 2)[occurs]]
    totals[occurs] /= usual
    return totals


def _independent_losses(logits, labels, weights):
    """The same for independent binary labels."""
    (size,) = _class_sizes(np.zeros(len(labels), int), weights, 1)
    positives = size / weights.sum() * (labels * weights[:, None]).sum(axis=0)
    expected = np.where(labels > 0, (positives + 1) / (positives + 2), 1 / (size - positives + 2))

    def losses_at(sharpness):
        return (np.logaddexp(0, logits * sharpness) - expected * logits * sharpness).mean(axis=1)

    def slopes_at(sharpness):
        shares = expit(logits * sharpness)
        return ((shares - expected) * logits).mean(axis=1), (shares * (1 - shares) * logits**2).mean(axis=1)

    return losses_at, slopes_at
