"""What the reports of all kinds of labels keep, and what is found in it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from transferkit.evaluation.metrics import MetricValue, accuracy_interval
from transferkit.evaluation.reliability import Reliability, reliability_of


@dataclass(frozen=True)
class ConfusedPair:
    """One class that is taken for another: how often, and for which share of the images of the true class."""

    true: Any
    predicted: Any
    count: int
    share: float


@dataclass(frozen=True)
class JudgedImage:
    """One image of a report.

    Attributes:
        index: Its row in the report.
        name: Its path or, if it has none, `image 3`.
        true: Its class; of any number of labels, a tuple of them.
        predicted: What was predicted, in the same form.
        probability: That of the class predicted. Of any number of labels: that of the answer that is meant, which is
            the most certain wrong one among mistakes, and the one nearest its threshold among the least confident.
    """

    index: int
    name: str
    true: Any
    predicted: Any
    probability: float


@dataclass(frozen=True, eq=False, repr=False)
class Report:
    """What was predicted for labelled images, kept whole; all numbers are computed from it when they are first used.

    Attributes:
        class_names: Classes in order, `(num_classes,)`.
        labels: True codes `(n,)` or, of any number of labels, `(n, num_classes)` of 0 and 1.
        probabilities: `(n, num_classes)` float32.
        thresholds: `(num_classes,)`, probability from which on a label is given, or `None` for one label an image.
        names: What to call each image, its path where it has one, or `None`: `image 0` and so on.
        groups: `(n,)` what each image belongs to, such as a patient, or `None`.
        context: Settings, versions and history of the classifier, ready for JSON.
        functions: Metrics of the user by name: each a function of labels and predictions.
        images: Function of a sequence of rows that gives their images, a list of uint8 arrays `(height, width, 3)`, or
            `None` where they are not at hand. It is not saved.
    """

    class_names: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray
    thresholds: np.ndarray | None = None
    names: tuple[str, ...] | None = None
    groups: np.ndarray | None = None
    context: Mapping[str, Any] = field(default_factory=dict)
    functions: Mapping[str, Callable[..., float]] = field(default_factory=dict)
    images: Callable[[Sequence[int]], list[np.ndarray]] | None = None

    accuracy: ClassVar[Any]

    @property
    def num_images(self) -> int:
        """Number of images."""
        return len(self.labels)

    @cached_property
    def metrics(self) -> dict[str, MetricValue]:
        """Headline numbers by name, each a `MetricValue` with its 95 % interval."""
        low, high = accuracy_interval(round(self.accuracy * self.num_images), self.num_images)
        return {"accuracy": MetricValue("accuracy", "accuracy", self.accuracy, low, high)}

    @cached_property
    def reliability(self) -> Reliability:
        """How often predictions are right, beside how sure they are, in bins of as many images each."""
        return reliability_of(*self._confidences())

    @cached_property
    def confused_pairs(self) -> list[ConfusedPair]:
        """All pairs of classes of which one was taken for the other, the most frequent first."""
        counts = self._confusions()
        true, predicted = np.nonzero(counts)
        order = np.argsort(-counts[true, predicted], kind="stable")
        names, sizes = self.class_names.tolist(), self._class_sizes()
        return [
            ConfusedPair(names[t], names[p], int(counts[t, p]), float(counts[t, p] / sizes[t]))
            for t, p in zip(true[order], predicted[order], strict=True)
        ]

    def name(self, index: int) -> str:
        """What to call the image at a row: its path or, if it has none, `image 3`."""
        return f"image {index}" if self.names is None else self.names[index]

    def worst_mistakes(self, n: int = 16) -> list[JudgedImage]:
        """The `n` wrong predictions that were the most certain, the most certain first."""
        scores, probabilities = self._mistakes()
        order = np.argsort(-scores, kind="stable")[:n]
        return [self._image(i, probabilities[i]) for i in order if scores[i] >= 0]

    def least_confident(self, n: int = 16) -> list[JudgedImage]:
        """The `n` predictions that were the least certain, right or wrong, the least certain first."""
        scores, probabilities = self._doubts()
        return [self._image(i, probabilities[i]) for i in np.argsort(scores, kind="stable")[:n]]

    def _image(self, index, probability):
        return JudgedImage(int(index), self.name(index), *self._answers(index), float(probability))

    # What depends on the kind of labels.

    def _confidences(self):
        """Returns probabilities and whether what they are about is so, two arrays of one shape."""
        raise NotImplementedError

    def _confusions(self):
        """Returns `(num_classes, num_classes)` counts of mistakes; rows are true classes, columns predicted ones."""
        raise NotImplementedError

    def _class_sizes(self):
        """Returns how many images have each label, `(num_classes,)`."""
        raise NotImplementedError

    def _mistakes(self):
        """Returns how certain each wrong prediction was, -1 for right ones, and the probabilities to show."""
        raise NotImplementedError

    def _doubts(self):
        """Returns how certain each prediction was, and the probabilities to show."""
        raise NotImplementedError

    def _answers(self, index):
        """Returns true and predicted label of one image, as the user would name them."""
        raise NotImplementedError
