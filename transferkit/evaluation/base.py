"""What the reports of all kinds of labels keep, and what is found in it."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np

from transferkit._utils.text import plural
from transferkit.evaluation.headline import headline_values, user_values
from transferkit.evaluation.metrics import MetricValue
from transferkit.evaluation.page.words import in_words
from transferkit.evaluation.presentation import Presented
from transferkit.evaluation.reliability import Reliability, reliability_of
from transferkit.evaluation.sample import Sample
from transferkit.evaluation.storage import read_report, write_report
from transferkit.exceptions import ArchiveError


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
class Report(Presented):
    """What was predicted for labelled images, kept whole; all numbers are computed from it when they are first used.

    Attributes:
        class_names: Classes in order, `(num_classes,)`.
        labels: True codes `(n,)` or, of any number of labels, `(n, num_classes)` of 0 and 1.
        probabilities: `(n, num_classes)` float32.
        thresholds: `(num_classes,)`, probability from which on a label is given, or `None` for one label an image.
        names: What to call each image, its path where it has one, or `None`: `image 0` and so on.
        groups: `(n,)` what each image belongs to, such as a patient, or `None`.
        context: Settings, versions and history of the classifier, ready for JSON.
        functions: Metrics of the user by name: each a function of labels and predictions; see `evaluate`.
        known: `MetricValue` of the user's metrics by name, of a report that was loaded without their functions.
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
    known: Mapping[str, MetricValue] = field(default_factory=dict)
    images: Callable[[Sequence[int]], list[np.ndarray]] | None = None

    predictions: ClassVar[Any]

    def __post_init__(self):
        _check(self)

    @property
    def num_images(self) -> int:
        """Number of images."""
        return len(self.labels)

    @cached_property
    def metrics(self) -> dict[str, MetricValue]:
        """Headline numbers by name, each a `MetricValue` with its 95 % interval."""
        own = user_values(self.functions, self.sample, self.groups)
        return headline_values(self.sample, self.groups) | dict(self.known) | own

    @cached_property
    def sample(self) -> Sample:
        """Labels and predictions as metrics see them."""
        return Sample(self.labels, self.probabilities.astype("float64"), self.predictions, self.class_names)

    @cached_property
    def reliability(self) -> Reliability:
        """How often predictions are right, beside how sure they are, in bins of as many images each."""
        return reliability_of(*self.sample.confidences)

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

    @property
    def image_names(self) -> list[str]:
        """What to call each image, in order."""
        return [self.name(index) for index in range(self.num_images)]

    def worst_mistakes(self, n: int = 16) -> list[JudgedImage]:
        """The `n` wrong predictions that were the most certain, the most certain first."""
        scores, probabilities = self._mistakes()
        order = np.argsort(-scores, kind="stable")[:n]
        return [self._image(i, probabilities[i]) for i in order if scores[i] >= 0]

    def least_confident(self, n: int = 16) -> list[JudgedImage]:
        """The `n` predictions that were the least certain, right or wrong, the least certain first."""
        scores, probabilities = self._doubts()
        return [self._image(i, probabilities[i]) for i in np.argsort(scores, kind="stable")[:n]]

    def take(self, rows: Sequence[int]) -> Self:
        """Returns the report of some of the images, in the order of `rows`."""
        given, rows = self.images, list(rows)
        parts: dict[str, Any] = {name: getattr(self, name)[rows] for name in ("labels", "probabilities")}
        return replace(
            self,
            **parts,
            names=tuple(self.name(row) for row in rows),
            groups=None if self.groups is None else self.groups[rows],
            images=None if given is None else lambda places: given([rows[place] for place in places]),
            known={},
        )

    def save(self, path: str | os.PathLike) -> None:
        """Writes the report into one file, all or nothing: its arrays, as `numpy.load` reads them, and JSON; no pickle.

        The images stay where they are, and metrics of the user are saved as numbers. Paths of images are in the file as
        they were given.

        Args:
            path: File name. A file that is there is replaced once the new one is complete.

        Raises:
            FileNotFoundError: If its folder does not exist.
            OSError: If it cannot be written. What was there is still there.
        """
        columns = ("labels", "probabilities", "thresholds", "groups")
        arrays = {name: getattr(self, name) for name in columns if getattr(self, name) is not None}
        own = [name for name in self.metrics if name in {*self.functions, *self.known}] if self._has_own_metrics else []
        settings = {
            "class_names": self.class_names.tolist(),
            "names": self.names,
            "context": dict(self.context),
            "metrics": {name: asdict(self.metrics[name]) for name in own},
        }
        write_report(path, type(self).__name__, arrays, settings)

    @classmethod
    def load(cls, path: str | os.PathLike) -> Self:
        """Reads a report that `save` wrote.

        Args:
            path: The file.

        Returns:
            The report, with the same numbers. It has no `images`, and of the user's metrics the numbers.

        Raises:
            FileNotFoundError: If there is no such file.
            ArchiveError: If it is damaged, no report, one of another kind, or of a newer version.
        """
        arrays, settings = read_report(path, cls.__name__)
        try:
            return cls(
                np.asarray(settings["class_names"]),
                arrays.pop("labels"),
                arrays.pop("probabilities"),
                names=None if settings["names"] is None else tuple(map(str, settings["names"])),
                context=dict(settings["context"]),
                known={name: MetricValue(**value) for name, value in settings["metrics"].items()},
                **arrays,
            )
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise ArchiveError(f"{str(path)!r} is damaged: what is in it does not fit together: {error}") from error

    @property
    def _has_own_metrics(self):
        return bool(self.functions or self.known)

    def _headline(self):
        units = "images" if self.groups is None else f"{len(np.unique(self.groups)):,} groups"
        classes = plural(len(self.class_names), "label" if np.ndim(self.labels) == 2 else "class")
        return f"{plural(self.num_images, 'image')}, {classes}; 95 % intervals over {units}"

    def _mistakes_in_words(self):
        return [*self._confused_lines(), *self._mistake_lines()] or ["no mistakes"]

    def _metrics_dict(self):
        """Returns the headline numbers ready for JSON; NaN as `None`."""
        return {
            name: {key: None if item != item else item for key, item in asdict(value).items() if key != "name"}
            for name, value in self.metrics.items()
        }

    def _metric_lines(self):
        """Returns the headline numbers as lines of text, each with its interval."""
        rows = self._metric_rows()
        width = max(len(title) for title, *_ in rows)
        return [f"{title:<{width}}  {value:>5}  {interval}".rstrip() for title, value, interval in rows]

    def _metric_rows(self):
        """Returns title, value and interval of each headline number, as text."""
        return [
            (each.title, "-", f"unavailable: {each.unavailable}")
            if each.unavailable is not None
            else (each.title, f"{each.value:.3f}", f"{each.low:.3f} to {each.high:.3f}" if each.has_interval else "")
            for each in self.metrics.values()
        ]

    def _mistake_lines(self, most=5):
        """Returns the worst mistakes as lines of text, with the names of their images."""
        lines = [
            f"  {image.name}: predicted {in_words(image.predicted)} ({image.probability:.3f}), is "
            f"{in_words(image.true)}"
            for image in self.worst_mistakes(most)
        ]
        return ["worst mistakes:", *lines] if lines else []

    def _confused_lines(self, most=5):
        """Returns the most confused pairs as lines of text."""
        lines = [f"  {pair.true} taken for {pair.predicted}: {pair.count}" for pair in self.confused_pairs[:most]]
        return ["most frequent mistakes:", *lines] if lines else []

    def _image(self, index, probability):
        return JudgedImage(int(index), self.name(index), *self._answers(index), float(probability))

    # What depends on the kind of labels.

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


def _check(report):
    """Raises `ValueError` if what a report is made of does not fit together."""
    shape, num_classes = np.shape(report.probabilities), len(report.class_names)
    if len(shape) != 2 or shape[1] != num_classes or not shape[0]:
        raise ValueError(
            f"`probabilities` must have one row for each image and one column for each of {num_classes} classes. "
            f"Received: an array of shape {shape}."
        )
    if not np.isfinite(report.probabilities).all():
        raise ValueError(
            "`probabilities` must be numbers. Received: NaN or infinity, so the training of the classifier has failed."
        )
    if np.shape(report.labels) not in (shape[:1], shape):
        raise ValueError(f"`labels` must be {shape[0]} codes, or rows. Received: {np.shape(report.labels)}.")
    most = 1 if np.ndim(report.labels) == 2 else num_classes - 1
    ends = np.min(report.labels), np.max(report.labels)
    if ends[0] < 0 or ends[1] > most:
        raise ValueError(f"`labels` must be from 0 to {most}. Received: some from {ends[0]} to {ends[1]}.")
    for name in ("names", "groups"):
        column = getattr(report, name)
        if column is not None and len(column) != shape[0]:
            raise ValueError(f"`{name}` must have one entry for each of {shape[0]} images. Received: {len(column)}.")
