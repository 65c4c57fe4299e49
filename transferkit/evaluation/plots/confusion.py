"""The confusion matrix as a picture."""

import numpy as np

from transferkit.evaluation.plots.style import BLUE, SMALL, VERMILLION, as_written, axes_or_new, ink, shades, short

_MOST_NUMBERS = 14  # classes up to which counts are written
_MOST_NAMES = 40  # classes up to which all names are written
_APART = 0.035  # of the side, between the names that are written where there are too many for all
_DARK = 0.6  # opacity from which on white text is easier to read


def draw_confusion_matrix(counts, class_names, ax=None):
    """Draws how often each class was taken for which.

    The colour of a cell is its share of the images of the true class, so that rare classes are seen as well: blue for
    right predictions, vermillion for mistakes. It is a root of the share, so that a few mistakes are seen, too. Up to
    14 classes have their counts written; above 40, only the classes that are most often confused have their names
    written.

    Args:
        counts: `(num_classes, num_classes)`, true classes in rows.
        class_names: Classes in that order.
        ax: Matplotlib axes; default: new ones.

    Returns:
        The axes.
    """
    counts = np.asarray(counts)
    num_classes = len(counts)
    ax = axes_or_new(ax, *matrix_size(num_classes))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    opacity = shares ** (1 / 2 if num_classes <= _MOST_NAMES else 1 / 3)  # cells are smaller where there are many
    is_right = np.eye(num_classes, dtype=bool)
    for colour, shown in ((BLUE, is_right), (VERMILLION, ~is_right)):
        ax.imshow(np.where(shown, opacity, 0), cmap=shades(colour), vmin=0, vmax=1, interpolation="nearest")
    if num_classes <= _MOST_NUMBERS:
        _write_counts(ax, counts, opacity)
    _write_names(ax, counts, class_names)
    ax.spines[["top", "right"]].set_visible(True)
    ax.set(xlabel="predicted", ylabel="true")
    return ax


def matrix_size(num_classes):
    """Width and height, in inches, of a figure in which a confusion matrix can be read."""
    side = 3.4 if num_classes <= 4 else 4.6 if num_classes <= 20 else 6.0
    return side, side


def _write_counts(ax, counts, opacity):
    size = SMALL + 3 if len(counts) <= 4 else SMALL if len(counts) <= 10 else SMALL - 2
    for row, column in np.argwhere(counts):
        colour = "white" if opacity[row, column] > _DARK else ink()
        ax.text(column, row, f"{counts[row, column]}", ha="center", va="center", color=colour, fontsize=size)


def _write_names(ax, counts, class_names):
    num_classes = len(counts)
    shown = np.arange(num_classes) if num_classes <= _MOST_NAMES else _most_confused(counts)
    names = [short(class_names[code]) for code in shown]
    size = SMALL + 1 if num_classes <= 12 else SMALL - 1 if num_classes <= 24 else SMALL - 2
    is_wide = sum(map(len, names)) > 24
    ax.set_xticks(shown, names, fontsize=size, rotation=90 if is_wide else 0)
    ax.set_yticks(shown, names, fontsize=size)
    as_written([*ax.get_xticklabels(), *ax.get_yticklabels()])
    ax.tick_params(length=0 if num_classes <= _MOST_NAMES else 2)


def _most_confused(counts):
    """Codes of the classes in the most frequent mistakes, none too near to another to be written beside it."""
    mistakes = counts - np.diag(np.diag(counts))
    found = []
    for cell in np.argsort(-mistakes, axis=None, kind="stable"):
        pair = np.unravel_index(cell, counts.shape)
        if not mistakes[pair]:
            break
        for code in pair:
            if all(abs(code - other) >= _APART * len(counts) for other in found):
                found.append(int(code))
    return np.array(sorted(found), int)
