import numpy as np
import pytest
from scipy.special import log_softmax

from transferkit._utils.console import Console
from transferkit.models.heads import LOGISTIC, build_dense
from transferkit.training.heads import fit_logistic_head, record_of_head
from transferkit.training.solvers import fit_logistic_path


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    return rng.normal(size=(60, 6)).astype("float32") + 2 * np.eye(6, dtype="float32")[labels], labels


@pytest.fixture
def dense():
    return build_dense(LOGISTIC, 6, 3)


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("has_validation", [False, True])
def test_the_dense_layer_gets_the_weights_of_the_solver(data, dense, is_weighted, has_validation, quiet):
    weights = np.linspace(0, 3, len(data[1])).astype("float32") if is_weighted else None
    held_out = data[0][:20], data[1][:20], None
    options = {"weights": weights, "validation": held_out if has_validation else None}
    history = fit_logistic_head(dense, *data, seed=3, console=quiet, **options)
    path = fit_logistic_path(*data, 3, seed=3, **options)
    kernel, bias = dense.get_weights()
    assert np.array_equal(kernel, path.kernel)
    assert np.array_equal(bias, path.bias)
    assert history == {
        "l2": list(path.strengths),
        "val_loss": list(path.val_loss),
        "val_accuracy": list(path.val_accuracy),
        "temperature": list(path.temperature),
    }


def test_the_head_gives_the_probabilities_of_the_solver(data, dense, quiet):
    fit_logistic_head(dense, *data, console=quiet)
    path = fit_logistic_path(*data, 3)
    logits = data[0] @ path.kernel + path.bias
    assert np.asarray(dense(data[0])) == pytest.approx(np.exp(log_softmax(logits, axis=1)), abs=1e-6)


@pytest.mark.parametrize("is_weighted", [False, True])
def test_it_is_epoch_zero_of_a_record_judged_as_keras_would(data, dense, quiet, is_weighted):
    weights = np.linspace(0, 3, 60).astype("float32")
    parts = slice(None, 40), slice(40, None)
    training, validation = ((*(a[part] for a in data), weights[part] if is_weighted else None) for part in parts)
    fit_logistic_head(dense, *training[:2], console=quiet)
    record = record_of_head(dense, training, validation, ["the weights"], "linear")
    dense.compile(
        loss="sparse_categorical_crossentropy",
        weighted_metrics=["sparse_categorical_crossentropy", "accuracy"],
        run_eagerly=True,
    )
    row = {name: values[0] for name, values in record.history.items()}
    for prefix, (x, y, sample_weight) in (("", training), ("val_", validation)):
        expected = dense.evaluate(x, y, sample_weight=sample_weight, verbose=0, return_dict=True)
        assert row[f"{prefix}loss"] == pytest.approx(expected["sparse_categorical_crossentropy"], rel=1e-4)
        assert row[f"{prefix}accuracy"] == pytest.approx(expected["accuracy"])
    assert (row["epoch"], row["phase"], row["learning_rate"], row["seconds"]) == (0, "linear", None, 0)
    assert (record.best_epoch, record.best_loss, record.best_weights) == (0, row["val_loss"], ["the weights"])
    assert record.epochs_done == 0


def test_certainty_beyond_what_floats_hold_is_judged_all_the_same(dense):
    dense.get_layer("probabilities").set_weights([np.eye(6, 3) * 1e4, np.zeros(3)])
    features = np.eye(6, dtype="float32")[:3]
    record = record_of_head(dense, (features, np.arange(3), None), (features, np.array([1, 1, 2]), None), [], "linear")
    assert record.history["loss"] == [0.0]
    assert record.history["val_loss"] == pytest.approx([1e4 / 3])


def test_it_says_that_nothing_could_be_held_out(dense, capsys):
    features, labels = np.eye(3, 6, dtype="float32"), np.arange(3)
    history = fit_logistic_head(dense, features, labels, console=Console(2))
    assert "The strongest is taken, 10, and probabilities are not calibrated" in capsys.readouterr().out
    assert history["l2"] == [10.0]
    assert np.asarray(dense(features)).argmax(axis=1).tolist() == [0, 1, 2]
