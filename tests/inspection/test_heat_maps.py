import keras
import numpy as np
import pytest

from transferkit import ImageFormat
from transferkit.inspection.heat_maps import blend, grad_cam, spread


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_channels_count_by_their_mean_gradient_and_only_what_speaks_for_the_class_is_kept():
    features = np.array([[[[1, 0], [2, 5]]]], "float32")  # a map of 1 x 2 places and 2 channels
    gradients = np.array([[[[1, -1], [3, 0]]]], "float32")  # their means are 2 and -0.5
    assert grad_cam(features, gradients).tolist() == [[[2.0, 1.5]]]
    assert grad_cam(features, -gradients).tolist() == [[[0.0, 0.0]]]


def test_features_in_half_precision_are_added_up_in_full(rng):
    features, gradients = (rng.uniform(0, 1, (2, 3, 3, 500)).astype("float16") for _ in range(2))
    exact = grad_cam(features.astype("float64"), gradients.astype("float64"))
    assert grad_cam(features, gradients) == pytest.approx(exact, rel=1e-5)


def test_a_map_is_spread_as_keras_resizes_an_image(rng):
    grid = rng.uniform(0, 1, (3, 5)).astype("float32")
    resized = keras.ops.image.resize(grid[..., None], (40, 31), "bilinear", data_format="channels_last")
    assert spread(grid, (40, 31), (0, 0, 40, 31)) == pytest.approx(np.asarray(resized)[..., 0], abs=1e-6)


def test_a_map_keeps_its_range_and_its_corners(rng):
    grid = rng.uniform(0, 1, (4, 4)).astype("float32")
    heat = spread(grid, (9, 200), (0, 0, 9, 200))
    assert heat.dtype == "float32"
    assert heat.shape == (9, 200)
    assert (heat.min() >= grid.min(), heat.max() <= grid.max()) == (True, True)
    assert (heat[0, 0], heat[-1, -1]) == (grid[0, 0], grid[-1, -1])


@pytest.mark.parametrize("size", [(30, 50), (50, 30), (7, 90)])
def test_the_background_of_a_padded_image_is_cut_off(rng, size):
    grid = rng.uniform(0, 1, (4, 4)).astype("float32")
    top, left, height, width = frame = ImageFormat((32, 32), resize="pad").frame(size)
    padded = spread(grid, (height, width), (0, 0, height, width))
    assert spread(grid, size, frame) == pytest.approx(padded[-top : height + top, -left : width + left], abs=1e-6)


@pytest.mark.parametrize("size", [(30, 50), (50, 30)])
def test_what_was_cropped_is_cold(rng, size):
    grid = rng.uniform(0.5, 1, (4, 4)).astype("float32")
    top, left, height, width = frame = ImageFormat((32, 32), resize="crop").frame(size)
    heat = spread(grid, size, frame)
    seen = heat[top : top + height, left : left + width]
    assert seen == pytest.approx(spread(grid, (height, width), (0, 0, height, width)), abs=1e-6)
    assert np.count_nonzero(heat) == seen.size == 30 * 30


def test_an_overlay_is_the_image_in_gray_where_it_is_cold_and_the_colour_where_it_is_hot():
    image = np.full((1, 2, 3), (200, 100, 0), "uint8")
    cold, hot = blend(image, np.array([[0.0, 1.0]]), 1.0, "gray")[0]
    assert cold.tolist() == [118, 118, 118]  # its luma
    assert hot.tolist() == [255, 255, 255]
    half = blend(image, np.array([[0.0, 1.0]]), 0.5, "gray")[0, 1]
    assert half.tolist() == [186, 186, 186]


def test_unknown_colours_and_strengths_are_refused():
    image, heat = np.zeros((2, 2, 3), "uint8"), np.zeros((2, 2))
    with pytest.raises(ValueError, match="colours='warm'. Expected one that Matplotlib knows"):
        blend(image, heat, 0.5, "warm")
    with pytest.raises(ValueError, match=r"must be in \[0, 1\]. Received: strength=60"):
        blend(image, heat, 60, "turbo")
