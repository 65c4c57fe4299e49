"""Transfer learning of image classifiers with Keras 3: raw pixels in, probabilities out.

The public names are loaded when they are first used: `import transferkit` alone does not import TensorFlow.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from transferkit._version import __version__

if TYPE_CHECKING:
    from transferkit.backbones.backbone import Backbone
    from transferkit.backbones.custom import backbone_from_model
    from transferkit.backbones.registry import list_backbones, register_backbone
    from transferkit.backbones.stages import Stage
    from transferkit.classifier import TransferClassifier
    from transferkit.data.augmentation.augmentation import Augmentation
    from transferkit.data.checks import Checks
    from transferkit.data.inputs.tables import Table
    from transferkit.data.quality.check import check_data
    from transferkit.data.quality.report import DataReport
    from transferkit.data.resizing import ImageFormat
    from transferkit.evaluation.multilabel import MultilabelReport
    from transferkit.evaluation.report import EvaluationReport
    from transferkit.exceptions import ArchiveError, ImageReadError, LeakError, WeightsUnavailableError
    from transferkit.fitted import FittedClassifier
    from transferkit.frozen.compute import Compute
    from transferkit.models.heads import Head
    from transferkit.training.phases import Phase

__all__ = [
    "ArchiveError",
    "Augmentation",
    "Backbone",
    "Checks",
    "Compute",
    "DataReport",
    "EvaluationReport",
    "FittedClassifier",
    "Head",
    "ImageFormat",
    "ImageReadError",
    "LeakError",
    "MultilabelReport",
    "Phase",
    "Stage",
    "Table",
    "TransferClassifier",
    "WeightsUnavailableError",
    "__version__",
    "backbone_from_model",
    "check_data",
    "list_backbones",
    "register_backbone",
]

_HOMES = {
    "ArchiveError": "exceptions",
    "Augmentation": "data.augmentation.augmentation",
    "Backbone": "backbones.backbone",
    "Checks": "data.checks",
    "Compute": "frozen.compute",
    "DataReport": "data.quality.report",
    "EvaluationReport": "evaluation.report",
    "FittedClassifier": "fitted",
    "Head": "models.heads",
    "ImageFormat": "data.resizing",
    "ImageReadError": "exceptions",
    "LeakError": "exceptions",
    "MultilabelReport": "evaluation.multilabel",
    "Phase": "training.phases",
    "Stage": "backbones.stages",
    "Table": "data.inputs.tables",
    "TransferClassifier": "classifier",
    "WeightsUnavailableError": "exceptions",
    "backbone_from_model": "backbones.custom",
    "check_data": "data.quality.check",
    "list_backbones": "backbones.registry",
    "register_backbone": "backbones.registry",
}


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module 'transferkit' has no attribute {name!r}")
    value = getattr(import_module(f"transferkit.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted(__all__)
