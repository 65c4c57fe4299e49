"""Figures that show themselves."""

import io

from matplotlib.figure import Figure


class ShownFigure(Figure):
    """A figure that a notebook shows as the value of a cell, whether or not pyplot has been used in it.

    IPython learns how to draw a `Figure` only when a figure is first made through pyplot.
    """

    def _repr_png_(self):
        return png_of(self)


def png_of(figure):
    """Returns a figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
