"""Numbers about predictions. NumPy in, numbers out."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support


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
