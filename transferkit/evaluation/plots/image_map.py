"""Images in their places in the plane, as points and thumbnails."""

from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from transferkit._utils.figures import new_axes
from transferkit.evaluation.plots.style import GRAY, SMALL, label_lines, short

_SIDE = 7.0  # inches
_MOST_IN_LEGEND = 20
_MARGIN = 0.03  # of the longer side
_FILLED = 0.75  # of a cell that its image fills: points show between the images


class Pictures(NamedTuple):
    """The images that are drawn.

    Attributes:
        rows: Which ones they are, `(m,)` integers.
        images: uint8 arrays `(height, width, 3)`, one for each row.
        cell: Side of the square that each is drawn in, where the longer side of the map is 1.
    """

    rows: np.ndarray
    images: list
    cell: float


def spread_over(positions, count):
    """Chooses images that lie all over a map, so that none covers another.

    The map is divided into square cells, as many as give `count` images at most. Each cell that has any gives the one
    nearest to its middle.

    Args:
        positions: `(n, 2)`.
        count: Most images to choose.

    Returns:
        `(rows, cell)`: integers `(m,)`, and the side of a cell, where the longer side of the map is 1.
    """
    chosen = np.zeros(0, int), 1.0
    if count < 1 or not len(positions):
        return chosen
    places, previous = scaled(positions), -1
    # With more cells there are more images, up to the point at which each has a cell of its own.
    for side in range(1, 4 * int(np.ceil(np.sqrt(count))) + 1):
        rows = _one_a_cell(places, side)
        if len(rows) > count or len(rows) == previous == len(positions):
            break
        chosen, previous = (rows, 1 / side), len(rows)
    return chosen


def _one_a_cell(places, side):
    cells = np.minimum((places * side).astype(int), side - 1)
    distance = np.abs((cells + 0.5) / side - places).max(axis=1)
    order = np.lexsort([distance, cells[:, 1], cells[:, 0]])
    _, first = np.unique(cells[order], axis=0, return_index=True)
    return np.sort(order[first])


def scaled(positions):
    """Moves and scales positions, both axes alike: the map is in the middle of `[0, 1]`, and its longer side is 1."""
    positions = np.asarray(positions, float)
    low, high = positions.min(axis=0), positions.max(axis=0)
    side = (high - low).max() or 1.0
    return (positions - (low + high) / 2) / side + 0.5


def draw_image_map(positions, labels, pictures, ax=None):
    """Draws a point for each image, and some images in the middle of their cells, framed in the colour of their label.

    Args:
        positions: `(n, 2)`.
        labels: A text for each image.
        pictures: `Pictures`.
        ax: Matplotlib axes; default: new ones.

    Returns:
        The axes.
    """
    ax = new_axes(_SIDE + 1.5, _SIDE) if ax is None else ax
    places, (names, codes) = scaled(positions), np.unique(np.asarray(labels, dtype=str), return_inverse=True)
    colours = _colours(len(names))
    ax.scatter(*places.T, s=9, c=colours[codes], linewidths=0, zorder=1)
    for row, image in zip(pictures.rows, pictures.images, strict=True):
        _draw_picture(ax, image, places[row], pictures.cell, colours[codes[row]])
    (left, bottom), (right, top) = _limits(places, pictures.cell if len(pictures.rows) else 0)
    ax.set(xlim=(left, right), ylim=(bottom, top), xticks=[], yticks=[])
    ax.set_aspect("equal")
    ax.spines[:].set_color(GRAY)
    _add_legend(ax, names, colours)
    return ax


def _limits(places, cell):
    """The corners of what is drawn, `(2, 2)`, with a margin: half a cell may stand out over the outermost points."""
    low, high = places.min(axis=0), places.max(axis=0)
    if cell:
        low, high = np.floor(low / cell) * cell, np.ceil(high / cell) * cell
    return np.maximum(low, 0) - _MARGIN, np.minimum(high, 1) + _MARGIN


def _colours(count):
    """Colours `(count, 4)` of classes: told apart as well as their number allows."""
    if count <= 20:
        return mpl.colormaps["tab10" if count <= 10 else "tab20"](np.arange(count))
    # Neighbours in the order of names are far apart in colour: the golden ratio never comes back to where it was.
    return mpl.colormaps["turbo"](np.arange(count) * 0.618034 % 1)


def _draw_picture(ax, image, place, cell, colour):
    """Draws an image in its cell, as large as its aspect ratio allows."""
    x, y = (np.floor(np.minimum(place, 1 - 1e-9) / cell) + 0.5) * cell
    height, width = np.array(image.shape[:2]) / max(image.shape[:2]) * cell * _FILLED
    left, bottom = x - width / 2, y - height / 2
    extent = (left, left + width, bottom, bottom + height)
    ax.imshow(image, extent=extent, interpolation="antialiased", aspect="auto", zorder=2)
    ax.add_patch(Rectangle((left, bottom), width, height, fill=False, edgecolor=colour, linewidth=1.8, zorder=3))


def _add_legend(ax, names, colours):
    if len(names) > _MOST_IN_LEGEND:
        ax.set_xlabel(f"{len(names)} classes", fontsize=SMALL)
        return
    points = [Line2D([], [], linestyle="", marker="o", markersize=5, color=colour) for colour in colours]
    label_lines(ax, points, list(map(short, names)), loc="upper left", bbox_to_anchor=(1, 1))
