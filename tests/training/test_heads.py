import numpy as np
import pytest

from transferkit.models.heads import Head
from transferkit.training.heads import fit_keras_head, fit_logistic_head
from transferkit.training.solvers import fit_logistic_path


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    return rng.normal(size=(60, 6)).astype("float32") + 2 * np.eye(6, dtype="float32")[labels], labels


def test_the_logistic_head_is_one_dense_layer_with_the_solvers_weights(data, quiet):
    fitted = fit_logistic_head(*data, 3, validation=None, seed=0, console=quiet)
    path = fit_logistic_path(*data, 3)
    assert [layer.name for layer in fitted.dense.layers[1:]] == ["probabilities"]
    kernel, bias = fitted.dense.get_weights()
    assert np.array_equal(kernel, path.kernel)
    assert np.array_equal(bias, path.bias)
    assert fitted.history["l2"] == list(path.strengths)


def test_a_keras_head_sets_images_apart_for_validation(data, quiet):
    settings = {"validation_split": 0.25, "optimizer": "adam", "learning_rate": 0.01, "epochs": 3, "batch_size": 8}
    fitted = fit_keras_head(Head(units=(8,)), *data, 3, validation=None, seed=0, console=quiet, **settings)
    assert set(fitted.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert len(fitted.history["loss"]) == 3
