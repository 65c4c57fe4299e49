"""What a report looks like: its plots, its page and its card."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from transferkit.evaluation.metrics import accuracy_interval
from transferkit.evaluation.page.card import card_of
from transferkit.evaluation.page.document import write_page
from transferkit.evaluation.page.words import in_words, percent
from transferkit.evaluation.plots.curves import draw_precision_recall, draw_roc, precision_recall_curves, roc_curves
from transferkit.evaluation.plots.grid import draw_image_grid
from transferkit.evaluation.plots.history import draw_history
from transferkit.evaluation.plots.reliability import draw_reliability


class Presented:
    """The methods of a report that show what is in it. Each plot is on `ax`, or on new axes that notebooks show."""

    class_names: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray
    context: Mapping[str, Any]
    images: Callable[[Sequence[int]], list[np.ndarray]] | None
    reliability: Any
    worst_mistakes: Callable[[int], list[Any]]
    least_confident: Callable[[int], list[Any]]

    def plot_reliability(self, ax: Axes | None = None) -> Axes:
        """Draws how often predictions are right against how probable they were said to be, with 95 % intervals.

        Points below the diagonal are overconfident. Bins hold as many images each; where an image can have any number
        of labels, all pairs of image and label.

        Args:
            ax: Matplotlib axes; default: new ones.

        Returns:
            The axes; `.figure` is their figure.
        """
        bins = self.reliability
        right = np.rint(bins.accuracy * bins.count)
        interval = [accuracy_interval(*pair) for pair in zip(right, bins.count, strict=True)]
        return draw_reliability(bins.confidence, bins.accuracy, bins.count, interval, bins.error, ax=ax)

    def plot_roc(self, ax: Axes | None = None) -> Axes:
        """Draws ROC curves of each class against the rest; of two classes, that of the second.

        Of more than four classes, the three with the smallest area are named, and the mean of all is drawn.

        Args:
            ax: Matplotlib axes; default: new ones.

        Returns:
            The axes; `.figure` is their figure.
        """
        truth, probabilities, names = one_against_rest(self)
        return draw_roc(roc_curves(truth, probabilities), names, ax=ax)

    def plot_precision_recall(self, ax: Axes | None = None) -> Axes:
        """Draws precision-recall curves of each class against the rest; of two classes, that of the second.

        Of more than four classes, the three with the smallest area are named, and the mean of all is drawn.

        Args:
            ax: Matplotlib axes; default: new ones.

        Returns:
            The axes; `.figure` is their figure.
        """
        truth, probabilities, names = one_against_rest(self)
        return draw_precision_recall(precision_recall_curves(truth, probabilities), names, ax=ax)

    def plot_worst_mistakes(self, n: int = 12, ax: Axes | None = None) -> Axes:
        """Draws the images with the wrong predictions that were the most certain, and what they were taken for.

        Args:
            n: Number of images.
            ax: Matplotlib axes; default: new ones.

        Returns:
            The axes; `.figure` is their figure.

        Raises:
            ValueError: If the images are not at hand, as in a report that was loaded.
        """
        return self._draw_images(self.worst_mistakes(n), ax)

    def plot_least_confident(self, n: int = 12, ax: Axes | None = None) -> Axes:
        """Draws the images whose predictions were the least certain, right or wrong; see `plot_worst_mistakes`."""
        return self._draw_images(self.least_confident(n), ax)

    def plot_history(self, metric: str = "loss", ax: Axes | None = None) -> Axes:
        """Draws how the classifier was trained; see `TransferClassifier.plot_history`.

        Raises:
            ValueError: If the report does not know it, or has no such metric.
        """
        if not self.context.get("history"):
            raise ValueError("This report holds no history: it was not made by `evaluate` of a trained classifier.")
        return draw_history(self.context["history"], metric, ax=ax)

    def to_html(
        self, path: str | os.PathLike, *, title: str | None = None, data_check: Any = None, label_errors: Any = None
    ) -> None:
        """Writes the whole report as one page that needs no network: numbers, plots, images, settings and versions.

        It is readable on a phone and on paper, light or dark as the reader's system is. An existing file is replaced
        only once the new one is complete.

        Args:
            path: File name that ends in `.html`.
            title: Title of the page. Default: the name of the backbone and the number of images.
            data_check: A `DataReport` of `check_data` that is to be part of the page, or `None`.
            label_errors: The same for `LabelErrors` of `find_label_errors`.

        Raises:
            ValueError: If `path` does not end in `.html`.
            FileNotFoundError: If its folder does not exist.
            OSError: If it cannot be written. What was there is still there.
        """
        write_page(self, path, title=title, data_check=data_check, label_errors=label_errors)

    def to_markdown(self, *, title: str | None = None, data_check: Any = None) -> str:
        """Returns a model card in Markdown: what the classifier is, how good, on what, where it fails.

        Args:
            title: First heading. Default: the name of the backbone and the number of images.
            data_check: A `DataReport` of `check_data` that is to be part of it, or `None`.
        """
        return card_of(self, title=title, data_check=data_check)

    def _draw_images(self, judged, ax):
        if self.images is None:
            raise ValueError(
                "The images are not at hand: a report keeps their names, not their pixels. Use the report that "
                "`evaluate` returned, or read the files in `worst_mistakes()` and `least_confident()`."
            )
        captions = [_caption(image) for image in judged]
        return draw_image_grid(self.images([image.index for image in judged]), captions, ax=ax)


def one_against_rest(report):
    """Returns `(truth, probabilities, names)` of each class against the rest; of two classes, of the second alone.

    Args:
        report: A report.

    Returns:
        `(n, columns)` bool, `(n, columns)` and `(columns,)`.
    """
    labels, probabilities, names = report.labels, report.probabilities, report.class_names
    if labels.ndim == 2:
        return labels > 0, probabilities, names
    truth = labels[:, None] == np.arange(len(names))
    columns = slice(1, None) if len(names) == 2 else slice(None)
    return truth[:, columns], probabilities[:, columns], names[columns]


def _caption(image):
    return f"{in_words(image.true)} → {in_words(image.predicted)}", percent(image.probability)
