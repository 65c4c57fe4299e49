"""What an evaluation found, for people and for programs."""

from dataclasses import dataclass, field

import numpy as np

from transferkit.evaluation.metrics import accuracy_interval, class_metrics

_MAX_ROWS = 40
_MAX_MATRIX = 16
_MAX_CELL = 10
_CORNER = "true \\ predicted"


@dataclass(frozen=True, eq=False)
class EvaluationReport:
    """How well a classifier did on labelled images.

    `print(report)` shows tables, `report.to_dict()` gives plain numbers.

    Attributes:
        class_names: Classes in order, `(num_classes,)`.
        num_images: Number of images.
        accuracy: Share of images whose most probable class is the true one.
        accuracy_interval: Its 95 % confidence interval `(low, high)` (Wilson, 1927).
        balanced_accuracy: Mean recall of the classes that occur among the labels, each with the same weight.
        macro_f1: Mean F1 of the classes that occur among labels or predictions, each with the same weight.
        precision: `(num_classes,)`: of the images predicted as this class, the share that belongs to it.
        recall: `(num_classes,)`: of the images of this class, the share that was found.
        f1: `(num_classes,)`: harmonic mean of precision and recall.
        support: `(num_classes,)`: number of images of the class.
        confusion_matrix: `(num_classes, num_classes)` counts; rows are true classes, columns predicted ones.
    """

    class_names: np.ndarray
    num_images: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    balanced_accuracy: float
    macro_f1: float
    precision: np.ndarray = field(repr=False)
    recall: np.ndarray = field(repr=False)
    f1: np.ndarray = field(repr=False)
    support: np.ndarray = field(repr=False)
    confusion_matrix: np.ndarray = field(repr=False)

    @property
    def worst_class(self):
        """The class that is found least often, `(name, recall)`, of those that occur among the labels."""
        code = int(np.where(self.support > 0, self.recall, np.inf).argmin())
        return self.class_names.tolist()[code], float(self.recall[code])

    def to_dict(self):
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
            "classes": [
                {"name": name, "precision": float(p), "recall": float(r), "f1": float(f), "support": int(s)}
                for name, p, r, f, s in rows
            ],
            "confusion_matrix": self.confusion_matrix.tolist(),
        }

    def __str__(self):
        low, high = self.accuracy_interval
        lines = [
            f"accuracy {self.accuracy:.3f} (95 % interval {low:.3f} to {high:.3f}), macro F1 {self.macro_f1:.3f}, "
            f"{self.num_images:,} images",
            f"balanced accuracy {self.balanced_accuracy:.3f}, worst class {self.worst_class[0]!s} with a recall of "
            f"{self.worst_class[1]:.3f}",
            "",
            *self._class_table(),
            "",
            *(self._matrix_table() if len(self.class_names) <= _MAX_MATRIX else self._confusions()),
        ]
        return "\n".join(lines)

    def _class_table(self):
        shown = np.argsort(self.f1, kind="stable")[:_MAX_ROWS] if len(self.f1) > _MAX_ROWS else range(len(self.f1))
        names = [str(self.class_names[i]) for i in shown]
        width = max(len("class"), *map(len, names))
        header = f"{'class':<{width}}  precision  recall     F1  images"
        rows = [
            f"{name:<{width}}  {self.precision[i]:9.3f}  {self.recall[i]:6.3f}  {self.f1[i]:5.3f}  {self.support[i]:6d}"
            for name, i in zip(names, shown, strict=True)
        ]
        note = [f"(the {_MAX_ROWS} classes with the lowest F1, of {len(self.f1)})"] if len(self.f1) > _MAX_ROWS else []
        return [header, *rows, *note]

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

    def _confusions(self, most=10):
        mistakes = self.confusion_matrix - np.diag(np.diag(self.confusion_matrix))
        order = np.argsort(mistakes, axis=None)[::-1][:most]
        pairs = [np.unravel_index(i, mistakes.shape) for i in order if mistakes.flat[i]]
        rows = [f"  {self.class_names[t]} taken for {self.class_names[p]}: {mistakes[t, p]}" for t, p in pairs]
        return ["most frequent mistakes:", *rows] if rows else ["no mistakes"]


def evaluate_probabilities(labels, probabilities, class_names):
    """Computes an `EvaluationReport`.

    Args:
        labels: True codes `(n,)`.
        probabilities: `(n, num_classes)`.
        class_names: Classes in the order of the codes.

    Returns:
        An `EvaluationReport`.
    """
    predictions = probabilities.argmax(axis=1)
    precision, recall, f1, support, confusion = class_metrics(labels, predictions, len(class_names))
    occurring = (support + confusion.sum(axis=0)) > 0
    correct = int(np.trace(confusion))
    return EvaluationReport(
        class_names=np.asarray(class_names),
        num_images=len(labels),
        accuracy=correct / len(labels),
        accuracy_interval=accuracy_interval(correct, len(labels)),
        balanced_accuracy=float(recall[support > 0].mean()),
        macro_f1=float(f1[occurring].mean()),
        precision=precision,
        recall=recall,
        f1=f1,
        support=support,
        confusion_matrix=confusion,
    )
