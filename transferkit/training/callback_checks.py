"""Callbacks of the user: checked before anything is computed."""

import difflib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import keras

from transferkit.training.callbacks import LOGGED

_PACKAGES = {keras.callbacks.TensorBoard: "tensorboard", keras.callbacks.RemoteMonitor: "requests"}


def check_callbacks(callbacks):
    """Checks the callbacks of the user, as far as can be told before training begins.

    Raises:
        TypeError: Unless they are a list of Keras callbacks that schedules of phases can have.
        ValueError: If one of them watches what is never logged.
        ImportError: If one of them needs a package that is not installed.
        FileNotFoundError: If one of them writes into a folder that is not there.
    """
    if callbacks is None:
        return
    if not isinstance(callbacks, Sequence):
        raise TypeError(f"`callbacks` must be a list of Keras callbacks. Received: {type(callbacks).__name__}.")
    knows_all_logs = True
    for callback in callbacks:
        if not isinstance(callback, keras.callbacks.Callback):
            raise TypeError(f"`callbacks` must hold keras.callbacks.Callback objects. Received: {callback!r}.")
        if isinstance(callback, keras.callbacks.BackupAndRestore):
            raise TypeError(
                "BackupAndRestore knows one `fit` only, and would resume a schedule in the wrong phase with the wrong "
                "weights. Use ModelCheckpoint to keep every epoch."
            )
        _check_installed(callback)
        _check_log_file(callback)
        # Those of users and of other libraries may add to the logs, which callbacks after them then find there.
        is_of_keras = type(callback).__module__.split(".")[0] == "keras"
        knows_all_logs &= is_of_keras and not isinstance(callback, keras.callbacks.LambdaCallback)
        if knows_all_logs:
            _check_monitor(callback)


def _check_installed(callback):
    for kind, package in _PACKAGES.items():
        if isinstance(callback, kind) and find_spec(package) is None:
            raise ImportError(
                f"`callbacks` holds a {kind.__name__}, which needs {package}, and that is not installed here. "
                f"Install it with: pip install {package}"
            )


def _check_log_file(callback):
    if not isinstance(callback, keras.callbacks.CSVLogger) or "://" in callback.filename:
        return
    folder = Path(callback.filename).parent
    if not folder.is_dir():
        raise FileNotFoundError(
            f"The folder {str(folder)!r}, into which a CSVLogger of `callbacks` writes, does not exist. Make it first. "
            f"Received: filename={callback.filename!r}."
        )


def _check_monitor(callback):
    name = _monitored(callback)
    if name is None:
        return
    kind = type(callback).__name__
    if name not in LOGGED:
        close = difflib.get_close_matches(name, LOGGED, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(
            f"A {kind} of `callbacks` watches {name!r}, which is not logged. Expected one of "
            f"{', '.join(map(repr, LOGGED))}. Received: monitor={name!r}.{hint}"
        )
    if name == "learning_rate" and callback.mode == "auto":
        raise ValueError(
            f"A {kind} of `callbacks` watches 'learning_rate', of which Keras cannot tell whether it is to rise or to "
            f"fall. Give it `mode='min'` or `mode='max'`. Received: mode={callback.mode!r}."
        )


def _monitored(callback):
    """The column of the logs that a callback of Keras watches, or `None`."""
    if isinstance(callback, keras.callbacks.ModelCheckpoint):
        return callback.monitor if callback.save_best_only else None
    is_watching = isinstance(callback, keras.callbacks.EarlyStopping | keras.callbacks.ReduceLROnPlateau)
    return callback.monitor if is_watching else None
