"""Telling images that are unlike all that a classifier knows."""

from typing import Any

import numpy as np

from transferkit._utils.text import plural
from transferkit.data.inputs.streams import Steps
from transferkit.evaluation.familiarity import Familiarity
from transferkit.fitted import FittedClassifier
from transferkit.inspection.running import compute_features


def familiarity(fitted: FittedClassifier, x: Any, *, batch_size: int = 32, steps: int | None = None) -> np.ndarray:
    """Returns how familiar images are: the share of familiar images that are no more so, float32 `(n,)` in `(0, 1]`.

    Args:
        fitted: A `FittedClassifier` that knows what familiar images look like.
        x: Images; see `as_source`.
        batch_size: Images a step.
        steps: Number of batches to read from a stream. Default: all, if it has an end.

    Raises:
        ValueError: If it does not know that.
        ImageReadError: If any image cannot be read.
    """
    known = _known(fitted, "familiarity")
    source = fitted.reader.source(x, steps=Steps(steps, "steps"))
    features, _, _ = compute_features(fitted, source, batch_size)
    return known.shares(features)


def check_reject_below(fitted: FittedClassifier, reject_below: float) -> Familiarity:
    """Returns what familiar images look like, once it is clear that it suffices for `reject_below`.

    Args:
        fitted: A `FittedClassifier` that knows it.
        reject_below: Largest share of familiar images that may be refused, between 0 and 1.

    Raises:
        ValueError: If it does not know it, or not well enough for so small a share.
    """
    if not 0 < reject_below < 1:
        raise ValueError(
            "`reject_below` is the share of familiar images that may be refused, and must be between 0 and 1. "
            f"Received: reject_below={reject_below!r}."
        )
    known = _known(fitted, "reject_below")
    if known.smallest_share >= reject_below:
        raise ValueError(
            f"`reject_below` must be above {known.smallest_share:.2g}: that is as fine as "
            f"{plural(len(known.usual), 'familiar image')} can tell. Received: reject_below={reject_below!r}. Give "
            "`calibrate` more images for a smaller share."
        )
    return known


def _known(fitted: FittedClassifier, wanted: str) -> Familiarity:
    if fitted.familiarity is None:
        raise ValueError(
            f"`{wanted}` needs to know what familiar images look like to the network. Call `calibrate(x, y)` with "
            "images that it was not trained on first. (A logistic head on a frozen backbone learns it in `fit`.)"
        )
    return fitted.familiarity
