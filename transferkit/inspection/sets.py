"""Sets of classes in place of one, with a probability that the right one is among them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np

from transferkit._utils import console
from transferkit._utils.text import listing, plural
from transferkit.data.inputs.streams import Steps
from transferkit.evaluation.conformal import SET_METHODS, Conformal, SetMethod, images_needed
from transferkit.fitted import FittedClassifier
from transferkit.inspection.predictions import predict_source

_SHOWN = 20  # images that `print` shows


@dataclass(frozen=True, eq=False)
class PredictionSets(Sequence[tuple[Any, ...]]):
    """Sets of classes, one for each image: a sequence of tuples of class names, the most probable class first.

    `print(sets)` shows the first of them with the names of their images.

    Attributes:
        sets: The tuples.
        probabilities: What the classifier gave each class of a set, in the same order.
        names: Path of each image or, without one, its place, such as `image 3`.
        coverage: Probability that the right class is in a set: what was asked for.

    Example:
        >>> sets = PredictionSets((("cat",), ("dog", "cat")), ((0.9,), (0.6, 0.3)), ("image 0", "image 1"), 0.9)
        >>> sets[1], sets.sizes.tolist(), sets.mean_size
        (('dog', 'cat'), [1, 2], 1.5)
    """

    sets: tuple[tuple[Any, ...], ...] = field(repr=False)
    probabilities: tuple[tuple[float, ...], ...] = field(repr=False)
    names: tuple[str, ...] = field(repr=False)
    coverage: float

    def __len__(self) -> int:
        return len(self.sets)

    @overload
    def __getitem__(self, index: int) -> tuple[Any, ...]: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[tuple[Any, ...]]: ...

    def __getitem__(self, index: int | slice) -> tuple[Any, ...] | Sequence[tuple[Any, ...]]:
        return self.sets[index]

    @property
    def sizes(self) -> np.ndarray:
        """Number of classes in each set, `(n,)`."""
        return np.array([len(members) for members in self.sets], int)

    @property
    def mean_size(self) -> float:
        """Number of classes in a set on average."""
        return float(self.sizes.mean())

    def __str__(self) -> str:
        pairs = zip(self.names, self.sets, self.probabilities, strict=True)
        lines = [f"{name}: {_describe(*of_one)}" for _, (name, *of_one) in zip(range(_SHOWN), pairs, strict=False)]
        more = [f"… and {len(self) - _SHOWN:,} more"] if len(self) > _SHOWN else []
        return "\n".join([self.headline, *lines, *more])

    @property
    def headline(self) -> str:
        """How large the sets are, in a line."""
        sizes = self.sizes
        return (
            f"Sets of {plural(len(self), 'image')} at a coverage of {self.coverage:g}: {sizes.mean():.2f} classes on "
            f"average, {sizes.min()} to {sizes.max()}; {np.mean(sizes == 1):.0%} have one class."
        )


def _describe(members: tuple[Any, ...], probabilities: tuple[float, ...]) -> str:
    return ", ".join(f"{name} ({share:.0%})" for name, share in zip(members, probabilities, strict=True))


def predict_sets(
    fitted: FittedClassifier,
    x: Any,
    coverage: float = 0.9,
    *,
    per_class: bool = False,
    method: SetMethod = "raps",
    randomised: bool = False,
    seed: int = 0,
    batch_size: int = 32,
    steps: int | None = None,
) -> PredictionSets:
    """Returns the `PredictionSets` of images.

    Args:
        fitted: A `FittedClassifier` that knows how it did on held-out images.
        x: Images; see `as_source`.
        coverage: Probability that the right class is in the set of an image, between 0 and 1.
        per_class: Whether that holds for the images of each class, and not only for all together.
        method: `"raps"`, `"aps"` or `"lac"`; see `unusualness`.
        randomised: Whether sets depend on draws; see `unusualness`.
        seed: Seed of the draws.
        batch_size: Images a step.
        steps: Number of batches to read from a stream. Default: all, if it has an end.

    Raises:
        ValueError: If there is nothing to calibrate sets on, or too little for this coverage, or if an image can have
            any number of labels.
        ImageReadError: If any image cannot be read.
    """
    conformal = _calibrated(fitted, coverage, method, per_class)
    source = fitted.reader.source(x, steps=Steps(steps, "steps"))
    probabilities = predict_source(fitted, source, batch_size)
    generator = np.random.default_rng(seed) if randomised else None
    belong = conformal.sets(probabilities, coverage, method, per_class=per_class, generator=generator)
    members = [_in_order(row, mask) for row, mask in zip(probabilities, belong, strict=True)]
    names = fitted.class_names.tolist()
    result = PredictionSets(
        tuple(tuple(names[code] for code in codes) for codes in members),
        tuple(tuple(row[codes].tolist()) for row, codes in zip(probabilities, members, strict=True)),
        tuple(source.name(row) for row in range(len(source))),
        coverage,
    )
    console.note(f"{result.headline} Calibrated on {len(conformal):,} {conformal.origin}.")
    return result


def _in_order(row: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Codes of the classes of a set, the most probable first."""
    codes = np.flatnonzero(mask)
    return codes[np.argsort(-row[codes], kind="stable")]


def _calibrated(fitted: FittedClassifier, coverage: float, method: str, per_class: bool) -> Conformal:
    """Returns what sets are calibrated on, once it is clear that it suffices."""
    if not 0 < coverage < 1:
        raise ValueError(f"`coverage` must be between 0 and 1. Received: coverage={coverage!r}.")
    if method not in SET_METHODS:
        expected = ", ".join(map(repr, SET_METHODS))
        raise ValueError(f"Unknown `method`. Expected one of {expected}. Received: method={method!r}.")
    if fitted.task.has_thresholds:
        raise ValueError(
            "`predict_set` is for images that have one class each. Where they can have any number of labels, `predict` "
            "returns a set of labels for each image already."
        )
    if fitted.conformal is None:
        raise ValueError(
            "`predict_set` needs to know how the classifier does on images that it was not trained on. Call "
            "`calibrate(x, y)` with such images first. (A logistic head on a frozen backbone learns it in `fit`, "
            "unless its classes are balanced.)"
        )
    _check_count(fitted.conformal, coverage, per_class, fitted.class_names)
    return fitted.conformal


def _check_count(conformal: Conformal, coverage: float, per_class: bool, class_names: np.ndarray) -> None:
    needed = images_needed(coverage)
    counts = conformal.class_counts if per_class else np.array([len(conformal)])
    if counts.max() < needed:
        of_each = " of each class" if per_class else ""
        raise ValueError(
            f"A coverage of {coverage:g} takes at least {plural(needed, 'image')}{of_each} that the classifier was not "
            f"trained on, since no fewer can tell it from 1. Received: {counts.max():,} {conformal.origin}{of_each} at "
            "most. Give `calibrate` more images, or ask for a lower coverage."
        )
    few = np.flatnonzero(counts < needed)
    if per_class and len(few):
        console.note(
            f"{plural(len(few), 'class')} with fewer than {needed} calibration images belong to every set: "
            f"{listing(class_names[few])}."
        )
