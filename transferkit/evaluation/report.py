"""What an evaluation found, for people and for programs."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from transferkit._utils.html import html_paragraphs, html_table
from transferkit.evaluation.base import Report
from transferkit.evaluation.metrics import accuracy_interval, class_metrics
from transferkit.evaluation.plots.confusion import draw_confusion_matrix

_MAX_ROWS = 30
_MAX_MATRIX = 16
_MAX_CELL = 10
_CORNER = "true \\ predicted"


@dataclass(frozen=True, eq=False, repr=False)
class EvaluationReport(Report):
    """How well a classifier did on labelled images.

    `print(report)` shows tables, and so does a notebook; `report.to_dict()` gives plain numbers. The report keeps the
    probabilities, so everything in it is computed when it is first asked for.

    Attributes:
        class_names: Classes in order, `(num_classes,)`.
        labels: True codes `(n,)`.
        probabilities: `(n, num_classes)` float32.
        thresholds: `None`.
        names: What to call each image, its path where it has one, or `None`: `image 0` and so on.
        groups: `(n,)` what each image belongs to, such as a patient, or `None`.
        context: Settings, versions and history of the classifier, ready for JSON.
        functions: Metrics of the user by name: each a function of labels and predictions.
        images: Function of a sequence of rows that gives their images, a list of uint8 arrays `(height, width, 3)`, or
            `None` where they are not at hand. It is not saved.
    """

    @cached_property
    def predictions(self) -> np.ndarray:
        """Code of the most probable class of each image, `(n,)`."""
        return self.probabilities.argmax(axis=1)

    @cached_property
    def accuracy(self) -> float:
        """Share of images whose most probable class is the true one."""
        return int(np.trace(self.confusion_matrix)) / self.num_images

    @cached_property
    def accuracy_interval(self) -> tuple[float, float]:
        """95 % confidence interval `(low, high)` of the accuracy (Wilson, 1927)."""
        return accuracy_interval(np.trace(self.confusion_matrix), self.num_images)

    @cached_property
    def balanced_accuracy(self) -> float:
        """Mean recall of the classes that occur among the labels, each with the same weight."""
        return float(self.recall[self.support > 0].mean())

    @cached_property
    def macro_f1(self) -> float:
        """Mean F1 of the classes that occur among labels or predictions, each with the same weight."""
        return float(self.f1[self.support + self.confusion_matrix.sum(axis=0) > 0].mean())

    @property
    def precision(self) -> np.ndarray:
        """`(num_classes,)`: of the images predicted as this class, the share that belongs to it."""
        return self._by_class[0]

    @property
    def recall(self) -> np.ndarray:
        """`(num_classes,)`: of the images of this class, the share that was found."""
        return self._by_class[1]

    @property
    def f1(self) -> np.ndarray:
        """`(num_classes,)`: harmonic mean of precision and recall."""
        return self._by_class[2]

    @property
    def support(self) -> np.ndarray:
        """`(num_classes,)`: number of images of the class."""
        return self._by_class[3]

    @property
    def confusion_matrix(self) -> np.ndarray:
        """`(num_classes, num_classes)` counts; rows are true classes, columns predicted ones."""
        return self._by_class[4]

    @cached_property
    def _by_class(self):
        return class_metrics(self.labels, self.predictions, len(self.class_names))

    @property
    def worst_class(self) -> tuple[Any, float]:
        """The class that is found least often, `(name, recall)`, of those that occur among the labels."""
        code = int(np.where(self.support > 0, self.recall, np.inf).argmin())
        return self.class_names.tolist()[code], float(self.recall[code])

    def plot_confusion_matrix(self, ax: Axes | None = None) -> Axes:
        """Draws how often each class was taken for which: right predictions in blue, mistakes in orange.

        The colour of a cell says which share of the images of the true class it has.

        Args:
            ax: Matplotlib axes; default: new ones.

        Returns:
            The axes; `.figure` is their figure.
        """
        return draw_confusion_matrix(self.confusion_matrix, self.class_names, ax=ax)

    def to_dict(self) -> dict[str, Any]:
        """Returns everything as plain Python numbers, strings, lists and dicts, ready for JSON."""
        names = self.class_names.tolist()
        rows = zip(names, self.precision, self.recall, self.f1, self.support, strict=True)
        return {
            "num_images": self.num_images,
            "accuracy": self.accuracy,
            "accuracy_interval": list(self.accuracy_interval),
            "balanced_accuracy": self.balanced_accuracy,
            "worst_class": dict(zip(("name", "recall"), self.worst_class, strict=True)),
            "macro_f1": self.macro_f1,
            "metrics": self._metrics_dict(),
            "classes": [
                {"name": name, "precision": float(p), "recall": float(r), "f1": float(f), "support": int(s)}
                for name, p, r, f, s in rows
            ],
            "confusion_matrix": self.confusion_matrix.tolist(),
        }

    def __repr__(self):
        low, high = self.accuracy_interval
        return (
            f"EvaluationReport(accuracy={self.accuracy:.3f}, accuracy_interval=({low:.3f}, {high:.3f}), "
            f"balanced_accuracy={self.balanced_accuracy:.3f}, macro_f1={self.macro_f1:.3f}, "
            f"num_images={self.num_images}, num_classes={len(self.class_names)})"
        )

    def __str__(self):
        matrix = self._matrix_table() if self._has_matrix else []
        parts = (self._headlines(), self._metric_lines(), self._class_table(), matrix, self._mistakes_in_words())
        return "\n\n".join("\n".join(part) for part in parts if part)

    def _repr_html_(self):
        header, rows, note = self._class_rows()
        names = self.class_names.tolist()
        counts = [[name, *row] for name, row in zip(names, self.confusion_matrix.tolist(), strict=True)]
        return "".join(
            [
                html_paragraphs(self._headlines()),
                html_table(("", "value", "95 % interval"), self._metric_rows()),
                html_table(header, rows) + html_paragraphs(note),
                html_table([_CORNER, *names], counts) if self._has_matrix else "",
                html_paragraphs(self._mistakes_in_words()),
            ]
        )

    @property
    def _has_matrix(self):
        return len(self.class_names) <= _MAX_MATRIX

    def _headlines(self):
        name, recall = self.worst_class
        return [self._headline(), f"worst class: {name!s}, with a recall of {recall:.3f}"]

    def _class_rows(self):
        """Returns header, rows and a note of what is missing, for the classes that are shown."""
        is_cut = len(self.f1) > _MAX_ROWS
        shown = np.argsort(self.f1, kind="stable")[:_MAX_ROWS] if is_cut else range(len(self.f1))
        rates = (self.precision, self.recall, self.f1)
        rows = [
            (str(self.class_names[i]), *(f"{column[i]:.3f}" for column in rates), str(self.support[i])) for i in shown
        ]
        note = [f"(the {_MAX_ROWS} classes with the lowest F1, of {len(self.f1)})"] if is_cut else []
        return ("class", "precision", "recall", "F1", "images"), rows, note

    def _class_table(self):
        header, rows, note = self._class_rows()
        width = max(len(row[0]) for row in [header, *rows])
        lines = [
            f"{name:<{width}}  {precision:>9}  {recall:>6}  {f1:>5}  {support:>6}"
            for name, precision, recall, f1, support in [header, *rows]
        ]
        return lines + note

    def _matrix_table(self):
        names = [str(name) for name in self.class_names]
        left = max(len(_CORNER), *map(len, names))
        longest = max(len(str(self.confusion_matrix.max())), *map(len, names))
        cell = min(max(longest, 3), _MAX_CELL) + 1
        header = f"{_CORNER:<{left}}" + "".join(f" {name[: cell - 1]:>{cell - 1}}" for name in names)
        rows = [
            f"{name:<{left}}" + "".join(f"{count or '.':>{cell}}" for count in counts)
            for name, counts in zip(names, self.confusion_matrix.tolist(), strict=True)
        ]
        return [header, *rows]

    def _confusions(self):
        return self.confusion_matrix - np.diag(np.diag(self.confusion_matrix))

    def _class_sizes(self):
        return self.support

    def _mistakes(self):
        confidences, is_right = self.probabilities.max(axis=1), self.predictions == self.labels
        return np.where(is_right, -1, confidences), confidences

    def _doubts(self):
        confidences = self.probabilities.max(axis=1)
        return confidences, confidences

    def _answers(self, index):
        names = self.class_names.tolist()
        return names[self.labels[index]], names[self.predictions[index]]
