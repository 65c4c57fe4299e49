"""Solves the logistic head on features."""

import numpy as np

from transferkit._utils import console
from transferkit.evaluation.calibration import accuracy_of, log_loss
from transferkit.solvers.path import DEFAULT_SEARCH, LogisticProblem, fit_logistic_path
from transferkit.training.callbacks import Record

_BLOCK = 4096  # rows that are read at once


def fit_logistic_head(dense, examples, search=DEFAULT_SEARCH, *, focus=0.0, temperature=None):
    """Sets a plain Dense layer to the solution of `fit_logistic_path`.

    Args:
        dense: `keras.Model` that `build_dense(LOGISTIC, …)` made; its activation decides what is minimised. Changed in
            place.
        examples: `Examples` to fit to.
        search: `Search`, how the strength is chosen.
        focus: Exponent of the focal loss, or 0.
        temperature: What logits are divided by; `None`: the temperature that the path finds.

    Returns:
        The `LogisticPath`.
    """
    last = dense.get_layer("probabilities")
    problem = LogisticProblem(examples, last.units, last.activation.__name__, focus)
    with console.step("Fitting the logistic head", len(search.strengths), "strength") as advance:
        path = fit_logistic_path(problem, search, on_strength=advance)
    if np.isnan(path.val_loss[0]):
        console.note(
            "No image could be held out to choose the L2 strength on, since each class has one image or one group. The "
            f"strongest is taken, {path.strength:g}, and probabilities are not calibrated. More images, or "
            "`validation_data`, are the remedy."
        )
    found = path.temperature[path.strengths.index(path.strength)]  # is part of the weights
    # The path has divided its weights by `found` already, which another temperature has to undo.
    sharpness = 1.0 if temperature is None else found / temperature
    last.set_weights([path.kernel * sharpness, path.bias * sharpness])
    return path


def record_of_head(dense, training, validation, weights, title):
    """Starts the record of a schedule whose first phase was solved, which is its epoch 0.

    Args:
        dense: The fitted `keras.Model`.
        training: `(features, labels)` or `(features, labels, weights)` that it was fitted to; labels as for
            `transferkit.evaluation.calibration`, weights `(n,)` or `None`.
        validation: The same for the data that later epochs will be compared on.
        weights: Present weights of the classifier, as `transferkit.models.weights.capture` gives them.
        title: Name of the phase.

    Returns:
        A `Record`.
    """
    record = Record()
    (loss, accuracy), (val_loss, val_accuracy) = _judge(dense, *training), _judge(dense, *validation)
    logs = {"loss": loss, "accuracy": accuracy, "val_loss": val_loss, "val_accuracy": val_accuracy}
    record.add(0, title, logs, 0.0)
    record.keep(val_loss, 0, weights)
    return record


def _judge(dense, features, labels, weights=None):
    kernel, bias = dense.get_layer("probabilities").get_weights()
    # Features of several views have more rows than labels; the first `len(labels)` are the images as they are.
    blocks = range(0, len(labels), _BLOCK)  # features may be larger than memory
    logits = np.concatenate([features[start : min(start + _BLOCK, len(labels))] @ kernel for start in blocks]) + bias
    return log_loss(logits, labels, weights), accuracy_of(logits, labels, weights)
