import importlib.util

import keras
import pytest

from transferkit.training import callback_checks
from transferkit.training.callback_checks import check_callbacks
from transferkit.training.callbacks import LOGGED

callbacks = keras.callbacks


class Adding(callbacks.Callback):
    """Adds to the logs."""


@pytest.mark.parametrize("name", LOGGED)
def test_what_is_logged_can_be_watched(name):
    mode = "min" if name == "learning_rate" else "auto"
    check_callbacks([callbacks.EarlyStopping(name, mode=mode), callbacks.ReduceLROnPlateau(name, mode=mode)])


@pytest.mark.parametrize(
    "callback",
    [
        callbacks.EarlyStopping("val_acc"),
        callbacks.ReduceLROnPlateau("val_acc"),
        callbacks.ModelCheckpoint("best.keras", "val_acc", save_best_only=True),
    ],
)
def test_what_is_not_logged_cannot_be_watched(callback):
    kind = type(callback).__name__
    with pytest.raises(ValueError, match=f"A {kind} of .* 'val_acc', which is not logged.*Did you mean 'val_accuracy'"):
        check_callbacks([callback])


def test_the_direction_of_the_rate_must_be_said():
    with pytest.raises(ValueError, match="'learning_rate', of which Keras cannot tell.*`mode='min'`"):
        check_callbacks([callbacks.EarlyStopping("learning_rate")])


@pytest.mark.parametrize("before", [Adding(), callbacks.LambdaCallback()])
def test_what_callbacks_before_may_add_can_be_watched(before):
    after = callbacks.EarlyStopping("val_f1", mode="max")
    check_callbacks([before, after])
    with pytest.raises(ValueError, match="'val_f1', which is not logged"):
        check_callbacks([after, before])


def test_a_checkpoint_of_every_epoch_watches_nothing():
    check_callbacks([callbacks.ModelCheckpoint("{epoch}.keras", "val_acc")])


@pytest.mark.parametrize(
    ("callback", "package"),
    [
        (callbacks.TensorBoard("logs"), "tensorboard"),
        (callbacks.RemoteMonitor(), "requests"),
    ],
)
def test_a_callback_whose_package_is_missing_is_refused(monkeypatch, callback, package):
    monkeypatch.setattr(
        callback_checks, "find_spec", lambda name: None if name == package else importlib.util.find_spec(name)
    )
    with pytest.raises(ImportError, match=f"{type(callback).__name__}, which needs {package}.*pip install {package}"):
        check_callbacks([callback])
    monkeypatch.setattr(callback_checks, "find_spec", lambda name: object())
    check_callbacks([callback])


def test_a_log_file_needs_its_folder(tmp_path):
    check_callbacks([callbacks.CSVLogger(tmp_path / "log.csv")])
    check_callbacks([callbacks.CSVLogger("gs://bucket/log.csv")])
    with pytest.raises(FileNotFoundError, match="CSVLogger of `callbacks` writes, does not exist"):
        check_callbacks([callbacks.CSVLogger(tmp_path / "missing" / "log.csv")])
