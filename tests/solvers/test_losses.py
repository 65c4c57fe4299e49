import keras
import numpy as np
import pytest

from transferkit.solvers.examples import Examples
from transferkit.solvers.losses import LOSSES, _focal

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(2, 3, 5)).astype("float32")  # (problems, classes, rows)
SHARES = RNG.random((2, 5)).astype("float32")
CODES = np.array([0, 2, 1, 2, 0])
ONE_HOT = np.eye(3, dtype="float32")[CODES].T
KERAS = {
    ("softmax", 0.0): keras.losses.CategoricalCrossentropy(reduction="none"),
    ("softmax", 2.0): keras.losses.CategoricalFocalCrossentropy(alpha=1.0, gamma=2.0, reduction="none"),
    ("sigmoid", 0.0): keras.losses.BinaryCrossentropy(reduction="none"),
    ("sigmoid", 2.0): keras.losses.BinaryFocalCrossentropy(gamma=2.0, reduction="none"),
}


@pytest.mark.parametrize(("activation", "focus"), KERAS)
def test_the_loss_is_that_of_keras(activation, focus):
    loss, _ = LOSSES[activation](focus).compare(LOGITS.copy(), ONE_HOT, SHARES)
    probabilities = getattr(keras.activations, activation)(LOGITS.transpose(0, 2, 1))
    of_rows = np.asarray(KERAS[activation, focus](np.stack([ONE_HOT.T] * 2), probabilities))
    classes = 3 if activation == "sigmoid" else 1  # Keras takes their mean, and a solver the sum
    assert loss == pytest.approx((of_rows * SHARES).sum() * classes, rel=1e-4)


@pytest.mark.parametrize(("activation", "focus"), KERAS)
def test_the_derivatives_are_what_the_loss_rises_by(activation, focus):
    compare = LOSSES[activation](focus).compare
    _, residual = compare(LOGITS.copy(), ONE_HOT, SHARES)
    for place in np.ndindex(LOGITS.shape):
        higher, lower = (LOGITS.astype("float64") for _ in range(2))
        higher[place] += 1e-4
        lower[place] -= 1e-4
        rise = (compare(higher, ONE_HOT, SHARES)[0] - compare(lower, ONE_HOT, SHARES)[0]) / 2e-4
        assert residual[place] == pytest.approx(rise, abs=1e-4)


@pytest.mark.parametrize("focus", [0.0, 2.0])
def test_codes_are_what_their_one_hot_rows_are(focus):
    compare = LOSSES["softmax"](focus).compare
    of_codes, of_rows = (compare(LOGITS.copy(), wanted, SHARES) for wanted in (CODES, ONE_HOT))
    assert of_codes[0] == pytest.approx(of_rows[0], rel=1e-6)
    assert of_codes[1] == pytest.approx(of_rows[1], abs=1e-6)


def test_what_logits_are_judged_by():
    examples = Examples(None, CODES, ONE_HOT.T)
    assert LOSSES["softmax"]().judged_labels(examples) is CODES
    assert LOSSES["sigmoid"]().judged_labels(examples) is examples.targets


def test_the_focal_loss_and_its_slope_are_right():
    losses = np.array([[1e-6, 0.1, 1.0, 5.0]])
    values, slopes = _focal(losses, 2.0)
    targets = np.array([[1.0, 0.0]])
    for loss, value in zip(losses[0], values[0], strict=True):
        probability = np.exp(-loss)
        keras_loss = keras.losses.CategoricalFocalCrossentropy(alpha=1.0, gamma=2.0)
        assert value == pytest.approx(
            float(keras_loss(targets, np.array([[probability, 1 - probability]]))), rel=1e-3, abs=1e-9
        )
    step = 1e-5
    numeric = (_focal(losses + step, 2.0)[0] - _focal(losses - step, 2.0)[0]) / (2 * step)
    assert slopes[0, 1:] == pytest.approx(numeric[0, 1:], rel=1e-4)
