"""Trains the dense layers of a head by a Keras optimizer, on features that are computed already."""

import keras
import numpy as np

from transferkit._utils.keras import without_retracing_warnings
from transferkit.data.datasets import FeatureBatches

_PATIENCE = 5  # epochs without a better validation loss before training ends


def fit_dense(model, features, labels, *, validation, optimizer, epochs, batch_size, seed, on_epoch=lambda count: None):
    """Trains a model on features, stops when it no longer gets better, and keeps the best weights.

    Args:
        model: `keras.Model` from `(num_features,)` to probabilities. Changed in place.
        features: `(n, num_features)` float32.
        labels: `(n,)` integer codes.
        validation: `(features, labels)` that decide which epoch was the best.
        optimizer: A `keras.optimizers.Optimizer` that no other model uses.
        epochs: Number of epochs at most.
        batch_size: Images a step.
        seed: Seed of the order of the images.
        on_epoch: Called with 1 after each epoch, and with what is left when training ends early.

    Raises:
        ValueError: If the loss became NaN before the end of the first epoch.

    Returns:
        The history as a dict of lists, one entry an epoch, in Keras' words.
    """
    stopping = keras.callbacks.EarlyStopping("val_loss", patience=_PATIENCE, restore_best_weights=True)
    progress = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: on_epoch(1))
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    training, held_out = FeatureBatches(features, labels, batch_size, seed), FeatureBatches(*validation, batch_size)
    try:
        with without_retracing_warnings():
            history = model.fit(
                training,
                validation_data=held_out,
                epochs=epochs,
                callbacks=[stopping, progress, keras.callbacks.TerminateOnNaN()],
                shuffle=False,  # the batches do it, by their seed
                verbose=0,
            ).history
    finally:
        training.release()
        held_out.release()
    if not np.isfinite(history.get("val_loss", [np.nan])).any():
        raise ValueError(
            "Training the head diverged: its loss became NaN. "
            f"Lower `learning_rate`. It was {float(optimizer.learning_rate):g}, with {type(optimizer).__name__}."
        )
    return {name: [float(value) for value in values] for name, values in history.items()}


def fresh_optimizer(optimizer, learning_rate):
    """Returns an unused optimizer.

    Args:
        optimizer: Name of a Keras optimizer, or a `keras.optimizers.Optimizer`, which is copied, its rate included.
        learning_rate: Rate for an optimizer given by name.

    Raises:
        ValueError, TypeError: If there is no such optimizer or the rate is not positive.
    """
    if isinstance(optimizer, keras.optimizers.Optimizer):
        return type(optimizer).from_config(optimizer.get_config())
    if not isinstance(optimizer, str):
        raise TypeError(
            "`optimizer` must be a name or a keras.optimizers.Optimizer. "
            f"Received: {optimizer!r} of type {type(optimizer).__name__}."
        )
    if not learning_rate > 0:
        raise ValueError(f"`learning_rate` must be positive. Received: learning_rate={learning_rate!r}.")
    try:
        return keras.optimizers.get({"class_name": optimizer, "config": {"learning_rate": learning_rate}})
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"Unknown optimizer. Received: optimizer={optimizer!r}. "
            "Expected a name from keras.optimizers, such as 'adam' or 'sgd'."
        ) from error
