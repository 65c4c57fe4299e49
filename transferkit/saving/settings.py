"""Constructor arguments of a classifier ↔ plain JSON. No pickle anywhere."""

import dataclasses
import os
import warnings
from collections.abc import Mapping

import keras
import numpy as np

from transferkit.backbones.custom import describe_model
from transferkit.backbones.registry import get_backbone, list_backbones
from transferkit.backbones.stages import Stage
from transferkit.data.augmentation.augmentation import Augmentation, as_augmentation
from transferkit.data.augmentation.sources import is_image_data_generator
from transferkit.data.checks import Checks
from transferkit.data.resizing import ImageFormat
from transferkit.models.heads import Head
from transferkit.training.phases import Phase
from transferkit.training.rates import SCHEDULES

_RECORDS = {record.__name__: record for record in (Augmentation, Checks, Head, ImageFormat, Phase, *SCHEDULES)}
_KERAS = keras.optimizers.Optimizer | keras.optimizers.schedules.LearningRateSchedule | keras.layers.Layer

_OF_THE_MACHINE = ("compute", "verbose")


def parameters_to_json(parameters):
    """Turns constructor arguments into what JSON can hold, as far as they belong to the model.

    `backbone` is stored as the network. What says how to work on this machine stays here, and so does the folder of a
    weights file: they would travel with a model that is published.
    """
    plain = {name: value for name, value in parameters.items() if name not in ("backbone", *_OF_THE_MACHINE)}
    if plain["weights"] is not None:
        plain["weights"] = os.path.basename(plain["weights"])
    if is_image_data_generator(plain["augmentation"]):
        plain["augmentation"], _ = as_augmentation(plain["augmentation"])
    return {name: to_json(value) for name, value in plain.items()}


def parameters_from_json(plain):
    """Undoes `parameters_to_json`."""
    parameters = {}
    for name, value in plain.items():
        try:
            parameters[name] = from_json(value)
        except (TypeError, ValueError) as error:  # a class of the user that is not registered with Keras
            warnings.warn(
                f"`{name}` could not be read back and has its default: {error} Prediction does not need it. "
                "To keep it, decorate its class with `keras.saving.register_keras_serializable()`.",
                stacklevel=3,
            )
    if isinstance(parameters.get("image_size"), list):
        parameters["image_size"] = tuple(parameters["image_size"])
    return parameters


def to_json(value):
    """Turns a value of ours, of Keras or of NumPy, or a collection of them, into what JSON can hold."""
    if isinstance(value, _KERAS):
        return {"keras": keras.saving.serialize_keras_object(value)}
    if type(value).__name__ in _RECORDS:
        fields = {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {"class": type(value).__name__, "fields": fields}
    if isinstance(value, Mapping):
        # As pairs: keys of JSON objects are text, and those of `class_weight` may be integers.
        return {"items": [[to_json(key), to_json(item)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value.item() if isinstance(value, np.generic) else value


def from_json(plain):
    """Undoes `to_json`. Tuples come back as lists."""
    if isinstance(plain, list):
        return [from_json(item) for item in plain]
    if not isinstance(plain, dict):
        return plain
    if "keras" in plain:
        return keras.saving.deserialize_keras_object(plain["keras"], safe_mode=True)
    if "class" in plain:
        return _RECORDS[plain["class"]](**{name: from_json(value) for name, value in plain["fields"].items()})
    return {from_json(key): from_json(value) for key, value in plain["items"]}


def backbone_to_json(backbone):
    """Describes a `Backbone` so that it can be found, or made again out of the saved network."""
    return {
        "name": backbone.name,
        "scaling": backbone.scaling,
        "image_size": list(backbone.image_size),
        "stages": [dataclasses.asdict(stage) for stage in backbone.stages],
    }


def backbone_from_json(plain, network, phases=()):
    """Finds the backbone that `backbone_to_json` described.

    Args:
        plain: What that gave.
        network: The saved network, which backbones that are not registered are made of.
        phases: What the classifier was trained by.

    Returns:
        The name of a registered backbone; for others a `Backbone`, marked if the phases have changed its weights.
    """
    if plain["name"] in list_backbones() and backbone_to_json(get_backbone(plain["name"])) == plain:
        return plain["name"]
    stages = [Stage(**stage) for stage in plain["stages"]]
    backbone = describe_model(network, scaling=plain["scaling"], image_size=plain["image_size"], stages=stages)
    is_fine_tuned = not all(phase.trains_head_only for phase in phases)
    return dataclasses.replace(backbone, name=plain["name"], is_fine_tuned=is_fine_tuned)
