from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import log_softmax

from transferkit._utils.console import Console, speaking_to
from transferkit.models.heads import LOGISTIC, build_dense
from transferkit.solvers.examples import Examples
from transferkit.solvers.path import LogisticProblem, Search, fit_logistic_path
from transferkit.training.logistic import fit_logistic_head, record_of_head


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    return Examples(rng.normal(size=(60, 6)).astype("float32") + 2 * np.eye(6, dtype="float32")[labels], labels)


@pytest.fixture
def dense():
    return build_dense(LOGISTIC, 6, 3)


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("has_validation", [False, True])
def test_the_dense_layer_gets_the_weights_of_the_solver(data, dense, is_weighted, has_validation):
    weights = np.linspace(0, 3, len(data)).astype("float32") if is_weighted else None
    held_out = Examples(data.features[:20], data.labels[:20])
    examples, search = replace(data, weights=weights), Search(validation=held_out if has_validation else None, seed=3)
    found = fit_logistic_head(dense, examples, search)
    path = fit_logistic_path(LogisticProblem(examples, 3), search)
    kernel, bias = dense.get_weights()
    assert np.array_equal(kernel, path.kernel)
    assert np.array_equal(bias, path.bias)
    assert found.history == {
        "l2": list(path.strengths),
        "val_loss": list(path.val_loss),
        "val_accuracy": list(path.val_accuracy),
        "temperature": list(path.temperature),
    }


SHARES = np.random.default_rng(1).dirichlet(np.ones(3), 60).astype("float32")


@pytest.mark.parametrize(
    ("known", "options"),
    [
        ({"targets": SHARES}, {}),
        ({"groups": np.arange(60) // 9}, {}),
        ({"copies": 2}, {}),
        ({}, {"strengths": (1.0, 0.3)}),
        ({}, {"seed": 5}),
        ({}, {"focus": 2.0}),
    ],
    ids=lambda options: "+".join(options),
)
def test_what_it_is_told_reaches_the_solver(known, options, data, dense):
    features = data.features[np.arange(60 * known.get("copies", 1)) % 60]
    features[60:] += 1
    examples, focus = Examples(features, data.labels, **known), options.pop("focus", 0.0)
    search = Search(**options)
    found = fit_logistic_head(dense, examples, search, focus=focus)
    path = fit_logistic_path(LogisticProblem(examples, 3, focus=focus), search)
    plain = fit_logistic_path(LogisticProblem(data, 3))
    assert np.array_equal(dense.get_weights()[0], path.kernel)
    assert found.val_loss == path.val_loss != plain.val_loss


def test_the_activation_of_the_layer_decides_what_is_minimised(data):
    dense = build_dense(LOGISTIC, 6, 3, activation="sigmoid")
    examples = replace(data, targets=(SHARES > 0.3).astype("float32"))
    found = fit_logistic_head(dense, examples)
    path = fit_logistic_path(LogisticProblem(examples, 3, "sigmoid"))
    assert np.array_equal(dense.get_weights()[0], path.kernel)
    assert np.array_equal(found.judged[1], path.judged[1])


def test_every_strength_that_is_done_is_told(data, dense, monkeypatch):
    done = []

    @contextmanager
    def step(*told):
        done.append(told[1:])
        yield done.append

    monkeypatch.setattr("transferkit._utils.console.step", step)
    path = fit_logistic_head(dense, data, Search(strengths=(1.0, 0.3)))
    assert done[0] == (2, "strength")
    assert sum(done[1:]) >= len(path.strengths) == 2


def test_a_temperature_that_is_given_is_that_of_the_weights(data, dense):
    found = fit_logistic_head(dense, data, Search(strengths=(0.1,)), temperature=2.0)
    path = fit_logistic_path(LogisticProblem(data, 3), Search(strengths=(0.1,)))
    kernel, bias = dense.get_weights()
    assert kernel * 2 == pytest.approx(path.kernel * path.temperature[0], rel=1e-5)
    assert bias * 2 == pytest.approx(path.bias * path.temperature[0], rel=1e-5, abs=1e-6)
    assert found.strength == 0.1


def test_the_head_gives_the_probabilities_of_the_solver(data, dense):
    fit_logistic_head(dense, data)
    path = fit_logistic_path(LogisticProblem(data, 3))
    logits = data.features @ path.kernel + path.bias
    assert np.asarray(dense(data.features)) == pytest.approx(np.exp(log_softmax(logits, axis=1)), abs=1e-6)


@pytest.mark.parametrize("is_weighted", [False, True])
def test_it_is_epoch_zero_of_a_record_judged_as_keras_would(data, dense, is_weighted):
    weights = np.linspace(0, 3, 60).astype("float32")
    components = slice(None, 40), slice(40, None)
    training, validation = (
        (data.features[part], data.labels[part], weights[part] if is_weighted else None) for part in components
    )
    fit_logistic_head(dense, Examples(*training[:2]))
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


def test_features_that_are_read_block_by_block_are_judged_as_one(data, dense, monkeypatch):
    fit_logistic_head(dense, data)
    features, labels = data.features, data.labels
    whole = record_of_head(dense, (features, labels), (features, labels), [], "linear").history
    sizes = []

    class OnDisk:
        def __getitem__(self, rows):
            sizes.append(len(features[rows]))
            return features[rows]

    monkeypatch.setattr("transferkit.training.logistic._BLOCK", 25)
    by_block = record_of_head(dense, (OnDisk(), labels), (features, labels), [], "linear").history
    assert sizes == [25, 25, 10]
    assert by_block["loss"] == pytest.approx(whole["loss"], rel=1e-5)
    assert by_block["accuracy"] == whole["accuracy"]


def test_certainty_beyond_what_floats_hold_is_judged_all_the_same(dense):
    dense.get_layer("probabilities").set_weights([np.eye(6, 3) * 1e4, np.zeros(3)])
    features = np.eye(6, dtype="float32")[:3]
    record = record_of_head(dense, (features, np.arange(3), None), (features, np.array([1, 1, 2]), None), [], "linear")
    assert record.history["loss"] == [0.0]
    assert record.history["val_loss"] == pytest.approx([1e4 / 3])


def test_it_says_that_nothing_could_be_held_out(dense, capsys):
    features, labels = np.eye(3, 6, dtype="float32"), np.arange(3)
    with speaking_to(Console(2)):
        path = fit_logistic_head(dense, Examples(features, labels))
    assert "The strongest is taken, 10, and probabilities are not calibrated" in capsys.readouterr().out
    assert path.strengths == (10.0,)
    assert np.asarray(dense(features)).argmax(axis=1).tolist() == [0, 1, 2]
