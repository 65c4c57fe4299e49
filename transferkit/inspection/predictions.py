"""Predictions of a fitted classifier, and how good they are."""

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from transferkit._utils.versions import package_versions
from transferkit.data.checks import OnBadImage
from transferkit.data.inputs.streams import Steps
from transferkit.data.intake import Intake
from transferkit.data.quality.inspection import refuse_unreadable
from transferkit.data.source import Source
from transferkit.evaluation.headline import check_functions
from transferkit.fitted import FittedClassifier
from transferkit.inspection.familiarity import check_reject_below
from transferkit.inspection.running import compute_features, compute_probabilities, readable_rows
from transferkit.inspection.views import sources_of_view, views_of

_SHOWN_PIXELS = 320  # along the longer side of an image in a report
_OF_THE_MACHINE = ("backbone", "compute", "verbose")  # the first has a place of its own


class FilePrediction(NamedTuple):
    """The prediction for one file. `path` and `label` are `None` where there is none."""

    path: str | None
    label: object
    probability: float


def predict_probabilities(
    fitted: FittedClassifier, x: Any, *, batch_size: int = 32, steps: int | None = None, views: int = 1
) -> np.ndarray:
    """Returns the probability of each class, `(n, num_classes)` float32, in the order of the images.

    Args:
        fitted: A `FittedClassifier`.
        x: Images; see `as_source`.
        batch_size: Images a step.
        steps: Number of batches to read from a stream. Default: all, if it has an end.
        views: Number of views of each image to average over; see `views_of`.

    Raises:
        ImageReadError: If any image cannot be read, so that no row is out of place.
    """
    source = fitted.reader.source(x, steps=Steps(steps, "steps"))
    return predict_source(fitted, source, batch_size, views)


def predict_source(fitted: FittedClassifier, source: Source, batch_size: int, views: int = 1) -> np.ndarray:
    """Returns the probabilities of a `Source`, `(n, num_classes)`; see `predict_probabilities`."""
    total: Any = 0
    for view in views_of(fitted, views):
        parts = sources_of_view(source, view, fitted.reader)
        total += np.concatenate([compute_probabilities(fitted, part, batch_size, "raise")[0] for part in parts])
    return total / np.float32(views)


def predict_labels(
    fitted: FittedClassifier,
    x: Any,
    *,
    batch_size: int = 32,
    steps: int | None = None,
    views: int = 1,
    reject_below: float | None = None,
) -> np.ndarray:
    """Returns what is predicted for each image, `(n,)`, in the labels of the user; see `predict_probabilities`.

    Args:
        fitted: A `FittedClassifier`.
        x: Images; see `as_source`.
        batch_size: Images a step.
        steps: Number of batches to read from a stream. Default: all, if it has an end.
        views: Number of views of each image to average over; see `views_of`.
        reject_below: The label is `None` for images that are less familiar than all but this share of familiar ones;
            see `familiarity`. `None`: every image has a label.
    """
    source = fitted.reader.source(x, steps=Steps(steps, "steps"))
    if reject_below is None:
        probabilities = predict_source(fitted, source, batch_size, views)
        return fitted.task.labels(probabilities, fitted.class_names, fitted.thresholds)
    known = check_reject_below(fitted, reject_below)
    features, probabilities, _ = compute_features(fitted, source, batch_size)
    if views != 1:
        probabilities = predict_source(fitted, source, batch_size, views)
    labels = fitted.task.labels(probabilities, fitted.class_names, fitted.thresholds).astype(object)
    labels[known.shares(features) < reject_below] = None
    return labels


def predict_files(
    fitted: FittedClassifier,
    x: Any,
    *,
    batch_size: int = 32,
    steps: int | None = None,
    on_bad_image: OnBadImage = "raise",
) -> list[FilePrediction]:
    """Returns a list of `FilePrediction`, in the order of the images.

    Args:
        fitted: A `FittedClassifier`.
        x: Images; see `as_source`.
        batch_size: Images a step.
        steps: Number of batches to read from a stream. Default: all, if it has an end.
        on_bad_image: `"raise"`, or `"skip"`: unreadable images have the label `None` and the probability NaN.

    Raises:
        ImageReadError: If images cannot be read, for `"raise"` or if none can.
    """
    source = fitted.reader.source(x, steps=Steps(steps, "steps"))
    probabilities, failures = compute_probabilities(fitted, source, batch_size, on_bad_image)
    result = [FilePrediction(path, None, float("nan")) for path in source.paths]
    for index, row in zip(readable_rows(source, failures), probabilities, strict=True):
        predicted = fitted.task.label_and_probability(row, fitted.class_names, fitted.thresholds)
        result[index] = FilePrediction(result[index].path, *predicted)
    return result


def evaluate(
    fitted: FittedClassifier,
    x: Any,
    y: Any = None,
    *,
    groups: Any = None,
    metrics: Mapping[str, Callable[..., float]] | None = None,
    batch_size: int = 32,
    steps: int | None = None,
    on_bad_image: OnBadImage = "raise",
) -> Any:
    """Compares predictions with true labels.

    Args:
        fitted: A `FittedClassifier`.
        x: Images; see `as_source`. Where they are divided, the part to test on is taken.
        y: Labels, or `None` for what brings its own.
        groups: What each image belongs to, `(n,)`, or `None`: intervals are those of other groups then, not of other
            images of the same.
        metrics: Dict of functions of labels and predictions, or `None`; see `TransferClassifier.evaluate`.
        batch_size: Images a step.
        steps: Number of batches to read from a stream. Default: all, if it has an end.
        on_bad_image: `"raise"` or `"skip"`.

    Returns:
        The report of the task: an `EvaluationReport` or a `MultilabelReport`. It holds on to the images, so that they
        can be shown.

    Raises:
        ValueError: If a label is not among the classes of the training data.
        TypeError: If `metrics` is no dict of functions.
    """
    functions = check_functions(metrics)
    source, probabilities = _judge(fitted, x, y, batch_size, on_bad_image, steps=Steps(steps, "steps"), groups=groups)
    return fitted.task.report(
        source.truth,
        probabilities,
        fitted.thresholds,
        fitted.class_names,
        names=tuple(map(source.name, range(len(source)))),
        groups=source.groups,
        context=context_of(fitted),
        functions=functions,
        images=partial(fitted.reader.thumbnails, source, size=_SHOWN_PIXELS),
    )


def context_of(fitted: FittedClassifier) -> dict[str, Any]:
    """Returns what a report keeps of the classifier, ready for JSON: how it was trained, on what, and with what.

    Args:
        fitted: A `FittedClassifier`.

    Returns:
        Dict of `backbone`, `image_size`, `phases` in words, `settings`, `history`, numbers of images in `data`, and
        `versions` that have trained and evaluated it. What says how to work on this machine is not in it, nor is the
        folder of a weights file.
    """
    ours = {name: value for name, value in fitted.parameters.items() if name not in _OF_THE_MACHINE}
    if isinstance(ours.get("weights"), str | os.PathLike):
        ours["weights"] = os.path.basename(ours["weights"])
    split = fitted.split
    return {
        "backbone": fitted.backbone.name,
        "image_size": list(fitted.image_format.image_size),
        "phases": [phase.title for phase in fitted.phases],
        "settings": {name: _plain(value) for name, value in ours.items()},  # `None` says something, too
        "history": {name: [_plain(value) for value in column] for name, column in fitted.history.items()},
        "data": {"images_trained_on": len(split.training), "images_chosen_by": len(split.validation)},
        "trained_with": dict(fitted.versions),
        "versions": package_versions(),
    }


def _plain(value: Any) -> Any:
    """A value that JSON can hold: itself, or what it is in words."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, float) and not np.isfinite(value):
        return None
    if value is None or isinstance(value, bool | int | float | str):
        return value
    words = repr(value)
    return f"{type(value).__name__}(…)" if " at 0x" in words else words


def score(
    fitted: FittedClassifier,
    x: Any,
    y: Any = None,
    *,
    sample_weight: Any = None,
    batch_size: int = 32,
    on_bad_image: OnBadImage = "raise",
) -> float:
    """Returns the weighted share of images whose labels are all right; for arguments see `evaluate`."""
    source, probabilities = _judge(fitted, x, y, batch_size, on_bad_image, sample_weight=sample_weight)
    return fitted.task.accuracy(source.truth, probabilities, fitted.thresholds, source.weights)


def _judge(
    fitted: FittedClassifier, x: Any, y: Any, batch_size: int, on_bad_image: OnBadImage, **columns: Any
) -> tuple[Source, np.ndarray]:
    """Returns labelled images that can be read, as a `Source`, and their probabilities; for columns see `Intake`."""
    kind = {"class_names": fitted.class_names, "task": fitted.task.name}
    source = Intake(fitted.reader).labelled(x, y, "test", **kind, **columns)
    probabilities, failures = compute_probabilities(fitted, source, batch_size, on_bad_image)
    refuse_unreadable(failures, len(source), on_bad_image)
    return source.take(readable_rows(source, failures)) if failures else source, probabilities
