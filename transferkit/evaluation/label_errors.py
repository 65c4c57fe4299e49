"""Which labels are wrong, by what a classifier says that has not seen them (confident learning)."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from transferkit._utils.html import html_paragraphs, html_table
from transferkit._utils.text import plural
from transferkit.evaluation.plots.grid import draw_image_grid

_SHOWN = 20  # rows of a printed table


@dataclass(frozen=True)
class LabelError:
    """An image whose label may be wrong.

    Attributes:
        path: Path of the image, or `None` if it has none.
        index: Its place in what was given; of a folder, in the order of classes and then of names.
        given: Its label; where an image can have any number of labels, a tuple of them.
        likely: The label that it more likely has.
        score: How likely the given label is to be right, in `[0, 1]`.
    """

    path: str | None
    index: int
    given: Any
    likely: Any
    score: float


@dataclass(frozen=True, eq=False, repr=False)
class LabelErrors(Sequence[LabelError]):
    """Images whose labels may be wrong, the most suspicious first: a sequence of `LabelError`.

    `pandas.DataFrame(errors.rows)` makes a table of it. A notebook shows the first ones, and `plot()` draws them.

    Attributes:
        class_names: Classes in order, `(num_classes,)`.
        given: Label of each of the `n` images that were judged, as a list.
        likely: The most probable label of each.
        scores: `(n,)` float64: the probability, in `[0, 1]`, that a classifier which has not seen the image gives to
            its label; NaN where no image could be held out, such as the only one of a class.
        is_suspect: `(n,)` bool: whether the label may be wrong.
        probabilities: `(n, num_classes)` float32, each row by a classifier that was not trained on that image.
        paths: Path of each image, or `None`.
        indices: `(n,)` place of each image in what was given.
        images: Function from a sequence of rows to uint8 arrays `(height, width, 3)`, or `None`.
    """

    class_names: np.ndarray
    given: Sequence[Any]
    likely: Sequence[Any]
    scores: np.ndarray
    is_suspect: np.ndarray
    probabilities: np.ndarray
    paths: Sequence[str | None]
    indices: np.ndarray
    images: Callable[[Any], list[np.ndarray]] | None = None

    @cached_property
    def ranking(self) -> np.ndarray:
        """All rows, `(n,)` int64: suspects first, then the others, each from the lowest score to the highest."""
        return np.lexsort([self.scores, ~self.is_suspect])

    @cached_property
    def rows(self) -> tuple[LabelError, ...]:
        """The suspects."""
        return tuple(self._row(row) for row in self.ranking[: self.is_suspect.sum()])

    def most_suspicious(self, count: int) -> tuple[LabelError, ...]:
        """Returns the first images of the `ranking`, whether or not they are suspects."""
        return tuple(self._row(row) for row in self.ranking[:count])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]

    def to_dict(self) -> dict[str, Any]:
        """Returns the suspects as plain Python numbers, strings, lists and dicts, ready for JSON."""
        return {"num_images": len(self.scores), "label_errors": [asdict(error) for error in self.rows]}

    def plot(self, count: int = 24, ax: Axes | None = None) -> Axes:
        """Draws the most suspicious images, with the given label, the likely one and the score below each.

        Args:
            count: How many at most; only suspects are drawn.
            ax: Matplotlib axes; default: new ones.

        Returns:
            The axes; `.figure` is their figure.

        Raises:
            ValueError: If the images are not there.
        """
        if self.images is None:
            raise ValueError("These results were made without images, so they cannot be drawn. Received: images=None.")
        rows = self.ranking[: min(count, len(self))]
        captions = [
            (_text(error.given), f"likely {_text(error.likely)}", f"{error.score:.3f}") for error in self.rows[:count]
        ]
        return draw_image_grid(self.images(rows), captions, ax=ax)

    def _row(self, row):
        score = float(self.scores[row])
        return LabelError(self.paths[row], int(self.indices[row]), self.given[row], self.likely[row], score)

    def __repr__(self):
        return f"LabelErrors({len(self)} of {plural(len(self.scores), 'image')})"

    def __str__(self):
        header, rows = self._table()
        widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
        lines = ["  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)) for row in rows]
        head = "  ".join(f"{text:<{width}}" for text, width in zip(header, widths, strict=True))
        return "\n".join([self._headline(), *([head, *lines] if rows else [])])

    def _repr_html_(self):
        return html_paragraphs([self._headline()]) + (html_table(*self._table()) if len(self) else "")

    def _headline(self):
        end = f", the first {_SHOWN}:" if len(self) > _SHOWN else ":" if len(self) else ""
        return f"{plural(len(self), 'label')} of {plural(len(self.scores), 'image')} may be wrong{end}"

    def _table(self):
        names = [error.path or f"image {error.index}" for error in self.rows[:_SHOWN]]
        rows = [
            (name, _text(error.given), _text(error.likely), f"{error.score:.4f}")
            for name, error in zip(names, self.rows[:_SHOWN], strict=True)
        ]
        return ("image", "label", "likely", "score"), rows


def _text(label):
    return (", ".join(map(str, label)) or "(none)") if isinstance(label, tuple) else str(label)


def has_cleanlab():
    """Whether cleanlab is installed here."""
    return find_spec("cleanlab") is not None


def judge_labels(truth, probabilities, is_judged):
    """Judges how likely each label is to be right, and how many of all are wrong.

    The score of an image is the probability that a classifier which has not seen it gives to its label
    ("self-confidence"). How many labels are wrong is estimated by confident learning (Northcutt, Jiang & Chuang, JAIR
    2021): an image counts as one of class `j` if its probability of `j` is at least the mean of those of the images
    that have this label, so that a class which is predicted with less confidence has a lower threshold. Suspects are
    as many images of the lowest scores as there are labels that are not the class the image counts as.

    cleanlab does this where it is installed, by the same rules, and NumPy does it elsewhere. Where an image can have
    any number of labels, each class is judged as two classes, having the label and not having it: the score of an image
    is the lowest of its classes, and it is a suspect if it is one of any class.

    Args:
        truth: Codes `(n,)`, or `(n, num_classes)` of 0 and 1.
        probabilities: `(n, num_classes)`, each row by a classifier that was not trained on that image.
        is_judged: Bool `(n,)`: `False` for images without such a row, whose score is NaN.

    Returns:
        `(scores, is_suspect)`: float64 `(n,)` in `[0, 1]`, and bool `(n,)`.
    """
    scores, is_suspect = np.full(len(truth), np.nan), np.zeros(len(truth), bool)
    rows = np.flatnonzero(is_judged)
    if len(rows):
        judge = _judge_classes if truth.ndim == 1 else _judge_columns
        scores[rows], is_suspect[rows] = judge(truth[rows], np.asarray(probabilities[rows], "float64"))
    return scores, is_suspect


def _judge_classes(codes, probabilities):
    scores = _scores(codes, probabilities)
    # What the classifier agrees with is no suspect, however little certain it is.
    differs = np.flatnonzero(probabilities.argmax(axis=1) != codes)
    lowest = differs[np.argsort(scores[differs], kind="stable")][: _count_errors(codes, probabilities)]
    is_suspect = np.zeros(len(codes), bool)
    is_suspect[lowest] = True
    return scores, is_suspect


def _judge_columns(targets, probabilities):
    columns = zip(targets.T.astype(int), probabilities.T, strict=True)
    judged = [_judge_classes(codes, np.stack([1 - found, found], axis=1)) for codes, found in columns]
    return np.min([scores for scores, _ in judged], axis=0), np.any([suspects for _, suspects in judged], axis=0)


def _scores(codes, probabilities):
    if has_cleanlab() and len(np.unique(codes)) == probabilities.shape[1]:
        from cleanlab.rank import get_label_quality_scores

        return get_label_quality_scores(codes, probabilities, method="self_confidence")
    return probabilities[np.arange(len(codes)), codes]


def _count_errors(codes, probabilities):
    if has_cleanlab() and len(np.unique(codes)) == probabilities.shape[1]:
        from cleanlab.count import num_label_issues

        return num_label_issues(codes, probabilities, estimation_method="off_diagonal")
    return int((confident_classes(codes, probabilities) != codes).sum())


def confident_classes(codes, probabilities):
    """Returns the class that each image counts as, `(n,)`, or its label where it reaches the threshold of no class."""
    num_classes = probabilities.shape[1]
    counts = np.bincount(codes, minlength=num_classes)
    own = np.bincount(codes, probabilities[np.arange(len(codes)), codes], minlength=num_classes)
    # No image counts as a class without images.
    thresholds = np.divide(own, counts, out=np.full(num_classes, np.inf), where=counts > 0)
    reaches = probabilities >= thresholds - 1e-6
    likely = np.where(reaches, probabilities, -1.0).argmax(axis=1)
    return np.where(reaches.any(axis=1), likely, codes)
