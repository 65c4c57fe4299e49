"""What all plots share: colours, the size of figures, names as labels.

Text, ticks and frames have the colours of Matplotlib's settings, so that plots on dark axes of the user are dark, too.
What shows data has a colour that stands out on white and on black (a contrast of 3 to 1 on both), and is told apart
with every kind of colour vision (Okabe & Ito, 2008); lines differ in their dashes as well.
"""

import matplotlib as mpl
import numpy as np
from matplotlib.colors import ListedColormap, to_rgb

from transferkit._utils.figures import new_axes

BLUE, VERMILLION, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
COLOURS = (BLUE, VERMILLION, GREEN, PURPLE)
DASHES = ("-", (0, (5, 1.5)), (0, (4, 1, 1, 1)), (0, (1.2, 1.2)))
GRAY = "#868b94"
WIDTH, HEIGHT = 4.6, 3.8  # inches
SMALL = 8  # points, of what stands inside a plot

_LONGEST_NAME = 20
_SHADES = 256


def axes_or_new(ax, width=WIDTH, height=HEIGHT):
    """Returns the axes of the user or, for `None`, new ones, their upper and right sides open."""
    ax = new_axes(width, height) if ax is None else ax
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def ink():
    """The colour of text."""
    return mpl.rcParams["text.color"]


def short(name, most=_LONGEST_NAME):
    """A class name that is not too long to be drawn, on one line."""
    text = " ".join(str(name).split()) or "(empty)"
    return text if len(text) <= most else text[: most - 1] + "…"


def as_written(texts):
    """Shows texts as they are written, be there dollar signs in them, between which Matplotlib would see formulas."""
    for text in texts:
        text.set_parse_math(False)


def label_lines(ax, lines, names, **options):
    """Adds a legend in which any name may stand, also one that begins with an underscore, which Matplotlib leaves out.

    Args:
        ax: The axes.
        lines: What is labelled.
        names: Label of each.
        **options: Of `Axes.legend`.
    """
    legend = ax.legend(lines, [str(number) for number in range(len(lines))], frameon=False, fontsize=SMALL, **options)
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_parse_math(False)
        text.set_text(name)


def shades(colour):
    """A colour map from nothing at all to one colour, for light and dark backgrounds alike."""
    opacity = np.linspace(0, 1, _SHADES)[:, None]
    return ListedColormap(np.hstack([np.tile(to_rgb(colour), (_SHADES, 1)), opacity]))


def unit_axes(ax, xlabel, ylabel):
    """Makes both axes go from 0 to 1, in a square."""
    ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel=xlabel, ylabel=ylabel)
    ax.set_aspect("equal", adjustable="box")
