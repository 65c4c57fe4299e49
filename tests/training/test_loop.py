import gc
import weakref

import keras
import numpy as np
import pytest

from transferkit.models.heads import Head, build_dense
from transferkit.training.loop import fit_dense, fresh_optimizer


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    return rng.normal(size=(60, 6)).astype("float32") + 2 * np.eye(6, dtype="float32")[labels], labels


def fit(data, **options):
    features, labels = data
    model = build_dense(Head(units=(16,)), 6, 3)
    settings = {"optimizer": fresh_optimizer("adam", 0.01), "epochs": 30, "batch_size": 8, "seed": 0, **options}
    history = fit_dense(model, features[:40], labels[:40], validation=(features[40:], labels[40:]), **settings)
    return model, history


def test_the_best_epoch_is_kept(data):
    model, history = fit(data, optimizer=fresh_optimizer("sgd", 3.0))
    loss = model.evaluate(data[0][40:], data[1][40:], verbose=0, return_dict=True)["loss"]
    assert loss == pytest.approx(min(history["val_loss"]), rel=1e-4)


def test_training_ends_early_when_nothing_gets_better(data):
    _, history = fit(data, optimizer=fresh_optimizer("adam", 0.05), epochs=300)
    epochs = len(history["val_loss"])
    assert epochs < 300
    assert epochs == int(np.argmin(history["val_loss"])) + 6


def test_the_seed_decides_the_result_and_the_global_generators_stay(data):
    state = np.random.get_state()[1].copy()
    one, again = fit(data)[0], fit(data)[0]
    other = fit(data, seed=5)[0]
    weights = [model.get_weights()[0] for model in (one, again, other)]
    assert np.array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])
    assert np.array_equal(np.random.get_state()[1], state)


def test_an_optimizer_is_copied_with_its_settings():
    given = keras.optimizers.SGD(0.3, momentum=0.5)
    copy = fresh_optimizer(given, learning_rate=1.0)
    assert copy is not given
    assert float(copy.learning_rate) == pytest.approx(0.3)
    assert copy.momentum == 0.5


def test_a_name_gets_the_rate():
    optimizer = fresh_optimizer("RMSprop", 0.02)
    assert isinstance(optimizer, keras.optimizers.RMSprop)
    assert float(optimizer.learning_rate) == pytest.approx(0.02)


def test_the_global_seed_of_tensorflow_changes_nothing(data):
    import tensorflow as tf

    weights = []
    for seed in (1, 2):
        tf.random.set_seed(seed)
        weights.append(fit(data, epochs=2)[0].get_weights()[0])
    assert np.array_equal(*weights)


def test_features_are_forgotten_after_training(data):
    features, labels = data[0].copy(), data[1]
    witness = weakref.ref(features)
    fit((features, labels), epochs=1)
    del features
    gc.collect()
    assert witness() is None


@pytest.mark.filterwarnings("ignore:overflow|invalid value:RuntimeWarning")
def test_training_that_diverges_is_an_error(data):
    with pytest.raises(
        ValueError, match=r"diverged: its loss became NaN. Lower `learning_rate`. It was 1e\+12, with SGD"
    ):
        fit(data, optimizer=fresh_optimizer("sgd", 1e12))


@pytest.mark.parametrize(
    ("optimizer", "rate", "error", "message"),
    [
        ("adamm", 0.1, ValueError, "Unknown optimizer. Received: optimizer='adamm'"),
        ("adam", 0, ValueError, "`learning_rate` must be positive"),
        (None, 0.1, TypeError, "must be a name or a keras.optimizers.Optimizer. Received: None"),
    ],
)
def test_unusable_optimizers_are_refused(optimizer, rate, error, message):
    with pytest.raises(error, match=message):
        fresh_optimizer(optimizer, rate)
