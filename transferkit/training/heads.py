"""Fits a head to features: the logistic one by its solver, any other by a Keras optimizer."""

from dataclasses import dataclass, field

import keras
import numpy as np

from transferkit.data.splits import stratified_split
from transferkit.models.heads import LOGISTIC, build_dense
from transferkit.training.loop import fit_dense, fresh_optimizer
from transferkit.training.solvers import STRENGTHS, fit_logistic_path


@dataclass(frozen=True)
class FittedHead:
    """The dense layers of a head and how they came about.

    Attributes:
        dense: `keras.Model` from pooled features to probabilities.
        history: Dict of lists: one entry a strength for the logistic head, one an epoch for others.
    """

    dense: keras.Model = field(repr=False)
    history: dict[str, list[float]]


def fit_logistic_head(features, labels, num_classes, *, validation, seed, console):
    """Fits a plain Dense layer by `fit_logistic_path`. For arguments see there."""
    with console.step("Fitting the logistic head", len(STRENGTHS), "strength") as advance:
        path = fit_logistic_path(
            features, labels, num_classes, validation=validation, seed=seed, on_strength=advance
        )  # fmt: skip
    dense = build_dense(LOGISTIC, features.shape[1], num_classes)
    dense.get_layer("probabilities").set_weights([path.kernel, path.bias])
    history = {
        "l2": path.strengths,
        "val_loss": path.val_loss,
        "val_accuracy": path.val_accuracy,
        "temperature": path.temperature,
    }
    return FittedHead(dense, {name: list(values) for name, values in history.items()})


def fit_keras_head(head, features, labels, num_classes, *, validation, validation_split, optimizer, learning_rate,
                   epochs, batch_size, seed, console):  # fmt: skip
    """Fits the dense layers of a `Head` by a Keras optimizer; keeps the epoch that was best on validation data.

    Args:
        head: The `Head`.
        features: `(n, num_features)` float32.
        labels: `(n,)` integer codes.
        num_classes: Number of classes.
        validation: `(features, labels)`, or `None` to set `validation_split` of the images apart.
        validation_split: Share of the images, each class in proportion.
        optimizer: Name or `keras.optimizers.Optimizer`.
        learning_rate: Rate for an optimizer given by name.
        epochs: Number of epochs at most.
        batch_size: Images a step.
        seed: Seed of the split, the first weights, dropout and the order of the images.
        console: Told about the progress.

    Returns:
        A `FittedHead`.
    """
    if validation is None:
        train, held_out = stratified_split(labels, validation_split, seed)
        validation = features[held_out], labels[held_out]
        features, labels = features[train], labels[train]
    dense = build_dense(head, features.shape[1], num_classes, seed=seed)
    optimizer = fresh_optimizer(optimizer, learning_rate)
    with console.step("Training the head", epochs, "epoch") as advance:
        history = fit_dense(
            dense, features, labels, validation=validation, optimizer=optimizer, epochs=epochs,
            batch_size=batch_size, seed=seed, on_epoch=advance,
        )  # fmt: skip
    best = int(np.nanargmin(history["val_loss"]))
    console.note(
        f"Best epoch {best + 1} of {len(history['val_loss'])}: "
        f"validation loss {history['val_loss'][best]:.3f}, accuracy {history['val_accuracy'][best]:.3f}"
    )
    return FittedHead(dense, history)
