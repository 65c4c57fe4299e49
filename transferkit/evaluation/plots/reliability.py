"""How far the confidence of a classifier can be believed."""

import numpy as np

from transferkit.evaluation.plots.style import BLUE, GRAY, SMALL, axes_or_new, unit_axes

_TALLEST = 0.16  # height of the histogram


def draw_reliability(confidence, accuracy, count, interval=None, error=None, ax=None):
    """Draws how often predictions are right against how probable they were said to be (a reliability diagram).

    Points below the diagonal are overconfident. The gray bars at the bottom say how many images a bin has for its
    width.

    Args:
        confidence: `(bins,)` mean confidence of the images in each bin, ascending.
        accuracy: `(bins,)` share of them that are right.
        count: `(bins,)` number of images; bins without any are left out.
        interval: `(bins, 2)` interval of each accuracy, or `None`.
        error: Expected calibration error, or `None` to leave it out.
        ax: Matplotlib axes; default: new ones.

    Returns:
        The axes.
    """
    ax = axes_or_new(ax)
    confidence, accuracy, count = (np.asarray(values, float) for values in (confidence, accuracy, count))
    kept = count > 0
    confidence, accuracy, count = confidence[kept], accuracy[kept], count[kept]
    ax.plot([0, 1], [0, 1], color=GRAY, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    _draw_density(ax, confidence, count)
    ax.fill_between(confidence, confidence, accuracy, color=BLUE, alpha=0.15, linewidth=0, zorder=1)
    if interval is not None:
        low, high = np.asarray(interval, float)[kept].T
        ax.vlines(confidence, low, high, color=BLUE, linewidth=1.2, alpha=0.6, zorder=2)
    ax.plot(confidence, accuracy, color=BLUE, marker="o", markersize=4.5, linewidth=1.8, zorder=3)
    unit_axes(ax, "confidence", "share that is right")
    if error is not None:
        ax.set_title(f"calibration error {error:.3f}", fontsize=SMALL + 1, loc="left")
    return ax


def _draw_density(ax, confidence, count):
    """Draws a histogram of bins that reach half way to the next one."""
    if len(confidence) < 2:
        return
    middles = (confidence[1:] + confidence[:-1]) / 2
    edges = np.concatenate(
        [[max(0, 2 * confidence[0] - middles[0])], middles, [min(1, 2 * confidence[-1] - middles[-1])]]
    )
    density = np.sqrt(count / np.maximum(np.diff(edges), 1e-3))
    ax.stairs(_TALLEST * density / density.max(), edges, fill=True, color=GRAY, alpha=0.25, linewidth=0, zorder=0)
