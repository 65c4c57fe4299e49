"""What a model computes, as a short text: the same for two models that compute the same in the same way."""

import inspect
import json
import uuid

import keras
import numpy as np

from transferkit._utils.fingerprints import fingerprint

_KNOWN_LIBRARIES = ("keras", "transferkit")  # their code follows from their version
_STATES = ("trainable", "dtype")  # how a layer is used now: not what it is


def architecture_of(model):
    """Describes the layers of a model and how they are connected; names, which Keras counts up, do not matter.

    Layers of neither Keras nor this library are described by their source code, too. A model that cannot be described
    so gets a description that is never seen again. What trains and in which precision is not part of it.

    Args:
        model: A `keras.Model`.

    Returns:
        32 hexadecimal digits.
    """
    try:
        config = model.get_config()
        code = [_source_of(kind) for kind in _foreign_classes(model)]
    except (NotImplementedError, TypeError, OSError):
        return uuid.uuid4().hex
    numbers = {name: f"#{number}" for number, name in enumerate(_names(config))}
    text = json.dumps(_renamed(config, numbers), sort_keys=True, default=repr)
    return fingerprint(type(model).__name__, text, code)


def weights_of(model):
    """Returns 32 hexadecimal digits for the values of all weights of a model, in their order."""
    return fingerprint([np.asarray(weight) for weight in model.weights])


def signature_of(*models):
    """Returns 32 hexadecimal digits for what models in a row compute: layers, weights, and the Keras that runs them."""
    parts = [(architecture_of(model), weights_of(model)) for model in models]
    return fingerprint(keras.__version__, keras.config.backend(), parts)


def _foreign_classes(model):
    kinds = {type(layer) for layer in model._flatten_layers()}
    foreign = [kind for kind in kinds if kind.__module__.split(".")[0] not in _KNOWN_LIBRARIES]
    return sorted(foreign, key=lambda kind: (kind.__module__, kind.__qualname__))


def _source_of(kind):
    return kind.__qualname__, inspect.getsource(kind)


def _names(config):
    """Names of all layers in a configuration, in their order."""
    if isinstance(config, dict):
        if "class_name" in config and isinstance(config.get("config"), dict) and "name" in config["config"]:
            yield config["config"]["name"]
        if "name" in config and "layers" in config:
            yield config["name"]
        for value in config.values():
            yield from _names(value)
    elif isinstance(config, list | tuple):
        for value in config:
            yield from _names(value)


def _renamed(config, numbers):
    if isinstance(config, dict):
        return {key: _renamed(value, numbers) for key, value in config.items() if key not in _STATES}
    if isinstance(config, list | tuple):
        return [_renamed(value, numbers) for value in config]
    return numbers.get(config, config) if isinstance(config, str) else config
