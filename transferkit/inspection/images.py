"""Image grids: what training sees."""

import numpy as np

from transferkit._utils.figures import ShownFigure

_CELL = 1.5  # inches


def as_rgb(pixels):
    """Returns pixels `(height, width, channels)` in `[0, 255]` as people see them: uint8 RGB `(height, width, 3)`.

    Those that are not RGB become the mean of their channels, in gray.
    """
    if pixels.shape[-1] != 3:
        pixels = np.repeat(pixels.mean(axis=-1, keepdims=True), 3, axis=-1)
    return np.clip(np.rint(pixels), 0, 255).astype("uint8")


def draw_grid(rows, titles=(), cell=_CELL):
    """Draws images in a grid.

    Args:
        rows: Sequence of rows, each a sequence of images `(height, width, channels)` in `[0, 255]`. Those that are not
            RGB are drawn as the mean of their channels, in gray.
        titles: Titles of the columns, for as many as there are.
        cell: Width and height that an image has, in inches.

    Returns:
        A `matplotlib.figure.Figure`, which notebooks show as the value of a cell and `figure.savefig(path)` writes.
    """
    num_columns = max(map(len, rows))
    figure = ShownFigure(figsize=(cell * num_columns, cell * len(rows) + 0.3), layout="constrained")
    axes = figure.subplots(len(rows), num_columns, squeeze=False)
    for row, images in zip(axes, rows, strict=True):
        for ax in row:
            ax.set_axis_off()
        for ax, image in zip(row, images, strict=False):
            ax.imshow(as_rgb(image))
    for ax, title in zip(axes[0], titles, strict=False):
        ax.set_title(title, fontsize=9)
    return figure
