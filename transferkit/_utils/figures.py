"""Figures and axes that show themselves."""

import io

from matplotlib.axes import Axes
from matplotlib.figure import Figure


class ShownFigure(Figure):
    """A figure that a notebook shows as the value of a cell, whether or not pyplot has been used in it.

    IPython learns how to draw a `Figure` only when a figure is first made through pyplot.
    """

    def _repr_png_(self):
        return png_of(self)


class ShownAxes(Axes):
    """Axes that a notebook shows, with the figure that they are in, as the value of a cell."""

    def _repr_png_(self):
        return png_of(self.figure)


def new_axes(width, height):
    """Returns `ShownAxes` that fill a figure of their own, which pyplot knows nothing about.

    Args:
        width: Width of the figure in inches.
        height: Its height.
    """
    return ShownFigure(figsize=(width, height), layout="constrained").add_subplot(axes_class=ShownAxes)


def png_of(figure):
    """Returns a figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
