import numpy as np

from transferkit.evaluation.plots.grid import draw_image_grid

IMAGES = [np.full((height, width, 3), 9, "uint8") for height, width in ((8, 8), (4, 16), (16, 4))]


def test_images_of_any_size_are_drawn_in_their_shape(drawn):
    ax = draw_image_grid(IMAGES, [("cat → dog", "98 %")] * 3, columns=2)
    shapes = [(right - left, bottom - top) for left, right, bottom, top in (image.get_extent() for image in ax.images)]
    assert np.allclose(shapes, [(1, 1), (1, 0.25), (0.25, 1)])
    assert drawn(ax).count("98 %") == 3


def test_columns_are_filled_row_by_row():
    ax = draw_image_grid(IMAGES, [("a",)] * 3, columns=2)
    middles = [(sum(image.get_extent()[:2]) / 2, sum(image.get_extent()[2:]) / 2) for image in ax.images]
    assert middles[0][1] == middles[1][1] < middles[2][1]
    assert middles[0][0] == middles[2][0] < middles[1][0]


def test_no_images_are_no_error(drawn):
    assert "no images" in drawn(draw_image_grid([], []))
