"""What training is asked for: the arguments of a classifier, and what follows from them once the labels are known."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from transferkit._utils import console
from transferkit.backbones.backbone import Backbone
from transferkit.data.augmentation.augmentation import as_augmentation
from transferkit.data.checks import Checks
from transferkit.data.class_weights import weights_of_classes
from transferkit.data.resizing import ImageFormat
from transferkit.frozen.compute import Compute
from transferkit.models.freezing import weighted_stages
from transferkit.models.heads import LOGISTIC, Head
from transferkit.training.balance.methods import Balance, find_balance
from transferkit.training.loop import Options
from transferkit.training.optimizers import own_rate
from transferkit.training.phases import RecipeContext, make_phases


@dataclass(frozen=True)
class Request:
    """The arguments of a classifier, checked, and what some of them stand for.

    Attributes:
        parameters: The arguments by name.
        backbone: The `Backbone`.
        image_format: The `ImageFormat`, with a size.
    """

    parameters: Mapping[str, Any]
    backbone: Backbone
    image_format: ImageFormat

    @property
    def head(self) -> Head:
        """The shape of the head."""
        return LOGISTIC if self.has_logistic_head else self.parameters["head"]

    @property
    def has_logistic_head(self) -> bool:
        """Whether the head can be solved."""
        return self.parameters["head"] == "logistic"

    @property
    def seed(self) -> int:
        """The seed."""
        return self.parameters["seed"]

    @property
    def checks(self) -> Checks:
        """How bad images and leaks are handled."""
        return self.parameters["checks"] or Checks()

    @property
    def compute(self) -> Compute:
        """How this machine computes."""
        return self.parameters["compute"] or Compute()

    @property
    def has_augmentation_of_its_own(self) -> bool:
        """Whether the user chose an augmentation, which then applies to heads, too."""
        return not is_auto(self.parameters["augmentation"])

    def augmenter(self, default="light"):
        """Returns what augments images while the backbone trains, and notes; see `as_augmentation`.

        Args:
            default: What to use where nothing was chosen.
        """
        chosen = self.parameters["augmentation"] if self.has_augmentation_of_its_own else default
        return as_augmentation(chosen, self.seed, self.image_format.channels)


@dataclass(frozen=True)
class Settings:
    """What training needs besides images and phases.

    Attributes:
        backbone: The `Backbone`.
        image_format: The `ImageFormat`.
        compute: The `Compute`.
        options: The `Options` of what an optimizer trains.
        batch_size: Images a step.
        seed: The seed.
        validation_split: Share of the images that choose the epoch.
        class_weight: The argument of the classifier.
        balance: The `Balance`.
        augmenter: From `as_augmentation`, or `None`.
        augments_heads: Whether phases that train the head only are augmented, too.
    """

    backbone: Backbone
    image_format: ImageFormat
    compute: Compute
    options: Options
    batch_size: int
    seed: int
    validation_split: float
    class_weight: Any
    balance: Balance
    augmenter: Any
    augments_heads: bool

    def augmenter_for(self, phase):
        """Returns what augments the images of a phase, or `None`."""
        return self.augmenter if self.augments_heads or not phase.trains_head_only else None

    def views_of_solved(self, phase):
        """How many versions of each image a solved head is fitted to: several only if both were asked for."""
        is_number = phase is not None and isinstance(phase.views, int | np.integer)
        return phase.views if self.augments_heads and is_number else 1


def make_settings(request, source=None, callbacks=()):
    """Makes the `Settings` of a classifier.

    Args:
        request: The `Request`.
        source: Labelled `Source` of the training images, or `None` where there are none yet.
        callbacks: Keras callbacks.

    Returns:
        `Settings`.

    Raises:
        ValueError: If `class_weight` names classes that are not there, or it or `balance` do not go with any number of
            labels for each image.
    """
    parameters, own = request.parameters, getattr(source, "augmentation", None)
    augmenter, notes = request.augmenter("light" if own is None else own)
    for note in notes:
        console.note(note)
    is_chosen = request.has_augmentation_of_its_own or own is not None
    balance = Balance() if source is None else _balance_of(parameters, source)
    task = {} if source is None else {"task": source.task}
    options = Options(parameters["optimizer"], tuple(callbacks or ()), focus=balance.focus, **task)
    kept = {name: parameters[name] for name in ("batch_size", "seed", "validation_split", "class_weight")}
    return Settings(
        request.backbone,
        request.image_format,
        request.compute,
        options,
        **kept,
        balance=balance,
        augmenter=augmenter,
        augments_heads=augmenter is not None and is_chosen,
    )


def _balance_of(parameters, source):
    """Returns the `Balance`, checked, as `class_weight` is, against the labels that there are."""
    class_weight, balance = parameters["class_weight"], parameters["balance"]
    source.task.check_balancing(class_weight, balance)
    weights_of_classes(class_weight, source)  # an error for classes that are not there
    return find_balance(balance, source.labels, class_weight)


def plan_phases(request, components, num_images):
    """Turns the schedule of a classifier into phases.

    Args:
        request: The `Request`.
        components: `Components` of the classifier.
        num_images: Number of images to train on.

    Returns:
        `(phases, reason)`, see `make_phases`.
    """
    network, parameters = components.network, request.parameters
    context = RecipeContext(
        head_is_logistic=request.has_logistic_head,
        stages=weighted_stages(network, request.backbone.stages),
        num_images=num_images,
        num_classes=components.head.output_shape[-1],
        image_size=network.input_shape[1:3],
        has_gpu=bool(keras.distribution.list_devices("gpu")),
    )
    return make_phases(parameters["schedule"], context, parameters["epochs"], rate_of(parameters))


def rate_of(parameters):
    """Returns the rate of phases that state none: what was asked for, else the optimizer's own, else `None`."""
    rate = parameters["learning_rate"]
    return own_rate(parameters["optimizer"]) if rate is None else rate


def is_auto(value):
    """Whether a value is the word `"auto"`; arrays and layers, which compare in their own ways, are not."""
    return isinstance(value, str) and value == "auto"
