import numpy as np
import pytest
import tensorflow as tf
from keras.src.legacy.preprocessing.image import apply_affine_transform, apply_brightness_shift, apply_channel_shift
from PIL import Image, ImageEnhance

from transferkit.data.augmentation.transforms import FILL_MODES, Parameters, transform_images

GEOMETRIES = (
    {"rotation": 33.0},
    {"width_shift": 3.3, "height_shift": -5.7},
    {"width_shift": 7.0, "height_shift": -3.0},
    {"shear": 25.0},
    {"zoom_x": 0.7, "zoom_y": 1.4},
    {"rotation": -20.0, "width_shift": 4.2, "height_shift": 2.2, "shear": 12.0, "zoom_x": 1.3, "zoom_y": 0.8},
    {"rotation": 170.0, "shear": -40.0, "zoom_x": 2.6, "zoom_y": 2.9},
)
DEFAULTS = {"rotation": 0.0, "width_shift": 0.0, "height_shift": 0.0, "shear": 0.0, "zoom_x": 1.0, "zoom_y": 1.0}

BY_KERAS = pytest.mark.filterwarnings("ignore:.*scipy.ndimage.*namespace:DeprecationWarning")


def noise(*shape, low=0, high=255, seed=0):
    return np.random.default_rng(seed).uniform(low, high, shape).astype("float32")


def parameters(**values):
    """The same for one image, or a list of values for several."""
    return Parameters(**{name: tf.constant(np.atleast_1d(value)) for name, value in values.items()})


def by_keras(image, *, rotation, width_shift, height_shift, shear, zoom_x, zoom_y, **fill):
    """Keras' function, told by a shift where the centre is: it takes `(height / 2, width / 2)` for that of `(x, y)`."""
    angle, sheared = np.deg2rad(rotation), np.deg2rad(rotation + shear)
    linear = np.array([[np.cos(angle), -np.sin(sheared)], [np.sin(angle), np.cos(sheared)]]) @ np.diag([zoom_x, zoom_y])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    height, width = image.shape[:2]
    away = np.array([width - height, height - width]) / 2
    tx, ty = [width_shift, height_shift] + turn.T @ (np.eye(2) - linear) @ away
    return apply_affine_transform(
        image, rotation, tx, ty, shear, zoom_x, zoom_y, row_axis=0, col_axis=1, channel_axis=2, **fill
    )


@BY_KERAS
@pytest.mark.parametrize("fill_mode", FILL_MODES)
@pytest.mark.parametrize("size", [(32, 32), (20, 30)])
@pytest.mark.parametrize(("interpolation", "order"), [("bilinear", 1), ("nearest", 0)])
def test_every_geometry_and_fill_mode_agrees_with_keras(size, fill_mode, interpolation, order):
    images = noise(len(GEOMETRIES), *size, 3)
    settings = [DEFAULTS | geometry for geometry in GEOMETRIES]
    together = parameters(**{name: np.float32([setting[name] for setting in settings]) for name in DEFAULTS})
    result = transform_images(images, together, fill_mode, 9.0, interpolation).numpy()
    for image, setting, transformed in zip(images, settings, result, strict=True):
        expected = by_keras(image, **setting, fill_mode=fill_mode, cval=9.0, order=order)
        assert np.abs(transformed - expected).max() < 0.01, setting


@BY_KERAS
def test_images_of_224_pixels_agree_with_keras_too():
    image, setting = noise(224, 224, 3), GEOMETRIES[5]
    result = transform_images(image[np.newaxis], parameters(**setting), "reflect")[0]
    expected = by_keras(image, **DEFAULTS | setting, fill_mode="reflect")
    assert np.abs(result - expected).max() < 0.02


def test_flips_come_last_and_move_pixels_without_changing_them():
    images = noise(4, 7, 10, 3)
    across, over = [False, True, False, True], [False, False, True, True]
    result = transform_images(images, parameters(horizontal_flip=across, vertical_flip=over)).numpy()
    turned = transform_images(images, parameters(rotation=[15.0] * 4, shear=[9.0] * 4)).numpy()
    both = parameters(rotation=[15.0] * 4, shear=[9.0] * 4, horizontal_flip=across, vertical_flip=over)
    both = transform_images(images, both).numpy()
    for number, axes in enumerate([(), (1,), (0,), (0, 1)]):
        assert np.array_equal(result[number], np.flip(images[number], axes))
        assert np.allclose(both[number], np.flip(turned[number], axes), atol=0.01)


def test_images_that_are_not_square_turn_about_their_centre():
    image = noise(7, 10, 3)
    result = transform_images(image[np.newaxis], parameters(rotation=180.0), "constant", 99.0)[0]
    assert np.allclose(result, image[::-1, ::-1], atol=0.01)


@pytest.mark.parametrize("fill_mode", FILL_MODES)
def test_images_of_one_pixel_stay_what_they_are(fill_mode):
    image = noise(1, 1, 1, 3)
    result = transform_images(image, parameters(rotation=40.0, zoom_x=1.5), fill_mode)
    assert np.allclose(result, image, atol=1e-3)


def test_without_parameters_images_are_the_same_bit_for_bit():
    images = noise(2, 5, 6, 3, low=-4, high=260)
    assert np.array_equal(transform_images(tf.constant(images), Parameters()), images)


@pytest.mark.parametrize("change", [{"rotation": 10.0}, {"brightness": 1.2}])
def test_what_is_transformed_is_clipped(change):
    result = transform_images(noise(1, 9, 9, 3, low=-50, high=300), parameters(**change)).numpy()
    assert result.min() == 0
    assert result.max() == 255


@pytest.mark.parametrize(
    ("change", "enhancer"),
    [("saturation", ImageEnhance.Color), ("contrast", ImageEnhance.Contrast), ("brightness", ImageEnhance.Brightness)],
)
@pytest.mark.parametrize("factor", [0.0, 0.6, 1.5])
def test_colours_change_as_in_pillow(change, enhancer, factor):
    image = noise(12, 12, 3).astype("uint8")
    expected = np.asarray(enhancer(Image.fromarray(image)).enhance(factor), "float32")
    result = transform_images(image[np.newaxis].astype("float32"), parameters(**{change: factor}))[0]
    assert np.abs(result - expected).max() < 2  # Pillow rounds what comes between


def test_contrast_is_about_the_mean_of_each_image():
    images = np.concatenate([noise(1, 6, 6, 3, low=20, high=90), noise(1, 6, 6, 3, low=150, high=220)])
    together = transform_images(images, parameters(contrast=np.float32([0.5, 0.5])))
    alone = [transform_images(image[np.newaxis], parameters(contrast=0.5))[0] for image in images]
    assert np.allclose(together, alone, atol=1e-3)


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_channels_that_are_no_colours_get_brighter_and_gain_contrast(channels):
    images = noise(3, 6, 7, channels, low=50, high=120)
    mean = images.mean(axis=(1, 2, 3), keepdims=True)
    expected = ((images - mean) * 1.2 + mean + 5) * 1.1
    result = transform_images(images, parameters(contrast=[1.2] * 3, channel_shift=[5.0] * 3, brightness=[1.1] * 3))
    assert np.allclose(result, expected, atol=1e-3)
    flipped = transform_images(images, parameters(horizontal_flip=[True] * 3))
    assert np.allclose(flipped, images[:, :, ::-1], atol=1e-3)


def test_hue_turns_colours_and_keeps_luma_and_gray():
    luma = np.float32([0.299, 0.587, 0.114])
    images = noise(3, 6, 6, 3, low=100, high=150)
    angles = np.float32([90, 180, -30])
    turned = transform_images(images, parameters(hue=angles)).numpy()
    assert np.allclose(turned @ luma, images @ luma, atol=1e-3)
    assert np.abs(turned - images).max(axis=(1, 2, 3)).min() > 5
    assert np.allclose(transform_images(turned, parameters(hue=-angles)), images, atol=1e-3)
    gray = np.repeat(noise(1, 6, 6, 1), 3, axis=-1)
    assert np.allclose(transform_images(gray, parameters(hue=77.0)), gray, atol=1e-3)


def test_half_a_turn_of_the_hue_makes_the_colour_opposite():
    reddish = np.full((1, 1, 1, 3), (150, 100, 100), "float32")
    gray = 100 + 50 * 0.299
    opposite = transform_images(reddish, parameters(hue=180.0))[0, 0, 0]
    assert np.allclose(opposite, 2 * gray - reddish, atol=1e-3)


def test_all_changes_of_colour_at_once_are_those_one_after_another():
    images = noise(2, 8, 8, 3, low=110, high=140)
    changes = {
        "hue": [25.0, -40.0],
        "saturation": [1.3, 0.6],
        "contrast": [0.8, 1.4],
        "channel_shift": [9.0, -7.0],
        "brightness": [1.1, 0.9],
    }
    expected = images
    for name, values in changes.items():
        expected = transform_images(expected, parameters(**{name: np.float32(values)}))
    assert np.allclose(transform_images(images, parameters(**changes)), expected, atol=1e-3)


def test_brightness_and_channel_shift_mean_what_they_mean_in_keras():
    image = noise(12, 12, 3)
    image[0, 0], image[0, 1] = 0, 255  # Keras limits a channel shift by the image's own darkest and brightest value
    batch = image[np.newaxis]
    brighter = transform_images(batch, parameters(brightness=1.4))[0]
    assert (
        np.abs(brighter - apply_brightness_shift(image, 1.4, scale=False)).max() < 1 + 1.4
    )  # it cuts off fractions, twice
    for levels in (40.0, -25.0):
        shifted = transform_images(batch, parameters(channel_shift=levels))[0]
        assert np.allclose(shifted, apply_channel_shift(image, levels, channel_axis=2), atol=1e-3)
