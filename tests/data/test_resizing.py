import numpy as np
import pytest
import tensorflow as tf

from transferkit.data.resizing import resize_images


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize(
    ("shape", "size"), [((2, 37, 50, 3), (22, 24)), ((3, 8, 8, 3), (21, 40)), ((1, 9, 5, 3), (9, 5))]
)
def test_resizing_one_axis_after_the_other_is_tensorflows_resizing(shape, size, interpolation, dtype):
    images = np.random.default_rng(0).uniform(0, 255, shape).astype(dtype)
    expected = tf.image.resize(images, size, method=interpolation, antialias=True)
    actual = resize_images(images, size, interpolation)
    assert actual.dtype == "float32"
    assert np.array_equal(actual, expected)
