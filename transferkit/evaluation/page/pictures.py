"""Plots and images as parts of a page, nothing of which lies elsewhere."""

import base64
import io
import re

import matplotlib as mpl
import numpy as np
from PIL import Image

from transferkit._utils.figures import new_axes
from transferkit._utils.quiet import warnings_filtered
from transferkit.evaluation.page.markup import Markup, tag
from transferkit.evaluation.plots.style import BLUE, GRAY, GREEN, PURPLE, VERMILLION

_INK = "#1b2c3d"  # stands for the colour of text until the page says what that is
_THEME = {
    **{f"{part}.color": _INK for part in ("text", "xtick", "ytick")},
    **{f"axes.{part}color": _INK for part in ("edge", "label", "title")},
    "axes.facecolor": "none",
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "figure.facecolor": "none",
    "font.size": 9,
    "svg.fonttype": "none",  # the reader's fonts
    "svg.image_inline": True,
}
_COLOURS = {_INK: "currentColor"} | {
    colour: f"var(--{name})"
    for name, colour in {"blue": BLUE, "vermillion": VERMILLION, "green": GREEN, "purple": PURPLE, "gray": GRAY}.items()
}
_SMALLEST_PHOTO = 96  # pixels of the longer side from which on JPEG takes less than PNG
_THUMBNAIL = 256
_QUALITY = 82
_LARGEST = 1.75  # pixels a point


def svg_of(draw, label, key, size):
    """Returns a plot as SVG in the colours and fonts of the page.

    Args:
        draw: Function that draws on `ax`.
        label: What the plot shows, for those who cannot see it.
        key: Name of the plot, different for each of a page.
        size: `(width, height)` in inches. Text is as large as on the page where a plot is 1.45 times that size.
    """
    buffer = io.StringIO()
    with mpl.rc_context(), warnings_filtered(("ignore", UserWarning, "Glyph ")):
        mpl.rcdefaults()  # a style of the user's may fit a page as little as its background does
        mpl.rcParams.update(_THEME | {"svg.hashsalt": key})
        ax = new_axes(*size)
        draw(ax=ax)
        # Once here, or Matplotlib would draw everything once more to see what it has to lay out.
        ax.figure.get_layout_engine().execute(ax.figure)
        ax.figure.set_layout_engine(None)
        ax.figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    for colour, variable in _COLOURS.items():
        text = text.replace(colour, variable)
    return Markup(_labelled(_without_unused_ids(text), label))


def _without_unused_ids(text):
    used = set(re.findall(r'(?:url\(|href=")#([^)"]+)', text))
    return re.sub(r' id="([^"]*)"', lambda match: match[0] if match[1] in used else "", text)


def _labelled(text, label):
    """Lets the page decide on the size of a plot, and screen readers say what it is."""
    head, _, rest = text.partition(">")
    box = re.search(r'viewBox="([^"]+)"', head)[1]
    width = float(box.split()[2])
    return str(tag("svg", Markup(rest.removesuffix("\n").removesuffix("</svg>")), **_attributes(box, width, label)))


def _attributes(box, width, label):
    return {
        "xmlns:xlink": "http://www.w3.org/1999/xlink",
        "viewBox": box,
        "role": "img",
        "aria_label": label,
        "style": f"max-width: {width * _LARGEST:.0f}px",
    }


def image_source(image):
    """Returns an image as a `data:` address: small ones as they are, larger ones as a thumbnail.

    Args:
        image: uint8 `(height, width, 3)`.
    """
    picture = Image.fromarray(np.ascontiguousarray(image))
    buffer = io.BytesIO()
    if max(picture.size) <= _SMALLEST_PHOTO:
        picture.save(buffer, "PNG", optimize=True)
        kind = "png"
    else:
        picture.thumbnail((_THUMBNAIL, _THUMBNAIL), Image.Resampling.LANCZOS)
        picture.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
        kind = "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
