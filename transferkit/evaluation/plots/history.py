"""What happened while a classifier was trained."""

import numpy as np
from matplotlib.ticker import FuncFormatter, NullFormatter

from transferkit.evaluation.plots.style import (
    BLUE,
    DASHES,
    GRAY,
    SMALL,
    VERMILLION,
    as_written,
    axes_or_new,
    label_lines,
    short,
)

_LABELS = {"loss": "log loss", "accuracy": "accuracy", "l2": "L2 strength"}
_WIDTH, _HEIGHT = 5.6, 3.4


def metrics_of(history):
    """Returns what can be drawn of a history: its columns of which there is one of validation, such as `"loss"`."""
    columns = [name.removeprefix("val_") for name in history if name.startswith("val_")]
    return [name for name in columns if np.isfinite(_numbers(history, f"val_{name}")).any()]


def draw_history(history, metric="loss", ax=None):
    """Draws a metric over the epochs, on training and validation images, with phases and the best epoch marked.

    Where the logistic head alone was solved, there are no epochs: its path is drawn over the L2 strengths that were
    tried, with the one that was chosen.

    Args:
        history: Dict of lists as in `TransferClassifier.history_`.
        metric: `"loss"`, `"accuracy"` or any other column that has one of its name with `val_` before it.
        ax: Matplotlib axes; default: new ones.

    Returns:
        The axes.

    Raises:
        ValueError: If the history has no such column.
    """
    if metric not in metrics_of(history):
        known = ", ".join(map(repr, metrics_of(history))) or "none at all"
        raise ValueError(f"The history has no validated metric of that name, but {known}. Received: metric={metric!r}.")
    ax = axes_or_new(ax, _WIDTH, _HEIGHT)
    x = _numbers(history, "epoch" if "epoch" in history else "l2")
    if "epoch" in history:
        _mark_phases(ax, x, history["phase"])
        ax.set_xlabel("epoch")
        ax.xaxis.get_major_locator().set_params(integer=True)
    else:
        ax.set(xscale="log", xlabel=_LABELS["l2"])
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.invert_xaxis()  # as it was solved, from strong to weak
    _draw_lines(ax, x, history, metric)
    ax.set_ylabel(_LABELS.get(metric, metric))
    return ax


def _draw_lines(ax, x, history, metric):
    validation = _numbers(history, f"val_{metric}")
    lines, names = [], []
    if metric in history and np.isfinite(_numbers(history, metric)).any():
        lines += ax.plot(x, _numbers(history, metric), color=BLUE, linestyle=DASHES[1], marker=".", linewidth=1.5)
        names.append("training")
    lines += ax.plot(x, validation, color=VERMILLION, marker=".", linewidth=1.8)
    names.append("validation")
    best = _best_row(history)
    if best is not None:
        style = {"marker": "o", "markersize": 9, "markerfacecolor": "none", "markeredgewidth": 1.6, "linestyle": "none"}
        lines += ax.plot(x[best], validation[best], color=VERMILLION, **style)
        names.append("chosen")
    label_lines(ax, lines, names, loc="best")


def _best_row(history):
    """Row of the lowest validation loss, which is what is chosen by, or `None`."""
    if "val_loss" not in history:
        return None
    losses = _numbers(history, "val_loss")
    return int(np.nanargmin(np.where(np.isinf(losses), np.nan, losses))) if np.isfinite(losses).any() else None


def _mark_phases(ax, epochs, phases):
    """Marks where phases begin by the title of each, and shades every other one."""
    starts = [row for row in range(len(phases)) if row == 0 or phases[row] != phases[row - 1]]
    for number, row in enumerate(starts):
        left = epochs[row] - 0.5
        last = starts[number + 1] - 1 if number + 1 < len(starts) else len(phases) - 1
        if number % 2:
            ax.axvspan(left, epochs[last] + 0.5, color=GRAY, alpha=0.13, linewidth=0, zorder=0)
        text = ax.text(
            left, 1.01 + 0.055 * (number % 2), f" {short(phases[row], 28)}", transform=ax.get_xaxis_transform()
        )
        text.set(fontsize=SMALL, color=GRAY, va="bottom")
        as_written([text])
    ax.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)


def _numbers(history, name):
    return np.array([np.nan if value is None else value for value in history[name]], "float64")
