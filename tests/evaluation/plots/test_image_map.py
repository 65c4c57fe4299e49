import io

import numpy as np
import pytest

from transferkit.evaluation.plots.image_map import Pictures, draw_image_map, scaled, spread_over


@pytest.fixture
def positions():
    return np.random.default_rng(0).normal(size=(500, 2)) * [3, 1] + [100, -5]


def pictures_of(positions, count):
    rows, cell = spread_over(positions, count)
    return Pictures(rows, [np.full((8, 6, 3), row % 256, "uint8") for row in rows], cell)


def test_both_axes_are_scaled_alike(positions):
    places = scaled(positions)
    spans = np.ptp(positions, axis=0)
    assert np.ptp(places, axis=0) == pytest.approx(spans / spans.max())
    assert (places.min(axis=0) + places.max(axis=0)) / 2 == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize("count", [1, 30, 200])
def test_images_that_are_drawn_have_a_cell_of_their_own(positions, count):
    rows, cell = spread_over(positions, count)
    assert 0.3 * count < len(rows) <= count
    cells = np.floor(np.minimum(scaled(positions)[rows], 1 - 1e-9) / cell)
    assert len(np.unique(cells, axis=0)) == len(rows)


def test_few_images_are_all_drawn():
    positions = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.9]])
    rows, cell = spread_over(positions, 100)
    assert rows.tolist() == [0, 1, 2, 3]
    assert cell == 0.5


@pytest.mark.parametrize("positions", [np.zeros((1, 2)), np.zeros((5, 2))])
def test_images_in_one_place_are_one(positions):
    rows, _ = spread_over(positions, 100)
    assert len(rows) == 1
    ax = draw_image_map(positions, ["a"] * len(positions), pictures_of(positions, 100))
    assert len(ax.images) == 1


def test_no_thumbnails_are_points_only(positions):
    ax = draw_image_map(positions, ["a"] * 500, pictures_of(positions, 0))
    assert len(ax.images) == 0
    assert len(ax.collections[0].get_offsets()) == 500


def test_points_and_frames_have_the_colour_of_their_label(positions):
    labels = np.array(["cat", "dog"])[np.arange(500) % 2]
    pictures = pictures_of(positions, 40)
    ax = draw_image_map(positions, labels, pictures)
    colours = ax.collections[0].get_facecolors()
    assert len(np.unique(colours, axis=0)) == 2
    frames = [patch.get_edgecolor() for patch in ax.patches]
    assert np.allclose(frames, colours[pictures.rows])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["cat", "dog"]


@pytest.mark.parametrize("num_classes", [2, 15, 200])
def test_any_number_of_classes_can_be_drawn(positions, num_classes):
    labels = [f"class ${number % num_classes} _" for number in range(500)]
    ax = draw_image_map(positions, labels, pictures_of(positions, 40))
    assert len(np.unique(ax.collections[0].get_facecolors(), axis=0)) > 0.9 * num_classes
    assert (ax.get_legend() is None) == (num_classes == 200)
    ax.figure.savefig(io.BytesIO())


def test_axes_of_the_user_are_drawn_on(positions):
    from matplotlib.figure import Figure

    ax = Figure().subplots()
    assert draw_image_map(positions, ["a"] * 500, pictures_of(positions, 10), ax=ax) is ax
