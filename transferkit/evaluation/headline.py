"""The headline numbers of a report, each with its interval: those of the table of metrics, and those of the user."""

import numpy as np

from transferkit._utils.quiet import warnings_filtered
from transferkit.evaluation.intervals import (
    STRETCHES,
    Resampling,
    bca_interval,
    distance_interval,
    num_resamples,
    resample,
)
from transferkit.evaluation.metrics import METRICS, MetricValue, accuracy_interval, metrics_of, weighted_gaps
from transferkit.evaluation.reliability import reliability_of

_USER_RESAMPLES = 400  # functions of the user are called once for each


def headline_values(sample, groups=None):
    """Computes the metrics of `METRICS` that a sample has, with their intervals.

    Args:
        sample: A `Sample`.
        groups: `(n,)` what each image belongs to: intervals then draw groups. `None`: they draw images.

    Returns:
        Dict of `MetricValue`.
    """
    metrics = metrics_of(sample)
    reasons = {metric.name: metric.needs(sample) for metric in metrics}
    known = [metric for metric in metrics if reasons[metric.name] is None]
    values = {metric.name: float(metric.function(sample)) for metric in known}
    intervals = _intervals(known, values, sample, groups)
    return {
        metric.name: MetricValue(
            metric.name,
            metric.title,
            values.get(metric.name, np.nan),
            *intervals.get(metric.name, (np.nan, np.nan)),
            reasons[metric.name],
        )
        for metric in metrics
    }


def _intervals(metrics, values, sample, groups):
    num_images = len(sample.labels)
    resampling = Resampling(num_images, groups)
    found = {
        metric.name: accuracy_interval(round(values[metric.name] * num_images), num_images)
        for metric in metrics
        if metric.is_proportion and groups is None
    }
    if resampling.num_units < 2:
        return found
    count = num_resamples(num_images, sample.num_classes)
    drawn = [metric for metric in metrics if metric.name not in found and metric.name != "calibration_error"]
    functions = [lambda weights, metric=metric: metric.weighted(sample, weights) for metric in drawn]
    for metric, numbers in zip(drawn, resample(functions, resampling, count), strict=True):
        found[metric.name] = bca_interval(values[metric.name], *numbers, resampling.num_units)
    return found | {"calibration_error": _calibration_interval(sample, resampling, count)}


def _calibration_interval(sample, resampling, count):
    num_images = len(sample.labels)
    gaps, sizes = (column[:, 0] for column in weighted_gaps(sample, np.ones((num_images, 1))))
    total, bins = sizes.sum(), reliability_of(*sample.confidences)
    drawn = [np.multiply(*weighted_gaps(sample, weights)) for weights in resampling.draws(count)]
    deviations = np.concatenate(drawn, axis=1) / total - (gaps * sizes / total)[:, None]
    deviations *= np.sqrt(sizes / np.maximum(sizes - 1, 1))[:, None]  # resamples of few vary too little
    accuracy = np.clip(bins.confidence[:, None] + gaps[:, None] * STRETCHES, 0, 1)
    expected_error = np.sqrt(accuracy * (1 - accuracy) * sizes[:, None]) / total
    return distance_interval(gaps * sizes / total, deviations, expected_error)


def check_functions(functions):
    """Checks metrics of the user before anything is computed.

    Args:
        functions: Dict of functions of labels and predictions, or `None`.

    Returns:
        The dict; an empty one for `None`.

    Raises:
        TypeError: If it is no dict of names and functions.
        ValueError: If a name is that of a metric that every report has.
    """
    functions = {} if functions is None else functions
    is_wrong = not hasattr(functions, "items") or not all(
        isinstance(name, str) and callable(function) for name, function in functions.items()
    )
    if is_wrong:
        raise TypeError(
            "`metrics` must be a dict of names and functions of labels and predictions, such as "
            f"{{'kappa': sklearn.metrics.cohen_kappa_score}}. Received: {functions!r}."
        )
    taken = [name for name in functions if name in {metric.name for metric in METRICS}]
    if taken:
        raise ValueError(f"Reports have a metric of that name already. Choose another one. Received: {taken[0]!r}.")
    return dict(functions)


def user_values(functions, sample, groups=None):
    """Computes the metrics of the user. One that raises an error, or gives no number, is named with the reason.

    Args:
        functions: Dict of functions. Each is given labels and predictions, in this order, as scikit-learn's metrics
            take them: the user's class names `(n,)` or, of any number of labels, `(n, num_classes)` of 0 and 1.
        sample: A `Sample`.
        groups: As in `headline_values`.

    Returns:
        Dict of `MetricValue`.
    """
    resampling = Resampling(len(sample.labels), groups)
    return {name: _user_value(name, function, sample, resampling) for name, function in functions.items()}


def _user_value(name, function, sample, resampling):
    labels, predictions = sample.named_labels, sample.named_predictions
    try:
        value = float(function(labels, predictions))
    except Exception as error:  # whatever a function of the user may raise
        return MetricValue(name, name, np.nan, unavailable=f"it raised {type(error).__name__}: {error}")
    if not np.isfinite(value):
        return MetricValue(name, name, np.nan, unavailable=f"it gave {value}")
    if resampling.num_units < 2:
        return MetricValue(name, name, value)

    def weighted(weights):
        rows = (np.repeat(np.arange(len(labels)), column) for column in weights.astype(int).T)
        return np.array([_number_or_nan(function, labels[each], predictions[each]) for each in rows])

    with warnings_filtered(("ignore", Warning)):  # what it has to say, it said about the images themselves
        ((resampled, left_out),) = resample([weighted], resampling, _USER_RESAMPLES)
    return MetricValue(name, name, value, *bca_interval(value, resampled, left_out, resampling.num_units))


def _number_or_nan(function, labels, predictions):
    try:
        return float(function(labels, predictions))
    except Exception:  # a resample may lack what it needs
        return np.nan
