"""A signature of what a model computes: the same for two models that compute the same in the same way."""

import functools
import json
import uuid

import keras
import numpy as np

from transferkit._utils.fingerprints import fingerprint
from transferkit._utils.keras import all_layers
from transferkit._utils.quiet import warnings_filtered
from transferkit.frozen.code import UnknownCodeError, describe, is_foreign

_REMARK = "The object being serialized includes a `lambda`"  # nothing is loaded from what is described here
_STATES = ("trainable", "dtype")  # how a layer is used now: not what it is


def architecture_of(model):
    """Describes the layers of a model and how they are connected; names, which Keras counts up, do not matter.

    Code that belongs to no installed library, such as that of own layers and activations, is described with all that it
    refers to (see `transferkit.frozen.code`). A model that cannot be described so for certain gets a description that
    is never seen again. What trains and in which precision is not part of it.

    Args:
        model: A `keras.Model`.

    Returns:
        32 hexadecimal digits.
    """
    try:
        with warnings_filtered(("ignore", UserWarning, _REMARK)):
            text = _text_of(model.get_config())
            code = _code_of(model)
    except (UnknownCodeError, NotImplementedError, TypeError, ValueError, AttributeError, OSError, RecursionError):
        # To compute again is only slow; to find what another model computed would be wrong.
        return uuid.uuid4().hex
    return fingerprint(type(model).__name__, text, code)


def weights_of(model):
    """Returns 32 hexadecimal digits for the values of all weights of a model, in their order."""
    return fingerprint([np.asarray(weight) for weight in model.weights])


def signature_of(*models):
    """Returns 32 hexadecimal digits for what models in a row compute: layers, weights, and the Keras that runs them."""
    components = [(architecture_of(model), weights_of(model)) for model in models]
    return fingerprint(keras.__version__, keras.config.backend(), components)


def _code_of(model):
    """Describes the code of a model that no version stands for."""
    layers = all_layers(model)
    operations = [each for layer in layers for each in getattr(layer, "operations", ()) if each not in layers]
    elsewhere = [*layers, *(variable for layer in layers for variable in layer.variables)]
    own = [layer for layer in layers + operations if is_foreign(type(layer))]
    # What own layers are made of is in their code and not in the configuration of the model.
    made_of = [_text_of({"class_name": "", "config": layer.get_config()}) for layer in layers if own]
    described = [(describe(type(layer)), describe(_own_attributes(layer), elsewhere)) for layer in own]
    given = [_given_code(layer) for layer in layers + operations if not is_foreign(type(layer))]
    return made_of, described, [describe(code, elsewhere) for code in given if code]


def _own_attributes(layer):
    """What a layer keeps besides what every layer of Keras does."""
    return {name: value for name, value in sorted(vars(layer).items()) if name not in _usual_attributes()}


def _given_code(layer):
    """Functions and objects that a layer of Keras was given, and that its configuration only names."""
    return {
        name: value
        for name, value in sorted(vars(layer).items())
        if name not in _usual_attributes() and _is_given_code(value)
    }


def _is_given_code(value):
    if isinstance(value, keras.layers.Layer | keras.KerasTensor | str | bytes):
        return False
    kind = value if callable(value) and hasattr(value, "__qualname__") else type(value)
    return is_foreign(kind)


@functools.cache
def _usual_attributes():
    # Called and compiled, since Keras adds attributes then.
    layer = keras.layers.Identity()
    layer(keras.Input((1,)))
    model = keras.Sequential([keras.Input((1,)), keras.layers.Identity()])
    model.compile()
    return frozenset(vars(layer)) | frozenset(vars(model))


def _text_of(config):
    """A configuration as text, in which the names of layers, and nothing else, are replaced by numbers."""
    numbers = {name: f"#{number}" for number, name in enumerate(dict.fromkeys(_names(config)))}
    return json.dumps(_renamed(config, numbers), sort_keys=True, default=_plain)


def _plain(value):
    if isinstance(value, np.ndarray | np.generic):
        return fingerprint(value)
    raise TypeError(f"{type(value).__name__} cannot be told from others of its kind")


def _names(config):
    """Names of all layers in a configuration, in their order."""
    if isinstance(config, dict):
        if _is_layer(config):
            yield config["config"]["name"]
        if _is_model(config):
            yield config["name"]
        for key, value in config.items():
            if key not in _STATES:
                yield from _names(value)
    elif isinstance(config, list | tuple):
        for value in config:
            yield from _names(value)


def _is_layer(config):
    return "class_name" in config and isinstance(config.get("config"), dict) and "name" in config["config"]


def _is_model(config):
    return "name" in config and "layers" in config


def _renamed(config, numbers, is_named=False):
    """Replaces names where they name a layer, or refer to one, and not where a value happens to be equal to one."""
    if isinstance(config, dict):
        is_named = is_named or _is_model(config)
        return {
            key: _renamed_entry(key, value, numbers, is_named, is_layer=_is_layer(config))
            for key, value in config.items()
            if key not in _STATES
        }
    if isinstance(config, list | tuple):
        return [_renamed(value, numbers) for value in config]
    return config


def _renamed_entry(key, value, numbers, is_named, is_layer):
    if key == "name" and (is_named or is_layer):
        return _number(value, numbers)
    if key in ("keras_history", "input_layers", "output_layers"):
        return _renamed_references(value, numbers)
    return _renamed(value, numbers, is_named=is_layer and key == "config")


def _renamed_references(value, numbers):
    """Replaces names in references to outputs of layers: `[name, call, output]`, and lists and dicts of those."""
    if isinstance(value, dict):
        return {key: _renamed_references(each, numbers) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_renamed_references(each, numbers) for each in value]
    return _number(value, numbers)


def _number(value, numbers):
    return numbers.get(value, value) if isinstance(value, str) else value
