"""Numbers about predictions. NumPy in, numbers out."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.stats import binomtest
from sklearn.metrics import (
    average_precision_score,
    confusion_matrix,
    precision_recall_fscore_support,
    roc_auc_score,
)

from transferkit._utils.text import listing, plural
from transferkit.evaluation import weighted
from transferkit.evaluation.reliability import NUM_BINS, bins_of, reliability_of
from transferkit.evaluation.sample import Sample

TOP = 5
_LEAST = np.finfo("float64").eps  # what a probability of 0 counts as in the log loss, as in scikit-learn


@dataclass(frozen=True)
class MetricValue:
    """One headline number of a report, with its 95 % interval.

    Attributes:
        name: Key of the metric, such as `"macro_f1"`.
        title: What to call it, such as `"macro F1"`.
        value: The number, or NaN where it cannot be had.
        low: Lower end of its interval, or NaN.
        high: Upper end of its interval, or NaN.
        unavailable: Why the number cannot be had, in words, or `None`.
    """

    name: str
    title: str
    value: float
    low: float = float("nan")
    high: float = float("nan")
    unavailable: str | None = None

    @property
    def has_interval(self) -> bool:
        """Whether `low` and `high` are numbers."""
        return self.low == self.low and self.high == self.high

    def __str__(self):
        if self.unavailable is not None:
            return f"unavailable: {self.unavailable}"
        return f"{self.value:.3f}" + (f" ({self.low:.3f} to {self.high:.3f})" if self.has_interval else "")


@dataclass(frozen=True)
class Metric:
    """One entry of the table of metrics.

    Attributes:
        name: Its key in a report, such as `"macro_f1"`.
        title: What to call it, such as `"macro F1"`.
        function: Function of a `Sample` that gives the number.
        weighted: The same of a `Sample` and many weightings of its images, `(n, r)`, which gives `(r,)`.
        kinds: Kinds of labels it is for: `"multiclass"`, `"multilabel"` or both.
        needs: Function of a `Sample` that says in words why the number cannot be had, or gives `None`.
        is_applicable: Function of a `Sample`: whether it belongs into its report at all.
        counts: Function of a `Sample` that gives what each image counts, `(n,)`, where the number is the mean of that.
        is_proportion: Whether it is the share of images for which something is so, and has Wilson's interval.
        is_share: Whether it is a share, of which a hundredth is a point.
        is_loss: Whether less is better.
    """

    name: str
    title: str
    function: Callable[[Sample], float]
    weighted: Callable[[Sample, np.ndarray], np.ndarray]
    kinds: tuple[str, ...] = ("multiclass", "multilabel")
    needs: Callable[[Sample], str | None] = lambda sample: None
    is_applicable: Callable[[Sample], bool] = lambda sample: True
    counts: Callable[[Sample], np.ndarray] | None = None
    is_proportion: bool = False
    is_share: bool = True
    is_loss: bool = False


def metrics_of(sample):
    """Returns the entries of `METRICS` that belong into the report of a sample."""
    kind = "multilabel" if sample.is_multilabel else "multiclass"
    return [metric for metric in METRICS if kind in metric.kinds and metric.is_applicable(sample)]


def accuracy_interval(num_correct, num_images, confidence=0.95):
    """Confidence interval of an accuracy (Wilson, JASA 1927).

    Args:
        num_correct: Number of correct predictions.
        num_images: Number of predictions.
        confidence: Confidence level.

    Returns:
        `(low, high)`, both in `[0, 1]`.

    Example:
        >>> low, high = accuracy_interval(85, 100)
        >>> print(f"{low:.3f} to {high:.3f}")
        0.767 to 0.907
    """
    interval = binomtest(int(num_correct), int(num_images)).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def weighted_accuracy(labels, probabilities, weights, thresholds=None):
    """Weighted share of images whose labels are all right.

    Args:
        labels: True codes `(n,)` or, of any number for each image, `(n, num_classes)` of 0 and 1.
        probabilities: `(n, num_classes)`.
        weights: `(n,)`.
        thresholds: `(num_classes,)` decision thresholds, where images have any number of labels.

    Returns:
        A number in `[0, 1]`.
    """
    if labels.ndim == 2:
        is_right = ((probabilities >= thresholds) == (labels > 0)).all(axis=1)
    else:
        is_right = probabilities.argmax(axis=1) == labels
    return float(np.average(is_right, weights=weights))


def class_metrics(labels, predictions, num_classes):
    """Precision, recall, F1 and support of each class, and the confusion matrix.

    Args:
        labels: True codes `(n,)`.
        predictions: Predicted codes `(n,)`.
        num_classes: Number of classes.

    Returns:
        `(precision, recall, f1, support, confusion)`: four arrays `(num_classes,)`, and the counts
        `(num_classes, num_classes)` with true classes in rows and predicted ones in columns. What would be divided by
        zero is 0.
    """
    codes = np.arange(num_classes)
    scores = precision_recall_fscore_support(labels, predictions, labels=codes, zero_division=0)
    return (*scores, confusion_matrix(labels, predictions, labels=codes))


# ---- what each image counts, for the metrics that are a mean over images ----


def hits(sample):
    """1 for each image of which all is right, else 0."""
    return sample.is_right.astype("float64")


def top_hits(sample):
    """1 for each image whose class is among the `TOP` most probable, else 0; of equal ones, the last go first."""
    order = np.argsort(sample.probabilities, axis=1, kind="stable")[:, -TOP:]  # scikit-learn breaks ties like that
    return (order == sample.labels[:, None]).any(axis=1).astype("float64")


def log_losses(sample):
    """Minus the logarithm of the probability of the truth: of each image or, averaged, of each of its labels."""
    losses = -np.log(np.clip(sample.own_probabilities, _LEAST, 1))
    return losses.mean(axis=1) if sample.is_multilabel else losses


def brier_scores(sample):
    """Squared distance between probabilities and truth (Brier, 1950): summed over classes, or averaged over labels."""
    squares = np.square(sample.probabilities - sample.truth)
    return squares.mean(axis=1) if sample.is_multilabel else squares.sum(axis=1)


# ---- the others ----


def _class_f1(sample):
    """F1 of each class, whether it occurs or was predicted, and how often it occurs."""
    options = {"average": None, "zero_division": 0}
    if sample.is_multilabel:
        f1, support = precision_recall_fscore_support(sample.truth, sample.given, **options)[2:]
    else:
        codes = np.arange(sample.num_classes)
        f1, support = precision_recall_fscore_support(sample.labels, sample.predictions, labels=codes, **options)[2:]
    return f1, (support > 0) | sample.given.any(axis=0), support


def _balanced_accuracy(sample):
    recall, support = precision_recall_fscore_support(sample.labels, sample.predictions, zero_division=0)[1::2]
    return recall[support > 0].mean()


def _macro_f1(sample):
    f1, is_counted, _ = _class_f1(sample)
    return f1[is_counted].mean() if is_counted.any() else 0.0


def _weighted_f1(sample):
    f1, _, support = _class_f1(sample)
    return np.average(f1, weights=support) if support.any() else 0.0


def _micro_f1(sample):
    return precision_recall_fscore_support(sample.truth, sample.given, average="micro", zero_division=0)[2]


def _roc_auc(sample):
    columns = zip(sample.truth.T, sample.probabilities.T, strict=True)
    return np.mean([roc_auc_score(*column) for column in columns])


def _mean_average_precision(sample):
    columns = zip(sample.truth.T, sample.probabilities.T, strict=True)
    return np.mean([average_precision_score(*column) for column in columns if column[0].any()])


def _calibration_error(sample):
    return reliability_of(*sample.confidences).error


def _weighted_calibration_error(sample, weights):
    gaps, sizes = weighted_gaps(sample, weights)
    return np.abs(gaps * sizes).sum(axis=0) / sizes.sum(axis=0)


def weighted_gaps(sample, weights):
    """Share that is right less mean probability in each bin, and how many predictions are in it.

    Args:
        sample: A `Sample`. Its bins are those of all its images with the same weight.
        weights: `(n, r)` weightings.

    Returns:
        `(gaps, sizes)`, both `(num_bins, r)`. Gaps of empty bins are 0.
    """
    confidences, is_right = sample.confidences
    codes = bins_of(confidences)
    shape = (codes.max() + 1, len(weights))
    places = (codes, np.arange(len(codes)) // (len(codes) // len(weights)))  # labels of one image are drawn together
    ones = csr_array((np.ones(len(codes)), places), shape)
    gaps = csr_array((is_right - confidences, places), shape) @ weights
    sizes = ones @ weights
    return np.divide(gaps, sizes, out=np.zeros_like(sizes), where=sizes > 0), sizes


def _absent_classes(sample):
    """Says which classes no image has or, of any number of labels, which labels all have."""
    share = sample.truth.mean(axis=0)
    names = sample.class_names.tolist()
    for wrong, words in ((0, "no image of"), (1, "no image without")):
        found = [repr(name) for name, value in zip(names, share, strict=True) if value == wrong]
        if found:
            noun = "label" if sample.is_multilabel else "class"
            which = f"the {noun} {found[0]}" if len(found) == 1 else f"{plural(len(found), noun)}: {listing(found, 3)}"
            return f"there is {words} {which}"
    return None


def _no_labels(sample):
    return None if sample.truth.any() else "no image has a label"


def _mean_metric(name, title, values, **options):
    return Metric(name, title, lambda sample: values(sample).mean(), weighted.mean_of(values), counts=values, **options)


METRICS = (
    _mean_metric("accuracy", "accuracy", hits, is_proportion=True, kinds=("multiclass",)),
    _mean_metric("accuracy", "all labels right", hits, is_proportion=True, kinds=("multilabel",)),
    Metric("balanced_accuracy", "balanced accuracy", _balanced_accuracy, weighted.balanced_accuracy, ("multiclass",)),
    Metric("micro_f1", "micro F1", _micro_f1, weighted.micro_f1, ("multilabel",)),
    Metric("macro_f1", "macro F1", _macro_f1, weighted.macro_f1),
    Metric("weighted_f1", "weighted F1", _weighted_f1, weighted.weighted_f1),
    _mean_metric(
        f"top_{TOP}_accuracy",
        f"top-{TOP} accuracy",
        top_hits,
        is_proportion=True,
        kinds=("multiclass",),
        is_applicable=lambda sample: sample.num_classes > TOP,
    ),
    Metric("roc_auc", "ROC-AUC", _roc_auc, weighted.roc_auc, needs=_absent_classes),
    Metric(
        "mean_average_precision",
        "mean average precision",
        _mean_average_precision,
        weighted.average_precision,
        needs=_no_labels,
    ),
    _mean_metric("log_loss", "log loss", log_losses, is_share=False, is_loss=True),
    _mean_metric("brier_score", "Brier score", brier_scores, is_share=False, is_loss=True),
    Metric(
        "calibration_error",
        f"calibration error ({NUM_BINS} bins)",
        _calibration_error,
        _weighted_calibration_error,
        is_loss=True,
    ),
)
