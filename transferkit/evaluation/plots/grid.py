"""Images side by side, each with a few words below it."""

import numpy as np

from transferkit._utils.figures import new_axes
from transferkit.evaluation.plots.style import GRAY, SMALL, as_written, ink, short

_COLUMNS = 6
_CELL = 1.35  # inches
_GAP = 0.08  # of a cell
_LINE = 0.15  # of a cell
_LETTERS = 19  # of a line below an image


def draw_image_grid(images, captions, columns=_COLUMNS, ax=None):
    """Draws images of any sizes in the cells of a grid, with captions below them.

    Args:
        images: Sequence of uint8 arrays `(height, width, 3)`.
        captions: For each image a sequence of lines; what is too long for its cell is cut.
        columns: Number of images side by side.
        ax: Matplotlib axes, whose frame is hidden; default: new ones.

    Returns:
        The axes.
    """
    lines = max(map(len, captions), default=0)
    columns = max(1, min(columns, len(images)))
    height = 1 + lines * _LINE + _GAP
    rows = max(1, -(-len(images) // columns))
    ax = new_axes(_CELL * columns + 0.1, _CELL * height * rows + 0.1) if ax is None else ax
    for number, (image, caption) in enumerate(zip(images, captions, strict=True)):
        left, top = number % columns * (1 + _GAP), number // columns * height
        _draw_image(ax, image, left, top)
        _write_lines(ax, caption, left + 0.5, top + 1)
    if not len(images):
        ax.text(0.5, 0.5, "no images", ha="center", va="center", color=GRAY)
    ax.set_axis_off()
    ax.set_aspect("equal")
    ax.set(xlim=(0, columns * (1 + _GAP) - _GAP), ylim=(rows * height - _GAP, 0))
    return ax


def _draw_image(ax, image, left, top):
    """Draws an image in a cell of 1 by 1, as large as its aspect ratio allows."""
    size = np.array(image.shape[:2])
    height, width = size / size.max()
    x, y = left + (1 - width) / 2, top + (1 - height) / 2
    ax.imshow(image, extent=(x, x + width, y + height, y), interpolation="antialiased", aspect="auto")


def _write_lines(ax, lines, x, y):
    texts = []
    for number, line in enumerate(lines):
        colour, weight = (ink(), "bold") if number == 0 else (GRAY, "normal")
        place = y + (number + 0.15) * _LINE
        texts.append(ax.text(x, place, short(line, _LETTERS), ha="center", va="top", fontsize=SMALL - 1, color=colour))
        texts[-1].set_weight(weight)
    as_written(texts)
