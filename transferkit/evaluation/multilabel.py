"""Images that can have any number of labels: decision thresholds, and a report."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score, precision_recall_curve, precision_recall_fscore_support

from transferkit._utils.html import html_paragraphs, html_table
from transferkit.evaluation.base import Report

_FEWEST = 5  # images with a label, and without it, that it takes to choose its threshold


def choose_thresholds(targets, probabilities, weights=None):
    """Chooses for each label the decision threshold with the best F1.

    Args:
        targets: `(n, num_classes)` of 0 and 1.
        probabilities: `(n, num_classes)` for images that were not trained on.
        weights: `(n,)` weights of the images, or `None`.

    Returns:
        `(num_classes,)` float32. 0.5 for labels that fewer than five of the images have, or lack.
    """
    columns = zip(targets.T, probabilities.T, strict=True)
    return np.array([_best_threshold(*column, weights) for column in columns], "float32")


def _best_threshold(labels, probabilities, weights):
    if min(labels.sum(), len(labels) - labels.sum()) < _FEWEST:
        return 0.5
    precision, recall, thresholds = precision_recall_curve(labels, probabilities, sample_weight=weights)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    best = int(f1[:-1].argmax())
    # Half way to the next lower probability: what lies between the two was not seen.
    below = probabilities[probabilities < thresholds[best]].max(initial=0)
    return (thresholds[best] + below) / 2


@dataclass(frozen=True, eq=False, repr=False)
class MultilabelReport(Report):
    """How well a classifier did on images that can have any number of labels.

    `print(report)` shows a table, and so does a notebook; `report.to_dict()` gives plain numbers. The report keeps the
    probabilities, so everything in it is computed when it is first asked for.

    Attributes:
        class_names: Labels in order, `(num_classes,)`.
        labels: `(n, num_classes)` of 0 and 1.
        probabilities: `(n, num_classes)` float32.
        thresholds: `(num_classes,)`: decision threshold, the least probability at which the label is predicted.
        names: What to call each image, its path where it has one, or `None`: `image 0` and so on.
        groups: `(n,)` what each image belongs to, such as a patient, or `None`.
        context: Settings, versions and history of the classifier, ready for JSON.
        functions: Metrics of the user by name: each a function of labels and predictions.
        images: Function of a sequence of rows that gives their images, a list of uint8 arrays `(height, width, 3)`, or
            `None` where they are not at hand. It is not saved.
    """

    @cached_property
    def predictions(self) -> np.ndarray:
        """1 for each label that is given, else 0: `(n, num_classes)`."""
        return (self.probabilities >= self.thresholds).astype(int)

    @cached_property
    def accuracy(self) -> float:
        """Share of images for which all labels are right."""
        return float((self.labels == self.predictions).all(axis=1).mean())

    @cached_property
    def micro_f1(self) -> float:
        """F1 of all pairs of image and label together."""
        scores = precision_recall_fscore_support(self._targets, self.predictions, average="micro", zero_division=0)
        return float(scores[2])

    @cached_property
    def macro_f1(self) -> float:
        """Mean F1 of the labels that occur, or were predicted."""
        is_counted = (self.support > 0) | self.predictions.any(axis=0)
        return float(self.f1[is_counted].mean()) if is_counted.any() else 0.0

    @cached_property
    def mean_average_precision(self) -> float:
        """Mean of the average precisions of the labels that occur (mAP); thresholds have no part in it."""
        return float(np.nanmean(self.average_precision)) if self.support.any() else float("nan")

    @property
    def precision(self) -> np.ndarray:
        """`(num_classes,)`: of the images that were given the label, the share that has it."""
        return self._by_class[0]

    @property
    def recall(self) -> np.ndarray:
        """`(num_classes,)`: of the images that have the label, the share that was given it."""
        return self._by_class[1]

    @property
    def f1(self) -> np.ndarray:
        """`(num_classes,)`: harmonic mean of precision and recall."""
        return self._by_class[2]

    @property
    def support(self) -> np.ndarray:
        """`(num_classes,)`: number of images with the label."""
        return self._by_class[3]

    @cached_property
    def average_precision(self) -> np.ndarray:
        """`(num_classes,)`: mean precision over all thresholds; NaN for labels that do not occur."""
        found = np.full(len(self.support), np.nan)
        for code in np.flatnonzero(self.support):
            found[code] = average_precision_score(self._targets[:, code], self.probabilities[:, code])
        return found

    @cached_property
    def _by_class(self):
        return precision_recall_fscore_support(self._targets, self.predictions, average=None, zero_division=0)

    @cached_property
    def _targets(self):
        return self.labels.astype(int)

    def to_dict(self) -> dict[str, Any]:
        """Returns everything as plain Python numbers, strings, lists and dicts, ready for JSON; NaN as `None`."""
        columns = ("precision", "recall", "f1", "average_precision", "support", "thresholds")
        rows = zip(self.class_names.tolist(), *(getattr(self, name).tolist() for name in columns), strict=True)
        names = ("name", *columns[:-1], "threshold")
        return {
            "num_images": self.num_images,
            "accuracy": self.accuracy,
            "micro_f1": self.micro_f1,
            "macro_f1": self.macro_f1,
            "mean_average_precision": self.mean_average_precision,
            "metrics": self._metrics_dict(),
            "classes": [
                {name: None if value != value else value for name, value in zip(names, row, strict=True)}
                for row in rows
            ],
        }

    def __repr__(self):
        return (
            f"MultilabelReport(accuracy={self.accuracy:.3f}, micro_f1={self.micro_f1:.3f}, "
            f"macro_f1={self.macro_f1:.3f}, mean_average_precision={self.mean_average_precision:.3f}, "
            f"num_images={self.num_images}, num_classes={len(self.class_names)})"
        )

    def __str__(self):
        header, rows = self._label_rows()
        width = max(len(row[0]) for row in [header, *rows])
        table = [
            f"{name:<{width}}  {precision:>9}  {recall:>6}  {f1:>5}  {mean:>5}  {support:>6}  {threshold:>9}"
            for name, precision, recall, f1, mean, support, threshold in [header, *rows]
        ]
        parts = ([self._headline()], self._metric_lines(), table, self._mistakes_in_words())
        return "\n\n".join("\n".join(part) for part in parts)

    def _repr_html_(self):
        return "".join(
            [
                html_paragraphs([self._headline()]),
                html_table(("", "value", "95 % interval"), self._metric_rows()),
                html_table(*self._label_rows()),
                html_paragraphs(self._mistakes_in_words()),
            ]
        )

    def _label_rows(self):
        """Returns header and rows of the table of labels."""
        rates = (self.precision, self.recall, self.f1, self.average_precision)
        rows = [
            (str(name), *(f"{rate[i]:.3f}" for rate in rates), str(self.support[i]), f"{self.thresholds[i]:.3f}")
            for i, name in enumerate(self.class_names)
        ]
        return ("label", "precision", "recall", "F1", "AP", "images", "threshold"), rows

    def _confusions(self):
        missed, wrong = (self._targets > self.predictions), (self._targets < self.predictions)
        return missed.T.astype(int) @ wrong.astype(int)

    def _class_sizes(self):
        return self.support

    def _mistakes(self):
        given = np.where(self.predictions > 0, self.probabilities, 1 - self.probabilities)
        certain = np.where(self.predictions == self._targets, -1, given).max(axis=1)
        return certain, certain

    def _doubts(self):
        distances = np.abs(self.probabilities - self.thresholds)
        nearest = distances.argmin(axis=1)
        rows = np.arange(self.num_images)
        return distances[rows, nearest], self.probabilities[rows, nearest]

    def _answers(self, index):
        names = self.class_names.tolist()
        return tuple(
            tuple(names[code] for code in np.flatnonzero(rows[index])) for rows in (self._targets, self.predictions)
        )
