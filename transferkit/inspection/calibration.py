"""Probabilities that can be believed, and what else is learnt from images that were not trained on."""

import warnings
from dataclasses import replace
from typing import Any

import numpy as np

from transferkit._utils import console
from transferkit._utils.fingerprints import are_among, fingerprint_images
from transferkit._utils.text import plural
from transferkit.data.checks import OnBadImage
from transferkit.data.inputs.streams import Steps
from transferkit.data.intake import Intake
from transferkit.data.source import Source
from transferkit.evaluation.calibration import fit_temperature, log_loss, logits_of
from transferkit.evaluation.conformal import Conformal
from transferkit.evaluation.familiarity import Familiarity
from transferkit.fitted import FittedClassifier
from transferkit.inspection.running import compute_features
from transferkit.models.calibration import with_temperature


def calibrate(
    fitted: FittedClassifier,
    x: Any,
    y: Any = None,
    *,
    steps: int | None = None,
    batch_size: int = 32,
    on_bad_image: OnBadImage = "raise",
) -> FittedClassifier:
    """Learns from held-out images how much a classifier may be believed.

    Args:
        fitted: The `FittedClassifier`, which stays as it is.
        x: Images; see `as_source`. Where they are divided, the part to validate on is taken.
        y: Labels, or `None` for what brings its own.
        steps: Number of batches to read from a stream. Default: all, if it has an end.
        batch_size: Images a step.
        on_bad_image: `"raise"` or `"skip"`.

    Returns:
        Another one: its logits are divided by the most probable temperature, and `conformal` and `familiarity` are
        those of these images.

    Raises:
        ValueError: If a label is not among the classes of the training data.
        ImageReadError: If images cannot be read.
    """
    kind: dict[str, Any] = {"class_names": fitted.class_names, "task": fitted.task.name}
    source = Intake(fitted.reader).labelled(x, y, "validation", steps=Steps(steps, "steps"), **kind)
    features, probabilities, readable = compute_features(fitted, source, batch_size, on_bad_image)
    source = source.take(readable)
    _warn_of_known(fitted, source)
    truth, task = source.truth, fitted.task
    logits = logits_of(probabilities, truth)
    # Counted from before the first time, or a second one on the same images would move it once more.
    temperature = fit_temperature(logits * np.float32(fitted.temperature), truth, _was_calibrated(fitted))
    change = temperature / fitted.temperature
    divided = logits / np.float32(change)
    _tell(change, log_loss(logits, truth), log_loss(divided, truth), len(source))
    return replace(
        fitted,
        model=with_temperature(fitted.model, change),
        thresholds=task.divided_thresholds(fitted.thresholds, change),
        temperature=temperature,
        conformal=None if task.has_thresholds else Conformal.of(task.probabilities(divided), truth),
        familiarity=Familiarity.of(features) if len(source) > 1 else fitted.familiarity,
    )


def _was_calibrated(fitted: FittedClassifier) -> bool:
    """Whether `fit` has found a temperature by cross-validation: for a logistic head alone, of classes as they are."""
    is_balanced = any(fitted.parameters.get(name) is not None for name in ("class_weight", "balance"))
    is_solved = all(phase.is_solved for phase in fitted.phases)
    return is_solved and not is_balanced and not np.isnan(fitted.history["val_loss"][0])


def _warn_of_known(fitted: FittedClassifier, source: Source) -> None:
    """Warns of images that were trained on."""
    if fitted.training_prints is None:
        return
    prints = fingerprint_images(source.images, fitted.reader.read)
    count = np.count_nonzero(are_among(prints, fitted.training_prints))
    if count:
        warnings.warn(
            f"{count:,} of {plural(len(source), 'image')} to calibrate on were trained on, as their content tells. The "
            "classifier is surer of these than of others, so its probabilities will be too high and its sets of "
            "classes too small. Calibrate on images that were set aside before `fit`.",
            stacklevel=4,
        )


def _tell(change: float, before: float, after: float, count: int) -> None:
    images = plural(count, "image")
    if change == 1:
        console.note(
            f"Probabilities stay as they are: {images}, of a log loss of {before:.4f}, do not contradict them."
        )
        return
    sign = "less" if change > 1 else "more"
    console.note(
        f"Logits are divided by {change:.3f}: probabilities are {sign} extreme than before. Log loss of {images}: "
        f"{before:.4f} before, {after:.4f} now."
    )
