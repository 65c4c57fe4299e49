"""A classifier with the same decisions and other probabilities."""

import keras

from transferkit.models.assembly import assemble, components_of
from transferkit.models.heads import divide_logits


def with_temperature(model: keras.Model, temperature: float) -> keras.Model:
    """Returns an assembled model whose logits are divided by a temperature: its last Dense layer is another one.

    It shares the backbone with `model`, which stays as it is.

    Args:
        model: A classifier that `assemble` made.
        temperature: Above 0.
    """
    preprocessing, backbone, head = components_of(model)
    calibrated = keras.models.clone_model(head)
    calibrated.set_weights(head.get_weights())
    divide_logits(calibrated, temperature)
    return assemble(preprocessing, backbone, calibrated)
