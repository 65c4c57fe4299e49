import keras
import numpy as np
import pytest

from transferkit.frozen.forward import join, run_model


@pytest.fixture
def doubler():
    x = keras.Input((2,))
    return keras.Model(x, keras.layers.Rescaling(2.0)(x))


def test_joined_models_compute_one_after_the_other(doubler):
    assert np.allclose(join(doubler, doubler)(np.ones((1, 2))), 4)


def test_outputs_come_in_order_and_progress_is_told(doubler):
    x, seen = np.arange(14, dtype="float32").reshape(7, 2), []
    y = run_model(join(doubler), [x[:3], x[3:6], x[6:]], 7, seen.append)
    assert np.array_equal(y, 2 * x)
    assert seen == [3, 3, 1]


def test_values_that_are_no_numbers_are_refused(doubler):
    with pytest.raises(ValueError, match="NaN or infinite values"):
        run_model(join(doubler), [np.full((3, 2), 3e38, "float32")], 3)


def test_missing_images_are_noticed(doubler):
    with pytest.raises(RuntimeError, match="Expected 5 images, got 3"):
        run_model(join(doubler), [np.zeros((3, 2))], 5)
