"""Constructor arguments of a classifier ↔ plain JSON. No pickle anywhere."""

import dataclasses
import os

import keras
import numpy as np

from transferkit.backbones.custom import backbone_from_model
from transferkit.backbones.registry import get_backbone, list_backbones
from transferkit.backbones.stages import Stage
from transferkit.models.heads import Head


def parameters_to_json(parameters):
    """Turns constructor arguments into what JSON can hold, all but `backbone`."""
    plain = {name: value for name, value in parameters.items() if name != "backbone"}
    if isinstance(plain["head"], Head):
        plain["head"] = dataclasses.asdict(plain["head"])
    if isinstance(plain["optimizer"], keras.optimizers.Optimizer):
        plain["optimizer"] = keras.saving.serialize_keras_object(plain["optimizer"])
    if isinstance(plain["image_size"], tuple | list):
        plain["image_size"] = [int(side) for side in plain["image_size"]]
    weights = parameters["weights"]
    plain["weights"] = os.fspath(weights) if isinstance(weights, os.PathLike) else weights
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in plain.items()}


def parameters_from_json(plain):
    """Undoes `parameters_to_json`."""
    parameters = dict(plain)
    if isinstance(parameters["head"], dict):
        parameters["head"] = Head(**parameters["head"])
    if isinstance(parameters["optimizer"], dict):
        parameters["optimizer"] = keras.saving.deserialize_keras_object(parameters["optimizer"], safe_mode=True)
    if isinstance(parameters["image_size"], list):
        parameters["image_size"] = tuple(parameters["image_size"])
    return parameters


def backbone_to_json(backbone):
    """Describes a `Backbone` so that it can be found, or made again out of the saved network."""
    return {
        "name": backbone.name,
        "scaling": backbone.scaling,
        "image_size": list(backbone.image_size),
        "stages": [dataclasses.asdict(stage) for stage in backbone.stages],
    }


def backbone_from_json(plain, network):
    """Returns the name of a registered backbone; for others a `Backbone` made of `network`, the saved one."""
    if plain["name"] in list_backbones() and backbone_to_json(get_backbone(plain["name"])) == plain:
        return plain["name"]
    stages = [Stage(**stage) for stage in plain["stages"]]
    backbone = backbone_from_model(network, scaling=plain["scaling"], image_size=plain["image_size"], stages=stages)
    return dataclasses.replace(backbone, name=plain["name"])
