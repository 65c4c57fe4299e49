"""A `FittedClassifier` ↔ one `.keras` file."""

import dataclasses

import numpy as np

from transferkit._utils.random import python_random_kept
from transferkit.backbones.registry import get_backbone
from transferkit.data.resizing import ImageFormat
from transferkit.data.splits import Split
from transferkit.evaluation.conformal import Conformal, Ranking
from transferkit.evaluation.familiarity import Familiarity
from transferkit.fitted import FittedClassifier
from transferkit.models.assembly import components_of
from transferkit.saving.archive import read_archive, write_archive
from transferkit.saving.settings import (
    backbone_from_json,
    backbone_to_json,
    from_json,
    parameters_from_json,
    parameters_to_json,
    to_json,
)
from transferkit.tasks.find import find_task


def save_fitted(fitted, path):
    """Writes a classifier into one file, all or nothing.

    Args:
        fitted: The `FittedClassifier`.
        path: File name that ends in `.keras`.
    """
    settings = {
        "trained_with": dict(fitted.versions),
        "class_names": fitted.class_names.tolist(),
        "image_format": _format_to_json(fitted.image_format),
        "backbone": backbone_to_json(fitted.backbone),
        "parameters": parameters_to_json(fitted.parameters),
        "history": fitted.history,
        "phases": to_json(fitted.phases),
        "split": dataclasses.asdict(fitted.split.without_root()),
        "task": fitted.task.name,
        "thresholds": None if fitted.thresholds is None else fitted.thresholds.tolist(),
        "temperature": fitted.temperature,
        "mirrors": fitted.mirrors,
        "conformal_origin": None if fitted.conformal is None else fitted.conformal.origin,
    }
    write_archive(path, fitted.model, settings, _arrays_of(fitted))


def load_fitted(path):
    """Reads what `save_fitted` wrote.

    Args:
        path: The file.

    Returns:
        A `FittedClassifier`. The argument `backbone` among its parameters is the name of a registered backbone, or a
        `Backbone` made of the saved network.

    Raises:
        FileNotFoundError: If there is no such file.
        ArchiveError: If it is damaged, was not written by `save_fitted`, or comes from a newer version.
    """
    with python_random_kept():
        model, settings, arrays = read_archive(path)
    _, network, _ = components_of(model)
    phases = tuple(from_json(settings["phases"]))
    backbone = backbone_from_json(settings["backbone"], network, phases)
    thresholds = settings["thresholds"]
    return FittedClassifier(
        model,
        get_backbone(backbone),
        _format_from_json(settings["image_format"]),
        np.asarray(settings["class_names"]),
        find_task(settings["task"]),
        None if thresholds is None else np.array(thresholds, "float32"),
        phases,
        settings["history"],
        Split(**{name: tuple(names) for name, names in settings["split"].items()}),
        {"backbone": backbone, **parameters_from_json(settings["parameters"])},
        settings["trained_with"],
        settings.get("temperature", 1.0),  # format 2 has none, nor any arrays
        _conformal_from(arrays, settings),
        _familiarity_from(arrays),
        settings.get("mirrors", False),
        arrays.get("training_prints"),
    )


def _arrays_of(fitted):
    """What is learnt from held-out images, and prints of the others, as a dict of arrays."""
    arrays = {}
    if fitted.training_prints is not None:
        arrays["training_prints"] = fitted.training_prints
    if fitted.familiarity is not None:
        arrays |= {f"familiarity_{name}": value for name, value in vars(fitted.familiarity).items()}
    if fitted.conformal is not None:
        arrays["conformal_labels"] = fitted.conformal.labels
        arrays |= {f"conformal_{name}": value for name, value in fitted.conformal.ranking._asdict().items()}
    return arrays


def _conformal_from(arrays, settings):
    if "conformal_labels" not in arrays:
        return None
    ranking = Ranking(*(arrays[f"conformal_{name}"] for name in Ranking._fields))
    return Conformal(arrays["conformal_labels"], ranking, len(settings["class_names"]), settings["conformal_origin"])


def _familiarity_from(arrays):
    if "familiarity_references" not in arrays:
        return None
    return Familiarity(arrays["familiarity_references"], arrays["familiarity_usual"])


def _format_to_json(image_format):
    return dataclasses.asdict(image_format) | {"size": list(image_format.image_size)}


def _format_from_json(plain):
    return ImageFormat(**plain | {"size": tuple(plain["size"])})
