"""Metrics of many weightings of the same images at once, for resampling.

Weights are `(n, r)`: one row an image, one column a weighting, each the number of times that an image was drawn. Every
function takes a `Sample` and weights, and returns `(r,)` values, NaN where a weighting leaves nothing to compute.
"""

import numpy as np


def mean_of(values):
    """Returns the weighted metric that is the mean of what `values` gives for each image of a sample, `(n,)`."""

    def weighted_mean(sample, weights):
        return values(sample) @ weights / weights.sum(axis=0)

    return weighted_mean


def balanced_accuracy(sample, weights):
    """Mean recall of the classes that occur."""
    hits, _, sizes = _counts(sample, weights)
    return _mean_where(_ratio(hits, sizes), sizes > 0)


def macro_f1(sample, weights):
    """Mean F1 of the classes that occur or were predicted; 0 if there are none."""
    hits, given, sizes = _counts(sample, weights)
    return np.nan_to_num(_mean_where(_ratio(2 * hits, given + sizes), given + sizes > 0))


def weighted_f1(sample, weights):
    """Mean F1 of the classes, each as often as it occurs."""
    hits, given, sizes = _counts(sample, weights)
    return _ratio((_ratio(2 * hits, given + sizes) * sizes).sum(axis=0), sizes.sum(axis=0))


def micro_f1(sample, weights):
    """F1 of all pairs of image and label together."""
    hits, given, sizes = (each.sum(axis=0) for each in _counts(sample, weights))
    return _ratio(2 * hits, given + sizes)


def roc_auc(sample, weights):
    """Mean over the classes of the area under the ROC curve of one against the rest."""
    return np.mean([_area(ranking, weights) for ranking in sample.rankings], axis=0)


def average_precision(sample, weights):
    """Mean of the average precisions of the classes that occur."""
    found = [_precision(ranking, weights) for ranking in sample.rankings]
    values, sizes = (np.array(each) for each in zip(*found, strict=True))
    return _mean_where(values, sizes > 0)


def _counts(sample, weights):
    """Returns weights of hits, predictions and images of each class, three arrays `(num_classes, r)`."""
    return np.split(sample.counting @ weights, 3)


def _area(ranking, weights):
    """Share of pairs of an image with the label and one without in which the first is more probable; ties are half."""
    hits = ranking.hits @ weights
    size = hits.sum(axis=0)
    total = weights.sum(axis=0) - size
    not_below = np.cumsum(ranking.steps @ weights - hits, axis=0)
    beaten = total - not_below + (ranking.ties @ weights) / 2
    return _ratio((hits * beaten).sum(axis=0), size * total, np.nan)


def _precision(ranking, weights):
    """Average precision of one class, and how many images have its label."""
    hits = ranking.hits @ weights
    size = hits.sum(axis=0)
    precision = _ratio(np.cumsum(hits, axis=0), np.cumsum(ranking.steps @ weights, axis=0))
    return _ratio((hits * precision).sum(axis=0), size), size


def _ratio(values, sizes, otherwise=0.0):
    return np.divide(values, sizes, out=np.full(np.shape(sizes), otherwise), where=sizes > 0)


def _mean_where(values, is_counted):
    return _ratio(np.where(is_counted, values, 0).sum(axis=0), is_counted.sum(axis=0), np.nan)
