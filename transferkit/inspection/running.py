"""Runs a fitted classifier over the images of a source, and tells which of them could be read."""

from collections.abc import Sequence

import numpy as np

from transferkit._utils import console
from transferkit.data.checks import OnBadImage
from transferkit.data.quality.inspection import refuse_unreadable
from transferkit.data.source import Source
from transferkit.fitted import FittedClassifier


def compute_probabilities(
    fitted: FittedClassifier, source: Source, batch_size: int, on_bad_image: OnBadImage
) -> tuple[np.ndarray, Sequence[tuple[int, str, str]]]:
    """Returns the probabilities of the images that can be read, and `(index, name, reason)` of the others."""
    with console.step("Predicting", len(source)) as advance:
        if on_bad_image == "skip":
            return fitted.predictor.predict_readable(source, batch_size, advance)
        return fitted.predictor.predict(source, batch_size, advance), ()


def compute_features(
    fitted: FittedClassifier, source: Source, batch_size: int, on_bad_image: OnBadImage = "raise"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Computes features and probabilities in one pass.

    Args:
        fitted: A `FittedClassifier`.
        source: A `Source`.
        batch_size: Images a step.
        on_bad_image: `"raise"`, or `"skip"` to go on without those that cannot be read.

    Returns:
        `(features, probabilities, readable)`: float32 `(m, num_features)` and `(m, num_classes)`, and the indices
        `(m,)` of the images that can be read.

    Raises:
        ImageReadError: If images cannot be read, for `"raise"` or if none can.
    """
    with console.step("Predicting", len(source)) as advance:
        run = fitted.predictor.readable_features_and_probabilities
        features, probabilities, failures = run(source, batch_size, advance)
    refuse_unreadable(failures, len(source), on_bad_image)
    return features, probabilities, readable_rows(source, failures)


def readable_rows(source: Source, failures: Sequence[tuple[int, str, str]]) -> np.ndarray:
    """Indices of the images that can be read."""
    return np.setdiff1d(np.arange(len(source)), [index for index, _, _ in failures])
