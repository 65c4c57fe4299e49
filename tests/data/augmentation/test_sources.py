import random

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.keras.preprocessing.image import ImageDataGenerator

from transferkit.data.augmentation.augmentation import Augmentation, as_augmentation

LAYERS = {
    "one": lambda: keras.layers.RandomFlip("horizontal"),
    "list": lambda: [keras.layers.RandomRotation(0.1), keras.layers.RandomContrast(0.3)],
    "sequential": lambda: keras.Sequential([keras.layers.RandomZoom(0.2), keras.layers.GaussianNoise(1.0)]),
    "pipeline": lambda: [keras.layers.Pipeline([keras.layers.RandomBrightness(0.3)]), keras.layers.RandomFlip()],
    "many generators": lambda: keras.layers.RandAugment((0, 255), num_ops=1, factor=0.2),
}


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).uniform(0, 255, (6, 12, 14, 3)).astype("float32")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, {}),
        ({"rotation_range": 25}, {"rotation": 25}),
        ({"width_shift_range": 0.1, "height_shift_range": 0.1}, {"width_shift": 0.1, "height_shift": 0.1}),
        ({"width_shift_range": 5, "height_shift_range": 5}, {"width_shift": 5, "height_shift": 5}),
        (
            {"width_shift_range": [-3, 4], "height_shift_range": [-3, 4]},
            {"width_shift": (3, 4), "height_shift": (3, 4)},
        ),
        ({"shear_range": 20}, {"shear": 20}),
        ({"zoom_range": 0.2}, {"zoom": (0.8, 1.2)}),
        ({"zoom_range": (0.5, 1.0)}, {"zoom": (0.5, 1.0)}),
        ({"horizontal_flip": True, "vertical_flip": True}, {"horizontal_flip": True, "vertical_flip": True}),
        ({"brightness_range": (0.7, 1.3)}, {"brightness": (0.7, 1.3)}),
        ({"channel_shift_range": 30.0}, {"channel_shift": 30}),
        ({"fill_mode": "constant", "cval": 17}, {"fill_mode": "constant", "fill_value": 17}),
        ({"fill_mode": "wrap", "interpolation_order": 0}, {"fill_mode": "wrap", "interpolation": "nearest"}),
        ({"rescale": 1}, {}),
    ],
)
def test_arguments_of_image_data_generator_are_translated_one_by_one(arguments, expected):
    translated, notes = as_augmentation(ImageDataGenerator(**arguments))
    assert translated == Augmentation(keep_aspect=False, **expected)
    assert notes == ()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"rescale": 1 / 255},
            "with rescale=0.00392157 cannot be used as `augmentation`: the model scales its own input",
        ),
        ({"samplewise_center": True, "rescale": 2.0}, "with rescale=2, samplewise_center=True cannot be used"),
        ({"featurewise_center": True, "zca_whitening": True}, "featurewise_center=True, zca_whitening=True"),
        ({"preprocessing_function": abs}, "with `preprocessing_function` cannot be used.*`preprocess_input`"),
        ({"fill_mode": "mirror"}, "`fill_mode` must be one of"),
    ],
)
def test_generators_that_scale_pixels_are_refused_with_the_reason(arguments, message):
    with pytest.raises(ValueError, match=message):
        as_augmentation(ImageDataGenerator(**arguments))


@pytest.mark.parametrize(
    ("arguments", "note"),
    [
        ({"interpolation_order": 3}, "`interpolation_order=3` became 1"),
        ({"validation_split": 0.25}, "`validation_split=0.25` of the `ImageDataGenerator` was ignored"),
        ({"data_format": "channels_first"}, "`data_format='channels_first'` was ignored"),
        ({"dtype": "float16"}, "`dtype='float16'` was ignored"),
        ({"width_shift_range": 0.1}, "`width_shift_range` moves images sideways"),
    ],
)
def test_what_is_left_out_of_a_generator_is_said(arguments, note):
    _, (said,) = as_augmentation(ImageDataGenerator(**arguments))
    assert said.startswith(note)


@pytest.mark.parametrize("kind", LAYERS)
def test_layers_repeat_from_the_seed_of_the_batch_whatever_came_before(pixels, kind):
    runs = []
    for numbers in ([0, 1, 2], [2, 1]):
        augmenter, _ = as_augmentation(LAYERS[kind](), 5)
        dataset = tf.data.Dataset.from_tensor_slices(np.int64(numbers))
        dataset = dataset.map(
            lambda number, a=augmenter: a.augment(tf.constant(pixels), tf.stack([np.int64(3), number]))
        )
        runs.append([batch.numpy() for batch in dataset])
    (first, second, third), (third_again, second_again) = runs
    assert np.array_equal(second, second_again)
    assert np.array_equal(third, third_again)
    assert not np.array_equal(first, second)
    assert not np.array_equal(second, third)
    assert first.dtype == "float32"
    assert first.min() >= 0
    assert first.max() <= 255


def test_two_seeds_make_layers_draw_differently(pixels):
    augmented = [as_augmentation(LAYERS["list"](), seed)[0].augment(pixels, [0, 0]).numpy() for seed in (1, 1, 2)]
    assert np.array_equal(augmented[0], augmented[1])
    assert not np.array_equal(augmented[0], augmented[2])


def test_two_layers_of_a_kind_draw_differently(pixels):
    augmenter, _ = as_augmentation([keras.layers.GaussianNoise(1.0, seed=1), keras.layers.GaussianNoise(1.0, seed=1)])
    gray = np.full_like(pixels, 128)
    spread = (augmenter.augment(gray, [0, 0]).numpy() - 128).std()
    assert 1.3 < spread < 1.5  # √2; the same noise twice would give 2


def test_the_layer_of_the_user_and_global_generators_stay_as_they_are(pixels):
    layer = keras.layers.RandomRotation(0.2)
    before = layer.generator.state.numpy().tolist(), random.getstate(), np.random.get_state()[1].tolist()
    as_augmentation([layer])[0].augment(pixels, [0, 0])
    assert (layer.generator.state.numpy().tolist(), random.getstate(), np.random.get_state()[1].tolist()) == before


def test_layers_compute_in_float32_under_any_policy(pixels):
    layer = keras.layers.RandomTranslation(0.1, 0.1, dtype="float16")
    expected = as_augmentation([keras.layers.RandomTranslation(0.1, 0.1)])[0].augment(pixels, [0, 0])
    assert np.array_equal(as_augmentation([layer])[0].augment(pixels, [0, 0]), expected)


def test_layers_that_have_no_place_in_augmentation_are_refused(pixels):
    dense = keras.layers.Dense(3)
    dense.build((None, 3))
    for layer, error, message in [
        (keras.layers.Rescaling(1 / 255), ValueError, "`Rescaling` cannot be used.*the model scales its own input"),
        (keras.Sequential([keras.layers.Normalization(mean=0, variance=1)]), ValueError, "`Normalization` cannot"),
        (keras.layers.CutMix(), ValueError, "changes labels, too. Use `cutmix` of a `Phase`"),
        (dense, TypeError, "must have no weights. Received: `Dense`"),
    ]:
        with pytest.raises(error, match=message):
            as_augmentation([layer])
    augmenter, _ = as_augmentation([keras.layers.CenterCrop(5, 6)])
    with pytest.raises(ValueError, match=r"must keep the shape.*layers that make \(5, 6, 3\) of \(12, 14, 3\)"):
        augmenter.augment(pixels, [0, 0])
