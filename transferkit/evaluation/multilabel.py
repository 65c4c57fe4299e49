"""Images that can have any number of labels: decision thresholds, and a report."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score, precision_recall_curve, precision_recall_fscore_support

from transferkit._utils.html import html_paragraphs, html_table

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
class MultilabelReport:
    """How well a classifier did on images that can have any number of labels.

    `print(report)` shows a table, and so does a notebook; `report.to_dict()` gives plain numbers.

    Attributes:
        class_names: Labels in order, `(num_classes,)`.
        num_images: Number of images.
        accuracy: Share of images for which all labels are right.
        micro_f1: F1 of all pairs of image and label together.
        macro_f1: Mean F1 of the labels that occur, or were predicted.
        mean_average_precision: Mean of the average precisions of the labels that occur (mAP); thresholds have no part
            in it.
        precision: `(num_classes,)`: of the images that were given the label, the share that has it.
        recall: `(num_classes,)`: of the images that have the label, the share that was given it.
        f1: `(num_classes,)`: harmonic mean of precision and recall.
        average_precision: `(num_classes,)`: mean precision over all thresholds; NaN for labels that do not occur.
        support: `(num_classes,)`: number of images with the label.
        thresholds: `(num_classes,)`: decision threshold, the least probability at which the label is predicted.
    """

    class_names: np.ndarray
    num_images: int
    accuracy: float
    micro_f1: float
    macro_f1: float
    mean_average_precision: float
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    average_precision: np.ndarray
    support: np.ndarray
    thresholds: np.ndarray

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
        return "\n".join([self._headline(), "", *table])

    def _repr_html_(self):
        return html_paragraphs([self._headline()]) + html_table(*self._label_rows())

    def _headline(self):
        return (
            f"micro F1 {self.micro_f1:.3f}, macro F1 {self.macro_f1:.3f}, mAP {self.mean_average_precision:.3f}, "
            f"all labels right {self.accuracy:.3f}, {self.num_images:,} images"
        )

    def _label_rows(self):
        """Returns header and rows of the table of labels."""
        rates = (self.precision, self.recall, self.f1, self.average_precision)
        rows = [
            (str(name), *(f"{rate[i]:.3f}" for rate in rates), str(self.support[i]), f"{self.thresholds[i]:.3f}")
            for i, name in enumerate(self.class_names)
        ]
        return ("label", "precision", "recall", "F1", "AP", "images", "threshold"), rows


def evaluate_labels(targets, probabilities, thresholds, class_names):
    """Computes a `MultilabelReport`.

    Args:
        targets: `(n, num_classes)` of 0 and 1.
        probabilities: `(n, num_classes)`.
        thresholds: `(num_classes,)`.
        class_names: Labels in the order of the columns.

    Returns:
        A `MultilabelReport`.
    """
    targets, predicted = targets.astype(int), (probabilities >= thresholds).astype(int)
    precision, recall, f1, support = precision_recall_fscore_support(targets, predicted, average=None, zero_division=0)
    micro_f1 = precision_recall_fscore_support(targets, predicted, average="micro", zero_division=0)[2]
    occurs = support > 0
    average_precision = np.full(len(support), np.nan)
    for code in np.flatnonzero(occurs):
        average_precision[code] = average_precision_score(targets[:, code], probabilities[:, code])
    is_counted = occurs | predicted.any(axis=0)
    return MultilabelReport(
        class_names=np.asarray(class_names),
        num_images=len(targets),
        accuracy=float((targets == predicted).all(axis=1).mean()),
        micro_f1=float(micro_f1),
        macro_f1=float(f1[is_counted].mean()) if is_counted.any() else 0.0,
        mean_average_precision=float(np.nanmean(average_precision)) if occurs.any() else float("nan"),
        precision=precision,
        recall=recall,
        f1=f1,
        average_precision=average_precision,
        support=support,
        thresholds=np.asarray(thresholds),
    )
