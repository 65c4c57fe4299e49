"""How often predictions are right, beside how sure they are."""

from dataclasses import dataclass

import numpy as np

NUM_BINS = 15


@dataclass(frozen=True, eq=False)
class Reliability:
    """Predictions in bins by their probability: as many in each, so that each tells as much as the others.

    Attributes:
        confidence: Mean probability in each bin, `(num_bins,)`.
        accuracy: Share of predictions that are right in each bin, `(num_bins,)`.
        count: Number of predictions in each bin, `(num_bins,)`.
        low: Least probability in each bin, `(num_bins,)`.
        high: Largest probability in each bin, `(num_bins,)`.
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def error(self) -> float:
        """Expected calibration error: mean distance between `confidence` and `accuracy`, by `count`."""
        return float(np.average(np.abs(self.accuracy - self.confidence), weights=self.count))


def bins_of(confidences, num_bins=NUM_BINS):
    """Divides confidences into bins of as many each. Those that are equal share a bin, so that order does not count.

    Args:
        confidences: `(n,)`.
        num_bins: Number of bins; there are fewer where there are fewer different confidences.

    Returns:
        `(n,)` codes from 0, of which each occurs.
    """
    first = np.arange(1, num_bins) * len(confidences) // num_bins
    codes = np.searchsorted(np.unique(np.sort(confidences)[first]), confidences, side="right")
    return np.unique(codes, return_inverse=True)[1]


def reliability_of(confidences, is_right, num_bins=NUM_BINS):
    """Computes a `Reliability` of equal-mass bins (Nguyen and O'Connor, EMNLP 2015).

    Args:
        confidences: `(n,)` probabilities of what was predicted.
        is_right: `(n,)` whether it was right.
        num_bins: Number of bins.

    Returns:
        A `Reliability`.
    """
    confidences = np.asarray(confidences, "float64")
    codes = bins_of(confidences, num_bins)
    count = np.bincount(codes)
    edges = np.full((2, len(count)), [[np.inf], [-np.inf]])
    np.minimum.at(edges[0], codes, confidences)
    np.maximum.at(edges[1], codes, confidences)
    means = (np.bincount(codes, values) / count for values in (confidences, is_right))
    return Reliability(*means, count, *edges)
