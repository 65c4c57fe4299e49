import dataclasses
import json
import random

import keras
import numpy as np
import pytest
import tensorflow as tf

from transferkit.data.augmentation.augmentation import STRENGTHS, Augmentation, as_augmentation, mirrors_images

HEIGHT, WIDTH = 21, 31


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).uniform(0, 255, (8, 12, 14, 3)).astype("float32")


@pytest.fixture(scope="module")
def charts():
    """Images whose red and green say where a pixel comes from: twice its x and its y, from the centre, above 128."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    chart = np.stack([128 + 2 * (x - WIDTH // 2), 128 + 2 * (y - HEIGHT // 2), np.zeros_like(x)], axis=-1)
    return np.tile(chart.astype("float32"), (300, 1, 1, 1))


def shifts_of(augmented):
    """Where the centre of each image comes from."""
    return (np.asarray(augmented)[:, HEIGHT // 2, WIDTH // 2, :2] - 128).T / 2


def slopes_of(augmented):
    """How far apart neighbours at the centre were, along both sides."""
    y, x = HEIGHT // 2, WIDTH // 2
    images = np.asarray(augmented)
    return (images[:, y, x + 1, 0] - images[:, y, x, 0]) / 2, (images[:, y + 1, x, 1] - images[:, y, x, 1]) / 2


def test_by_default_nothing_happens_bit_for_bit(pixels):
    images = pixels * 1.1 - 5  # resizing may go beyond black and white
    assert np.array_equal(Augmentation().augment(images, [0, 0]), images)


@pytest.mark.parametrize("strength", STRENGTHS)
def test_the_seed_decides_and_global_generators_have_no_part(pixels, strength):
    before = random.getstate(), np.random.get_state()[1].tolist()
    augmenter, notes = as_augmentation(strength)
    one, again, other = (augmenter.augment(pixels, [7, number]).numpy() for number in (0, 0, 1))
    assert notes == ()
    assert augmenter.is_stateless
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert one.shape == pixels.shape
    assert one.dtype == "float32"
    assert one.min() >= 0
    assert one.max() <= 255
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before


def test_every_image_has_its_own_draw(pixels):
    same = np.repeat(pixels[:1], 6, axis=0)
    augmented = STRENGTHS["medium"].augment(same, [0, 0]).numpy()
    assert len(np.unique(augmented.reshape(6, -1), axis=0)) == 6


def test_in_tf_data_the_result_is_the_same_however_many_work_at_it(pixels):
    augmentation = STRENGTHS["strong"]
    numbers = tf.data.Dataset.range(4)
    for calls in (None, 2):
        dataset = numbers.map(
            lambda number: augmentation.augment(tf.constant(pixels), [3, number]), num_parallel_calls=calls
        )
        for number, batch in enumerate(dataset):
            assert np.allclose(batch, augmentation.augment(pixels, [3, number]), atol=1e-3)


def test_shifts_come_in_all_forms_of_image_data_generator(charts):
    def drawn(**arguments):
        return shifts_of(Augmentation(**arguments).augment(charts, [1, 1]))

    across, over = drawn(width_shift=0.2)
    assert 0.9 * 0.2 * WIDTH < np.abs(across).max() < 0.2 * WIDTH
    assert abs(across.mean()) < 1
    assert np.allclose(over, 0, atol=1e-3)
    across, over = drawn(height_shift=0.2)
    assert 0.9 * 0.2 * HEIGHT < np.abs(over).max() < 0.2 * HEIGHT
    assert np.allclose(across, 0, atol=1e-3)
    assert 2.8 < np.abs(drawn(width_shift=3.0)[0]).max() < 3
    assert sorted(set(drawn(width_shift=4)[0].round(3))) == [-3, -2, -1, 0, 1, 2, 3]
    assert sorted(set(drawn(width_shift=[-2, 5])[0].round(3))) == [-5, -2, 2, 5]
    assert sorted(set(drawn(height_shift=(1 / 21, 2 / 21))[1].round(3))) == [-2, -1, 1, 2]


def test_zooms_are_one_for_both_sides_or_one_for_each(charts):
    x, y = slopes_of(Augmentation(zoom=(0.5, 1.5)).augment(charts, [0, 0]))
    assert np.allclose(x, y, atol=1e-3)
    assert 0.5 <= x.min() < 0.52
    assert 1.48 < x.max() <= 1.5
    x, y = slopes_of(Augmentation(zoom=(0.5, 1.5), keep_aspect=False).augment(charts, [0, 0]))
    assert abs(np.corrcoef(x, y)[0, 1]) < 0.2


def test_half_of_the_images_are_flipped(charts):
    x, y = slopes_of(Augmentation(horizontal_flip=True).augment(charts, [0, 0]))
    assert 120 < (x < 0).sum() < 180
    assert (y > 0).all()


def test_angles_stay_in_their_range(charts):
    x, _ = slopes_of(Augmentation(rotation=30).augment(charts, [0, 0]))
    angles = np.degrees(np.arccos(np.clip(x, -1, 1)))
    assert 29 < angles.max() < 30.1


def test_factors_stay_in_their_range():
    images = np.full((300, 1, 1, 3), 100, "float32")
    levels = Augmentation(brightness=(0.8, 1.5)).augment(images, [0, 0]).numpy()
    assert 80 <= levels.min() < 82
    assert 148 < levels.max() <= 150
    levels = Augmentation(channel_shift=20).augment(images, [0, 0]).numpy()
    assert 80 <= levels.min() < 81
    assert 119 < levels.max() <= 120


def test_switching_one_draw_on_leaves_the_others_as_they_were(charts):
    alone = Augmentation(width_shift=0.2).augment(charts, [0, 0])
    among = Augmentation(width_shift=0.2, zoom=(0.5, 0.9), brightness=(0.999, 1)).augment(charts, [0, 0])
    assert np.allclose(shifts_of(among)[0], shifts_of(alone)[0], atol=0.1)


def test_named_strengths_keep_the_aspect_and_grow():
    assert all(augmentation.keep_aspect for augmentation in STRENGTHS.values())
    spans = [augmentation.zoom[1] - augmentation.zoom[0] for augmentation in STRENGTHS.values()]
    assert spans == sorted(spans)


def test_an_augmentation_survives_json():
    augmentation = dataclasses.replace(STRENGTHS["strong"], width_shift=3, height_shift=(0.1, 0.2))
    assert Augmentation(**json.loads(json.dumps(dataclasses.asdict(augmentation)))) == augmentation


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"rotation": -5}, ValueError, "`rotation` must be between 0 and 360. Received: rotation=-5"),
        ({"rotation": "ten"}, TypeError, "`rotation` must be a number. Received: rotation='ten'"),
        ({"rotation": float("nan")}, ValueError, "`rotation` must be finite"),
        ({"shear": 90}, ValueError, "`shear` must be between 0 and 89"),
        ({"width_shift": -0.1}, ValueError, "`width_shift` must be at least 0"),
        ({"height_shift": ()}, TypeError, "`height_shift` must be a number"),
        ({"zoom": 0.2}, TypeError, r"`zoom` must be a pair \(low, high\).*zoom=0.2. Did you mean zoom=\(0.8, 1.2\)\?"),
        ({"contrast": (1.2, 0.8)}, ValueError, "`contrast` must be a pair with 0 <= low <= high"),
        ({"saturation": (-1, 1)}, ValueError, "`saturation` must be a pair with 0 <= low <= high"),
        ({"brightness": (1, 2, 3)}, TypeError, r"`brightness` must be a pair \(low, high\)"),
        ({"horizontal_flip": "yes"}, TypeError, "`horizontal_flip` must be True or False. Received: .*'yes'"),
        ({"fill_mode": "mirror"}, ValueError, "`fill_mode` must be one of 'nearest', 'constant', 'reflect', 'wrap'"),
        ({"interpolation": "bicubic"}, ValueError, "`interpolation` must be one of 'bilinear', 'nearest'"),
        ({"fill_value": 300}, ValueError, "`fill_value` must be between 0 and 255"),
    ],
)
def test_values_that_make_no_sense_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        Augmentation(**arguments)


def test_every_kind_of_augmentation_is_taken():
    augmentation = Augmentation(rotation=3)
    assert as_augmentation(None) == (None, ())
    assert as_augmentation("light") == (STRENGTHS["light"], ())
    assert as_augmentation(augmentation)[0] is augmentation
    layers, _ = as_augmentation(keras.layers.RandomFlip())
    assert not layers.is_stateless
    assert as_augmentation(layers)[0] is layers


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ("heavy", ValueError, "Unknown `augmentation`. Expected one of 'light', 'medium', 'strong'. .*'heavy'"),
        (0.5, TypeError, "`augmentation` must be None, one of 'light'.* Received: 0.5 of type float"),
        ([], TypeError, r"Received: \[\] of type list"),
        ([keras.layers.RandomFlip(), "light"], TypeError, "must hold Keras layers. Received: 'light' in it"),
    ],
)
def test_what_is_no_augmentation_is_refused(value, error, message):
    with pytest.raises(error, match=message):
        as_augmentation(value)


def test_the_static_shape_is_kept_whatever_sizes_came_before(pixels):
    augmentation = STRENGTHS["medium"]
    for size in (8, 10, 12):
        augmentation.augment(pixels[:, :size, :size], [0, 0])
    images = tf.data.Dataset.from_tensor_slices(pixels).batch(3)
    assert images.map(lambda batch: augmentation.augment(batch, [0, 0])).element_spec.shape == (None, 12, 14, 3)


@pytest.mark.parametrize(
    ("augmentation", "expected"),
    [
        (None, False),
        ("light", True),
        (Augmentation(rotation=5, vertical_flip=True), False),
        (Augmentation(horizontal_flip=True), True),
        ([keras.layers.RandomFlip("horizontal")], True),
        ([keras.layers.RandomFlip("vertical"), keras.layers.RandomRotation(0.1)], False),
    ],
)
def test_it_is_known_what_has_mirror_images(augmentation, expected):
    assert mirrors_images(as_augmentation(augmentation)[0]) is expected
