"""How good a classifier is for how many training images."""

import numpy as np
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from transferkit.evaluation.plots.style import BLUE, axes_or_new


def draw_learning_curve(sizes, scores, spread, measure="accuracy", ax=None):
    """Draws a score against the number of training images.

    Args:
        sizes: `(sizes,)` numbers of training images, ascending.
        scores: `(sizes,)` mean score of each.
        spread: `(sizes,)` half the height of the band around them.
        measure: What the score is.
        ax: Matplotlib axes; default: new ones.

    Returns:
        The axes.
    """
    ax = axes_or_new(ax)
    sizes, scores, spread = (np.asarray(values, float) for values in (sizes, scores, spread))
    ax.fill_between(sizes, scores - spread, scores + spread, color=BLUE, alpha=0.18, linewidth=0)
    ax.plot(sizes, scores, color=BLUE, marker="o", markersize=4.5, linewidth=1.8)
    ax.set(xscale="log", xlabel="training images", ylabel=measure)
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    return ax
