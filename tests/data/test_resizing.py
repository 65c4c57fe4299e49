import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from transferkit.backbones.preprocessing import build_preprocessing
from transferkit.data.resizing import ImageFormat, as_image_format, as_sides, resize_image, resize_images


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((2, 37, 50, 3), (22, 24)),
        ((3, 8, 8, 3), (21, 40)),
        ((1, 9, 5, 3), (9, 5)),
        ((2, 375, 500, 3), (224, 224)),
        ((1, 1, 7, 1), (3, 1)),
    ],
)
def test_resizing_by_sparse_matrices_is_tensorflows_resizing(shape, size, interpolation, dtype):
    images = np.random.default_rng(0).uniform(0, 255, shape).astype(dtype)
    expected = tf.image.resize(images, size, method=interpolation, antialias=True)
    actual = resize_images(images, ImageFormat(size, interpolation=interpolation))
    assert actual.dtype == "float32"
    assert np.array_equal(actual, expected)


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_an_image_of_any_size_is_resized_as_tensorflow_does(interpolation):
    rng = np.random.default_rng(1)
    for height, width, *size in rng.integers(1, 90, (30, 4)).tolist():
        image = rng.integers(0, 256, (height, width, 3), dtype="uint8")
        expected = tf.image.resize(image, size, method=interpolation, antialias=True)
        assert np.array_equal(resize_image(image, ImageFormat(tuple(size), interpolation=interpolation)), expected)


def test_an_image_of_the_right_size_stays_as_it_is():
    image = np.random.default_rng(2).integers(0, 256, (6, 8, 3), dtype="uint8")
    assert np.array_equal(resize_image(image, ImageFormat((6, 8))), image)


# ---- other aspect ratios ----


def by_pillow(image, box, size):
    """Resizes the part of an image in a box by Pillow's bicubic filter, which is antialiased, too."""
    image = Image.fromarray(image).crop(box)
    return np.asarray(image.resize(size[::-1], Image.Resampling.BICUBIC), "float32")


def test_cropping_keeps_the_middle():
    image = smooth_image(40, 100)
    expected = by_pillow(image, (30, 0, 70, 40), (16, 16))
    assert resize_image(image, ImageFormat((16, 16), resize="crop")) == pytest.approx(expected, abs=2)
    expected = by_pillow(image, (0, 10, 100, 30), (4, 20))
    assert resize_image(image, ImageFormat((4, 20), resize="crop")) == pytest.approx(expected, abs=2)


def test_padding_puts_the_whole_image_on_the_background():
    image = smooth_image(40, 100)
    padded = resize_image(image, ImageFormat((50, 50), resize="pad", background="#102030"))
    assert np.abs(np.concatenate([padded[:13], padded[-13:]]) - (16, 32, 48)).max() < 1e-3
    expected = by_pillow(image, (0, 0, 100, 40), (20, 50))
    assert padded[17:-17] == pytest.approx(expected[2:-2], abs=2)


def smooth_image(height, width):
    rows, columns = np.indices((height, width))
    return np.stack([rows * 2 + columns, 250 - columns, columns * 2], axis=-1).astype("uint8")


@pytest.mark.parametrize("background", ["white", "orange"])
@pytest.mark.parametrize("resize", ["crop", "pad"])
def test_every_mode_is_bit_for_bit_what_the_preprocessing_gives(resize, background):
    rng = np.random.default_rng(0)
    for image_size in [(16, 16), (12, 21)]:
        image_format = ImageFormat(image_size, resize=resize, background=background)
        preprocessing = build_preprocessing("none", image_size, resize, image_format.background_levels)
        for height, width in [*rng.integers(1, 90, (20, 2)).tolist(), (333, 500), image_size]:
            image = rng.integers(0, 256, (height, width, 3), dtype="uint8")
            assert np.array_equal(resize_image(image, image_format), preprocessing(image[None])[0])


@pytest.mark.parametrize(
    ("resize", "size", "frame"),
    [
        ("stretch", (30, 50), (0, 0, 30, 50)),
        ("crop", (30, 50), (0, 10, 30, 30)),
        ("crop", (50, 31), (9, 0, 31, 31)),
        ("pad", (30, 50), (-10, 0, 50, 50)),
        ("pad", (50, 31), (0, -9, 50, 49)),
        ("crop", (20, 20), (0, 0, 20, 20)),
        ("pad", (20, 20), (0, 0, 20, 20)),
    ],
)
def test_the_frame_is_in_the_middle(resize, size, frame):
    assert ImageFormat((20, 20), resize=resize).frame(size) == frame


@pytest.mark.parametrize(
    ("resize", "background", "message"),
    [("squash", "white", "one of 'stretch', 'crop', 'pad'.*squash"), ("pad", "whitish", "Pillow"), ("pad", 255, "255")],
)
def test_unknown_modes_and_colours_are_refused(resize, background, message):
    with pytest.raises(ValueError, match=message):
        ImageFormat(16, resize, background)


@pytest.mark.parametrize("size", [20, np.int64(20), (20, 20), [20, 20]])
def test_a_size_is_an_integer_or_a_pair(size):
    assert ImageFormat(size).image_size == (20, 20)
    assert as_image_format(size).image_size == (20, 20)


@pytest.mark.parametrize("size", [0, -1, (20,), (20, 20, 3), "20", 2.5, (20, 2.5), True])
def test_other_sizes_are_refused(size):
    with pytest.raises(ValueError, match="`image_size` must be an integer or .* Received: image_size="):
        as_image_format(size)
    with pytest.raises(ValueError, match=r"`size` must be an integer or \(height, width\). Received: size="):
        ImageFormat(size)
    with pytest.raises(ValueError, match="`image_size` must be an integer"):
        as_sides(size)


def test_a_format_without_a_size_takes_that_of_the_backbone():
    image_format = ImageFormat(resize="crop", channels=np.int64(6))
    with pytest.raises(ValueError, match="has no size yet"):
        image_format.image_size  # noqa: B018
    found = image_format.for_backbone((224, 160))
    assert (found.image_size, found.resize, found.channels) == ((224, 160), "crop", 6)
    assert type(found.channels) is int
    assert ImageFormat(32).for_backbone((224, 160)).image_size == (32, 32)
    assert as_image_format(found) is found


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 0}, "`channels` must be an integer from 1"),
        ({"channels": True}, "`channels` must be"),
        ({"interpolation": "nearest"}, "`interpolation` must be one of 'bilinear', 'bicubic'"),
    ],
)
def test_other_channels_and_interpolations_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ImageFormat(**options)
