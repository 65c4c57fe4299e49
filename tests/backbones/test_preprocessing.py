import keras
import numpy as np
import pytest

from transferkit.backbones.preprocessing import SCALINGS, build_preprocessing

# What each scaling stands for, once more and in NumPy.
EXPECTED = {
    "none": lambda x: x,
    "tf": lambda x: x / 127.5 - 1,
    "torch": lambda x: (x / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225],
    "caffe": lambda x: x[..., ::-1] - [103.939, 116.779, 123.68],
    "lite": lambda x: (x - 127) / 128,
}


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (2, 12, 10, 3), dtype="uint8")


def test_every_scaling_has_its_formula():
    assert set(SCALINGS) == set(EXPECTED)


@pytest.mark.parametrize("scaling", SCALINGS)
def test_pixels_of_the_right_size_are_scaled_and_nothing_else(scaling, images):
    scaled = build_preprocessing(scaling, (12, 10))(images)
    np.testing.assert_allclose(scaled, EXPECTED[scaling](images.astype("float64")), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scaling", SCALINGS)
def test_images_of_any_size_come_out_in_one(scaling, images):
    preprocessing = build_preprocessing(scaling, (6, 7))
    assert preprocessing.name == "preprocessing"
    assert preprocessing(images).shape == (2, 6, 7, 3)
    assert preprocessing(images[:, :5]).shape == (2, 6, 7, 3)
    assert keras.backend.standardize_dtype(preprocessing(images).dtype) == "float32"


def test_shrinking_averages_over_all_pixels():
    """Without antialiasing, stripes of one pixel would turn into one of their two colours."""
    stripes = np.zeros((1, 64, 64, 3), "uint8")
    stripes[:, ::2] = 255
    shrunk = keras.ops.convert_to_numpy(build_preprocessing("none", (8, 8))(stripes))
    np.testing.assert_allclose(shrunk[:, 1:-1], 127.5, atol=3)


def test_the_array_of_the_caller_stays_as_it_is(images):
    for pixels in (images, images.astype("float32")):
        before = pixels.copy()
        build_preprocessing("caffe", (12, 10))(pixels)
        np.testing.assert_array_equal(pixels, before)


@pytest.mark.parametrize("scaling", SCALINGS)
def test_it_is_saved_without_custom_objects(scaling, images, tmp_path):
    preprocessing = build_preprocessing(scaling, (6, 7))
    preprocessing.save(tmp_path / "preprocessing.keras")
    loaded = keras.saving.load_model(tmp_path / "preprocessing.keras", safe_mode=True)
    np.testing.assert_array_equal(loaded(images), preprocessing(images))


def test_layers_after_it_are_not_told_that_they_are_being_trained(images):
    """`keras.layers.Resizing` tells them, when the model is called as users call it."""
    pixels = keras.Input((None, None, 3))
    norm = keras.layers.BatchNormalization()
    x = keras.layers.Dropout(0.5)(norm(build_preprocessing("none", (12, 10))(pixels)))
    model = keras.Model(pixels, x)
    np.testing.assert_allclose(model(images), images / np.sqrt(1 + norm.epsilon), rtol=1e-5)
    np.testing.assert_array_equal(norm.moving_mean, np.zeros(3))


def test_an_unknown_scaling_is_refused_with_the_known_ones():
    message = "Unknown input scaling. Received: scaling='imagenet'. Expected one of 'none', 'tf', 'torch', 'caffe'"
    with pytest.raises(ValueError, match=message):
        build_preprocessing("imagenet", (8, 8))
