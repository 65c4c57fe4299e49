import base64
import io
import re

import matplotlib as mpl
import numpy as np
from PIL import Image

from transferkit.evaluation.page.pictures import image_source, svg_of


def plot(ax):
    ax.plot([0, 1], [0, 1], color="#0072b2", label="<b>")
    ax.set_title("<script>猫", parse_math=False)
    ax.legend()
    return ax


def test_a_plot_has_the_colours_and_fonts_of_the_page():
    svg = svg_of(plot, 'a "plot"', "key", (2, 2))
    assert svg.startswith("<svg ")
    assert 'aria-label="a &quot;plot&quot;"' in svg
    assert "var(--blue)" in svg
    assert "currentColor" in svg
    assert "&lt;script&gt;猫" in svg
    assert "<script" not in svg
    assert "<?xml" not in svg


def test_styles_of_the_user_stay_outside_and_as_they_were():
    plain = svg_of(plot, "a", "key", (2, 2))
    with mpl.rc_context({"axes.facecolor": "red", "font.size": 30}):
        assert svg_of(plot, "a", "key", (2, 2)) == plain
        assert mpl.rcParams["font.size"] == 30


def test_parts_of_two_plots_are_not_mixed_up():
    first, second = (set(re.findall(r' id="([^"]+)"', svg_of(plot, "a", key, (2, 2)))) for key in "ab")
    assert len(first) > 0
    assert not first & second


def read(source):
    head, _, data = source.partition(",")
    return head, Image.open(io.BytesIO(base64.b64decode(data)))


def test_small_images_are_kept_as_they_are():
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 3)).astype("uint8")
    head, image = read(image_source(pixels))
    assert head == "data:image/png;base64"
    assert np.array_equal(np.asarray(image), pixels)


def test_large_images_become_thumbnails():
    head, image = read(image_source(np.zeros((600, 1200, 3), "uint8")))
    assert head == "data:image/jpeg;base64"
    assert image.size == (256, 128)
