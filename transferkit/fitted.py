"""What training gives, and all that comes after it works on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, Self, TypeVar, overload

import keras
import numpy as np

from transferkit._utils.html import html_facts
from transferkit._utils.text import listing, plural
from transferkit._utils.versions import describe_versions
from transferkit.backbones.backbone import Backbone
from transferkit.data.reader import ImageReader
from transferkit.data.resizing import ImageFormat
from transferkit.data.splits import Split
from transferkit.evaluation.conformal import Conformal
from transferkit.evaluation.familiarity import Familiarity
from transferkit.frozen.prediction import Predictor
from transferkit.tasks.task import Task

_Value = TypeVar("_Value")


@dataclass(frozen=True, eq=False, repr=False)
class FittedClassifier:
    """A trained classifier, with all that prediction, evaluation, saving and explaining it needs.

    Attributes:
        model: The whole classifier as a `keras.Model`: pixels in `[0, 255]`, of any size, to probabilities.
        backbone: The `Backbone` that was used.
        image_format: What images are brought into before the backbone sees them.
        class_names: Classes in the order of the probabilities, `(num_classes,)`, as they were given.
        task: The `Task`: what kind of labels they are.
        thresholds: Probability from which on a label is given, `(num_classes,)`, or `None` for one label an image.
        phases: The `Phase` that were run.
        history: Dict of lists; see `TransferClassifier.history_`.
        split: The `Split`: what was trained on and what chosen on.
        parameters: Arguments of the `TransferClassifier` when it was trained, its seed among them.
        versions: Version of each package that computes, by its name, when it was trained.
        temperature: What `calibrate` has divided the logits by; 1 before.
        conformal: `Conformal`, what sets of classes are calibrated on, or `None`.
        familiarity: `Familiarity`, what familiar images look like to the network, or `None`.
        mirrors: Whether mirror images are as good as others: whether augmentation has them, or would have them.
        training_prints: Prints of the training images as of `compact_prints`, `(m,)` uint64, or `None`.
    """

    model: keras.Model
    backbone: Backbone
    image_format: ImageFormat
    class_names: np.ndarray
    task: Task
    thresholds: np.ndarray | None
    phases: tuple[Any, ...]
    history: Mapping[str, list]
    split: Split
    parameters: Mapping[str, Any]
    versions: Mapping[str, str]
    temperature: float = 1.0
    conformal: Conformal | None = None
    familiarity: Familiarity | None = None
    mirrors: bool = False
    training_prints: np.ndarray | None = None

    @cached_property
    def predictor(self) -> Predictor:
        """What computes probabilities, compiled when it is first used."""
        return Predictor(self.model, self.backbone, self.image_format)

    @property
    def reader(self) -> ImageReader:
        """What reads images as training has read them."""
        return ImageReader(self.image_format)

    def __repr__(self) -> str:
        height, width = self.image_format.image_size
        phases = ", ".join(phase.title for phase in self.phases)
        labels = f"{len(self.class_names)} classes, task={self.task.name!r}"
        return f"FittedClassifier(backbone={self.backbone.name!r}, {height} x {width} px, {labels}, phases: {phases})"

    def _repr_html_(self) -> str:
        return html_facts(self._facts())

    def _facts(self) -> list[tuple[str, str]]:
        """What a person wants to know about it first, as pairs of a name and a few words."""
        height, width = self.image_format.image_size
        many = self.task.name == "multilabel"
        return [
            ("backbone", f"{self.backbone.name}, {height} × {width} px"),
            ("labels" if many else "classes", f"{len(self.class_names)}: {listing(self.class_names)}"),
            ("phases", ", then ".join(phase.title for phase in self.phases)),
            ("trained on", self._images_in_words()),
            ("validation", self._validation_in_words()),
            ("versions", describe_versions(self.versions)),
        ]

    def _images_in_words(self) -> str:
        chosen = plural(len(self.split.validation), "image") if self.split.validation else "cross-validation"
        return f"{plural(len(self.split.training), 'image')}, chosen by {chosen}"

    def _validation_in_words(self) -> str:
        """Accuracy and loss of the epoch, or strength, that was chosen."""
        losses = np.array(self.history.get("val_loss", []), "float64")
        if not np.isfinite(losses).any():
            return "nothing could be held out"
        best = int(np.nanargmin(np.where(np.isfinite(losses), losses, np.nan)))
        return f"accuracy {self.history['val_accuracy'][best]:.3f}, log loss {losses[best]:.3f}"

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: all but what predictions have compiled."""
        return {name: value for name, value in self.__dict__.items() if name != "predictor"}


def html_of_learnt(estimator: Any) -> str:
    """Returns what notebooks show of what an estimator has learnt: nothing before `fit`."""
    fitted = vars(estimator).get("fitted_")
    return "" if fitted is None else fitted._repr_html_()


class Learnt(Generic[_Value]):
    """An attribute of an estimator that is read from its `fitted_`, and that is not there before `fit`.

    Args:
        read: Function of the `FittedClassifier`.
    """

    def __init__(self, read: Callable[[FittedClassifier], _Value]):
        self._read = read

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, estimator: None, owner: type) -> Self: ...

    @overload
    def __get__(self, estimator: Any, owner: type) -> _Value: ...

    def __get__(self, estimator: Any, owner: type) -> Self | _Value:
        if estimator is None:
            return self
        if "fitted_" not in vars(estimator):  # an AttributeError, so that `hasattr` says no
            raise AttributeError(f"This {owner.__name__} is not fitted yet: `{self._name}` comes with `fit` or `load`.")
        return self._read(estimator.fitted_)

    def __set__(self, estimator: Any, value: Any) -> None:
        raise AttributeError(f"`{self._name}` shows what was learnt, and cannot be set. `fitted_` holds it.")
