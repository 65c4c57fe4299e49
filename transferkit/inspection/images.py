"""Image grids: what training sees."""

import numpy as np

from transferkit._utils.figures import ShownFigure

_CELL = 1.5  # inches


def draw_grid(rows, titles=()):
    """Draws images in a grid.

    Args:
        rows: Sequence of rows, each a sequence of images `(height, width, channels)` in `[0, 255]`. Those that are not
            RGB are drawn as the mean of their channels, in gray.
        titles: Titles of the columns, for as many as there are.

    Returns:
        A `matplotlib.figure.Figure`, which notebooks show as the value of a cell and `figure.savefig(path)` writes.
    """
    num_columns = max(map(len, rows))
    figure = ShownFigure(figsize=(_CELL * num_columns, _CELL * len(rows) + 0.3), layout="constrained")
    axes = figure.subplots(len(rows), num_columns, squeeze=False)
    for row, images in zip(axes, rows, strict=True):
        for ax in row:
            ax.set_axis_off()
        for ax, image in zip(row, images, strict=False):
            pixels = image if image.shape[-1] == 3 else image.mean(axis=-1)
            # With fixed limits, or Matplotlib would stretch the contrast of gray images.
            ax.imshow(np.clip(np.rint(pixels), 0, 255).astype("uint8"), cmap="gray", vmin=0, vmax=255)
    for ax, title in zip(axes[0], titles, strict=False):
        ax.set_title(title, fontsize=9)
    return figure
