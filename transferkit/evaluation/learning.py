"""How good a classifier is for how many training images."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from transferkit._utils.figures import png_of
from transferkit._utils.text import plural
from transferkit.evaluation.plots.learning import draw_learning_curve


@dataclass(frozen=True, eq=False, repr=False)
class LearningCurve:
    """Held-out accuracy against the number of training images. It prints as a table; a notebook shows it as a plot.

    Attributes:
        sizes: Mean number of training images of each size, `(sizes,)`.
        scores: Accuracy on held-out images, `(sizes, folds)`.
    """

    sizes: np.ndarray
    scores: np.ndarray

    @property
    def means(self) -> np.ndarray:
        """Mean accuracy of each size, `(sizes,)`."""
        return self.scores.mean(axis=1)

    @property
    def spread(self) -> np.ndarray:
        """Standard deviation over the folds of each size, `(sizes,)`; 0 for one fold."""
        return self.scores.std(axis=1, ddof=1) if self.scores.shape[1] > 1 else np.zeros(len(self.sizes))

    def to_dict(self) -> dict[str, Any]:
        """Returns sizes and scores as lists, ready for JSON."""
        return {"sizes": self.sizes.tolist(), "scores": self.scores.tolist()}

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draws the curve, with a band of one standard deviation over the folds.

        Args:
            ax: Matplotlib axes; default: new ones.

        Returns:
            The axes; `.figure` is their figure.
        """
        return draw_learning_curve(self.sizes, self.means, self.spread, ax=ax)

    def __repr__(self):
        shown = ", ".join(f"{size:,.0f}: {mean:.3f}" for size, mean in zip(self.sizes, self.means, strict=True))
        return f"LearningCurve({shown})"

    def __str__(self):
        header, *rows = [f"{size:>15}  {mean:>8}  {spread:>6}" for size, mean, spread in self._table()]
        return "\n".join([header, *rows, f"({plural(self.scores.shape[1], 'fold')}, ± standard deviation over them)"])

    def _table(self):
        rows = zip(self.sizes, self.means, self.spread, strict=True)
        return [
            ("training images", "accuracy", "±"),
            *((f"{size:,.0f}", f"{mean:.3f}", f"{spread:.3f}") for size, mean, spread in rows),
        ]

    def _repr_png_(self):
        return png_of(self.plot().figure)
