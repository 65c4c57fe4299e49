import numpy as np

from transferkit.inspection.images import draw_grid


def test_a_grid_shows_each_image_in_its_place(images):
    figure = draw_grid([images[:3].astype("float32") + 0.4, images[3:6]], ["first", "second"])
    shown = [ax.images[0].get_array() for ax in figure.axes]
    assert np.array_equal(np.stack(shown), images[:6])
    assert [ax.get_title() for ax in figure.axes] == ["first", "second", "", "", "", ""]


def test_rows_may_be_short(images):
    figure = draw_grid([images[:1], images[1:3]])
    assert [len(ax.images) for ax in figure.axes] == [1, 0, 1, 1]
