import keras
import numpy as np
import pytest

from transferkit.solvers.examples import Examples
from transferkit.solvers.losses import LOSSES, SigmoidLoss, SoftmaxLoss, _focal


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


@pytest.mark.parametrize("focus", [0.0, 2.0])
@pytest.mark.parametrize("kind", [SoftmaxLoss, SigmoidLoss])
def test_derivatives_are_those_of_the_loss(kind, focus):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(1, 3, 5))
    wanted = (rng.random((3, 5)) > 0.5).astype(float) if kind is SigmoidLoss else np.array([0, 2, 1, 1, 0])
    shares = rng.random((1, 5))
    loss = kind(focus)
    _, slopes = loss.compare(logits.copy(), wanted, shares)
    step = 1e-6
    for place in np.ndindex(logits.shape):
        moved = [logits.copy(), logits.copy()]
        moved[0][place] += step
        moved[1][place] -= step
        high, low = (loss.compare(values, wanted, shares)[0] for values in moved)
        assert slopes[place] == pytest.approx((high - low) / (2 * step), abs=1e-5)


def test_shares_of_one_class_are_its_code():
    logits, codes = np.random.default_rng(1).normal(size=(1, 3, 4)), np.array([0, 2, 1, 1])
    by_code = SoftmaxLoss().compare(logits.copy(), codes, np.ones((1, 4)))
    by_share = SoftmaxLoss().compare(logits.copy(), np.eye(3)[codes].T, np.ones((1, 4)))
    assert by_code[0] == pytest.approx(by_share[0])
    assert by_code[1] == pytest.approx(by_share[1])


def test_each_is_judged_by_labels_of_its_kind():
    examples = Examples(np.zeros((2, 1)), np.array([0, 1]), np.eye(2))
    assert LOSSES["softmax"]().judged_labels(examples) is examples.labels
    assert LOSSES["sigmoid"]().judged_labels(examples) is examples.targets
