"""ROC and precision-recall curves: the numbers, and the drawing of them."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from sklearn.metrics import auc, precision_recall_curve, roc_curve

from transferkit.evaluation.plots.style import (
    COLOURS,
    DASHES,
    GRAY,
    axes_or_new,
    ink,
    label_lines,
    short,
    unit_axes,
)

_MOST_POINTS, _FEWEST_POINTS = 300, 40  # of a curve
_POINTS = 6000  # of all curves of a plot, about
_MOST_NAMED = 4  # classes up to which each has a colour
_WORST = 3  # classes that have one where there are more
_GRID = np.linspace(0, 1, 101)


class Curve(NamedTuple):
    """A curve of one class: points `(m,)` along both axes, and the area below it."""

    x: np.ndarray
    y: np.ndarray
    area: float


def roc_curves(truth, probabilities):
    """Computes the ROC curve of each class against all others.

    Args:
        truth: `(n, num_classes)` bool: what each image is.
        probabilities: `(n, num_classes)`.

    Returns:
        A list with a `Curve` of true against false positive rates for each class; `None` for classes that no image
        has, or every one.
    """
    return [_curve_of(_roc, *columns) for columns in zip(truth.T, probabilities.T, strict=True)]


def precision_recall_curves(truth, probabilities):
    """Computes the precision-recall curve of each class; for arguments see `roc_curves`.

    Returns:
        A list with a `Curve` of precision against recall for each class, whose area is the average precision; `None`
        for classes that no image has, or every one.
    """
    return [_curve_of(_precision_recall, *columns) for columns in zip(truth.T, probabilities.T, strict=True)]


def _curve_of(compute, truth, probabilities):
    return None if truth.all() or not truth.any() else compute(truth, probabilities)


def _roc(truth, probabilities):
    false_rate, true_rate, _ = roc_curve(truth, probabilities)
    return Curve(false_rate, true_rate, float(auc(false_rate, true_rate)))


def _precision_recall(truth, probabilities):
    precision, recall, _ = precision_recall_curve(truth, probabilities)
    area = -np.sum(np.diff(recall) * precision[:-1])  # as `average_precision_score` does
    return Curve(recall[::-1], precision[::-1], float(area))


def draw_roc(curves, class_names, ax=None):
    """Draws ROC curves.

    Up to four classes have a colour each. Of more, the three with the smallest area have one; the others are gray, and
    the mean of all is drawn over them.

    Args:
        curves: What `roc_curves` gives.
        class_names: Name of each class.
        ax: Matplotlib axes; default: new ones.

    Returns:
        The axes.
    """
    ax = axes_or_new(ax)
    ax.plot([0, 1], [0, 1], color=GRAY, linewidth=1, linestyle=(0, (4, 3)))
    unit_axes(ax, "false positive rate", "true positive rate")
    return _draw_curves(ax, curves, class_names, _Kind("AUC", "lower right", "default", _interpolated))


def draw_precision_recall(curves, class_names, ax=None):
    """Draws precision-recall curves, in colours as `draw_roc` does.

    Args:
        curves: What `precision_recall_curves` gives.
        class_names: Name of each class.
        ax: Matplotlib axes; default: new ones.

    Returns:
        The axes.
    """
    ax = axes_or_new(ax)
    unit_axes(ax, "recall", "precision")
    return _draw_curves(ax, curves, class_names, _Kind("AP", "lower left", "steps-pre", _stepped))


class _Kind(NamedTuple):
    """What ROC and precision-recall curves do not share: name of the area, place of the legend, and between points."""

    measure: str
    corner: str
    steps: str
    at_grid: Callable


def _interpolated(x, y):
    return np.interp(_GRID, x, y)


def _stepped(x, y):
    return y[np.searchsorted(x, _GRID).clip(max=len(x) - 1)]


def _draw_curves(ax, curves, class_names, kind):
    known = [(curve, short(name)) for curve, name in zip(curves, class_names, strict=True) if curve is not None]
    if not known:
        ax.text(0.5, 0.5, "no class that some images have\nand others have not", ha="center", va="center", color=ink())
        return ax
    known.sort(key=lambda item: item[0].area)
    named = known if len(known) <= _MOST_NAMED else known[:_WORST]
    others = [curve for curve, _ in known[len(named) :]]
    _draw_others(ax, others, int(np.clip(_POINTS // len(known), _FEWEST_POINTS, _MOST_POINTS)), kind)
    lines = [
        ax.plot(*_thinned(curve, _MOST_POINTS), color=colour, linestyle=dashes, linewidth=1.6, drawstyle=kind.steps)[0]
        for (curve, _), colour, dashes in zip(named, COLOURS, DASHES, strict=False)
    ]
    labels = [f"{name}, {kind.measure} {curve.area:.3f}" for curve, name in named]
    if others:
        mean, area = _mean_curve([curve for curve, _ in known], kind), np.mean([curve.area for curve, _ in known])
        lines += ax.plot(_GRID, mean, color=ink(), linewidth=1.8)
        lines += ax.plot([], [], color=GRAY, linewidth=0.8)
        labels += [f"mean of {len(known)} classes, {kind.measure} {area:.3f}", "the other classes"]
    label_lines(ax, lines, labels, loc=kind.corner)
    return ax


def _draw_others(ax, curves, most_points, kind):
    opacity = np.clip(12 / max(len(curves), 1), 0.15, 0.7)
    for curve in curves:
        points = _thinned(curve, most_points)
        ax.plot(*points, color=GRAY, linewidth=0.8, alpha=opacity, drawstyle=kind.steps)


def _thinned(curve, most):
    """The points of a curve, of which there are no more than `most`, the same way apart along it."""
    if len(curve.x) <= most:
        return curve.x, curve.y
    way = np.concatenate([[0], np.cumsum(np.abs(np.diff(curve.x)) + np.abs(np.diff(curve.y)))])
    chosen = np.unique(np.searchsorted(way, np.linspace(0, way[-1], most)).clip(max=len(way) - 1))
    return curve.x[chosen], curve.y[chosen]


def _mean_curve(curves, kind):
    """Mean of curves at the points of a grid. Where a curve goes straight up or down, its upper end counts."""
    rows = []
    for curve in curves:
        x, places = np.unique(curve.x, return_inverse=True)
        y = np.zeros(len(x))
        np.maximum.at(y, places, curve.y)
        rows.append(kind.at_grid(x, y))
    return np.mean(rows, axis=0)
