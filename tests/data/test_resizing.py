import numpy as np
import pytest
import tensorflow as tf

from transferkit.data.resizing import resize_image, resize_images


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
    actual = resize_images(images, size, interpolation)
    assert actual.dtype == "float32"
    assert np.array_equal(actual, expected)


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_an_image_of_any_size_is_resized_as_tensorflow_does(interpolation):
    rng = np.random.default_rng(1)
    for height, width, *size in rng.integers(1, 90, (30, 4)).tolist():
        image = rng.integers(0, 256, (height, width, 3), dtype="uint8")
        expected = tf.image.resize(image, size, method=interpolation, antialias=True)
        assert np.array_equal(resize_image(image, tuple(size), interpolation), expected)


def test_an_image_of_the_right_size_stays_as_it_is():
    image = np.random.default_rng(2).integers(0, 256, (6, 8, 3), dtype="uint8")
    assert np.array_equal(resize_image(image, (6, 8), "bicubic"), image)
