"""Solves the logistic head on features."""

import numpy as np

from transferkit._utils import console
from transferkit.evaluation.calibration import accuracy_of, log_loss
from transferkit.solvers.path import STRENGTHS, fit_logistic_path
from transferkit.training.callbacks import Record

_BLOCK = 4096  # rows that are read at once


def fit_logistic_head(
    dense, features, labels, *, targets=None, is_multilabel=False, weights=None, groups=None, validation=None,
    strengths=STRENGTHS, temperature=None, copies=1, focus=0.0, seed=0, keep=lambda path: None,
):  # fmt: skip
    """Sets a plain Dense layer to the solution of `fit_logistic_path`.

    Args:
        dense: `keras.Model` that `build_dense(LOGISTIC, …)` made. Changed in place.
        features: `(copies * n, num_features)` float32, as an array or as something that is indexed like one.
        labels: `(n,)` integer codes.
        targets: `(n, num_classes)` shares or labels of each image, or `None`; see `fit_logistic_path`.
        is_multilabel: Whether each class is a question of its own.
        weights: `(n,)` float32 weights of the images in the loss, or `None`.
        groups: `(n,)` integer codes of groups that no fold of the cross-validation divides, or `None`.
        validation: `(features, labels, weights)` to choose the strength on, or `None` to cross-validate.
        strengths: L2 strengths to try, from strong to weak.
        temperature: What logits are divided by, if that is not to be found here.
        copies: Versions of each image that `features` holds, one after another; the first is the image as it is.
        focus: Exponent of the focal loss, or 0.
        seed: Seed of the folds.
        keep: Called with the `LogisticPath`.

    Returns:
        The history: a dict of lists, one entry a strength.
    """
    with console.step("Fitting the logistic head", len(strengths), "strength") as advance:
        path = fit_logistic_path(
            features, labels, dense.output_shape[-1], targets=targets, is_multilabel=is_multilabel, weights=weights,
            groups=groups, validation=validation, strengths=strengths, copies=copies, focus=focus, seed=seed,
            on_strength=advance,
        )  # fmt: skip
    if np.isnan(path.val_loss[0]):
        console.note(
            "No image could be held out to choose the L2 strength on, since each class has one image or one group. The "
            f"strongest is taken, {path.strength:g}, and probabilities are not calibrated. More images, or "
            "`validation_data`, are the remedy."
        )
    keep(path)
    found = path.temperature[path.strengths.index(path.strength)]  # is part of the weights
    sharpness = 1.0 if temperature is None else found / temperature
    dense.get_layer("probabilities").set_weights([path.kernel * sharpness, path.bias * sharpness])
    history = {
        "l2": path.strengths,
        "val_loss": path.val_loss,
        "val_accuracy": path.val_accuracy,
        "temperature": path.temperature,
    }
    return {name: list(values) for name, values in history.items()}


def record_of_head(dense, training, validation, weights, title):
    """Starts the record of a schedule whose first phase was solved: as its epoch 0.

    Args:
        dense: The fitted `keras.Model`.
        training: `(features, labels)` or `(features, labels, weights)` that it was fitted to; labels as for
            `transferkit.evaluation.calibration`, weights `(n,)` or `None`.
        validation: The same of what later epochs will be compared on.
        weights: Weights of the classifier now, as `transferkit.models.weights.capture` gives them.
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
    blocks = range(0, len(labels), _BLOCK)  # features may be larger than memory
    logits = np.concatenate([features[start : min(start + _BLOCK, len(labels))] @ kernel for start in blocks]) + bias
    return log_loss(logits, labels, weights), accuracy_of(logits, labels, weights)
