"""Transfer learning of image classifiers with Keras 3: raw pixels in, probabilities out.

The public names are loaded when they are first used: `import transferkit` alone does not import TensorFlow.
"""

from typing import TYPE_CHECKING

from transferkit._utils.lazy import loader_of
from transferkit._version import __version__

if TYPE_CHECKING:
    from transferkit.backbones.backbone import Backbone
    from transferkit.backbones.custom import backbone_from_model
    from transferkit.backbones.registry import get_backbone, list_backbones, register_backbone
    from transferkit.backbones.stages import Stage
    from transferkit.classifier import TransferClassifier
    from transferkit.data.augmentation.augmentation import Augmentation
    from transferkit.data.checks import Checks
    from transferkit.data.inputs.tables import Table
    from transferkit.data.quality.check import check_data
    from transferkit.data.quality.report import DataReport
    from transferkit.data.resizing import ImageFormat
    from transferkit.data.splits import Split
    from transferkit.evaluation.comparison import Comparison, compare
    from transferkit.evaluation.label_errors import LabelError, LabelErrors
    from transferkit.evaluation.learning import LearningCurve
    from transferkit.evaluation.multilabel import MultilabelReport
    from transferkit.evaluation.report import EvaluationReport
    from transferkit.exceptions import ArchiveError, ImageReadError, LeakError, WeightsUnavailableError
    from transferkit.fitted import FittedClassifier
    from transferkit.frozen.compute import Compute
    from transferkit.inspection.explanations import Explanation, Explanations
    from transferkit.inspection.maps import ImageMap
    from transferkit.inspection.predictions import FilePrediction
    from transferkit.inspection.sets import PredictionSets
    from transferkit.models.heads import Head
    from transferkit.training.phases import Phase
    from transferkit.training.rate_finder import RateCurve
    from transferkit.training.rates import Constant, Cosine, ExponentialDecay, OneCycle, ReduceOnPlateau, StepDecay

__all__ = [
    "ArchiveError",
    "Augmentation",
    "Backbone",
    "Checks",
    "Comparison",
    "Compute",
    "Constant",
    "Cosine",
    "DataReport",
    "EvaluationReport",
    "Explanation",
    "Explanations",
    "ExponentialDecay",
    "FilePrediction",
    "FittedClassifier",
    "Head",
    "ImageFormat",
    "ImageMap",
    "ImageReadError",
    "LabelError",
    "LabelErrors",
    "LeakError",
    "LearningCurve",
    "MultilabelReport",
    "OneCycle",
    "Phase",
    "PredictionSets",
    "RateCurve",
    "ReduceOnPlateau",
    "Split",
    "Stage",
    "StepDecay",
    "Table",
    "TransferClassifier",
    "WeightsUnavailableError",
    "__version__",
    "backbone_from_model",
    "check_data",
    "compare",
    "get_backbone",
    "list_backbones",
    "register_backbone",
]

_HOMES = {
    "ArchiveError": "exceptions",
    "Augmentation": "data.augmentation.augmentation",
    "Backbone": "backbones.backbone",
    "Checks": "data.checks",
    "Comparison": "evaluation.comparison",
    "Compute": "frozen.compute",
    "Constant": "training.rates",
    "Cosine": "training.rates",
    "DataReport": "data.quality.report",
    "EvaluationReport": "evaluation.report",
    "Explanation": "inspection.explanations",
    "Explanations": "inspection.explanations",
    "ExponentialDecay": "training.rates",
    "FilePrediction": "inspection.predictions",
    "FittedClassifier": "fitted",
    "Head": "models.heads",
    "ImageFormat": "data.resizing",
    "ImageMap": "inspection.maps",
    "ImageReadError": "exceptions",
    "LabelError": "evaluation.label_errors",
    "LabelErrors": "evaluation.label_errors",
    "LeakError": "exceptions",
    "LearningCurve": "evaluation.learning",
    "MultilabelReport": "evaluation.multilabel",
    "OneCycle": "training.rates",
    "Phase": "training.phases",
    "PredictionSets": "inspection.sets",
    "RateCurve": "training.rate_finder",
    "ReduceOnPlateau": "training.rates",
    "Split": "data.splits",
    "Stage": "backbones.stages",
    "StepDecay": "training.rates",
    "Table": "data.inputs.tables",
    "TransferClassifier": "classifier",
    "WeightsUnavailableError": "exceptions",
    "backbone_from_model": "backbones.custom",
    "check_data": "data.quality.check",
    "compare": "evaluation.comparison",
    "get_backbone": "backbones.registry",
    "list_backbones": "backbones.registry",
    "register_backbone": "backbones.registry",
}

__getattr__ = loader_of(__name__, _HOMES)


def __dir__():
    return sorted(__all__)
