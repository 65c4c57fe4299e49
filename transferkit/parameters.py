"""The arguments of a classifier: what each may be, and what they may not be together."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from transferkit._utils.numbers import is_whole
from transferkit.backbones.registry import get_backbone
from transferkit.backbones.stages import Stage
from transferkit.data.augmentation.augmentation import as_augmentation
from transferkit.data.checks import Checks
from transferkit.data.class_weights import check_class_weight
from transferkit.data.labels.targets import check_task
from transferkit.data.resizing import as_image_format
from transferkit.data.splits import check_fraction
from transferkit.frozen.compute import Compute
from transferkit.models.heads import Head
from transferkit.training.balance.methods import check_balance
from transferkit.training.optimizers import accumulation_steps_of
from transferkit.training.phases import check_rate, check_schedule, check_stage_names
from transferkit.training.settings import Request, is_auto, rate_of


def _check_head(head: Any) -> None:
    if head != "logistic" and not isinstance(head, Head):
        raise ValueError(f"`head` must be 'logistic' or a Head. Received: head={head!r}.")


def _whole(name: str, smallest: int, may_be_none: bool = False) -> Callable[[Any], None]:
    """Returns a check for an integer from `smallest` on."""

    def check(value: Any) -> None:
        if value is None and may_be_none:
            return
        if not is_whole(value) or value < smallest:
            raise ValueError(f"`{name}` must be an integer from {smallest}. Received: {name}={value!r}.")

    return check


def _instance(name: str, kind: type) -> Callable[[Any], None]:
    """Returns a check for an object of a kind, or `None`."""

    def check(value: Any) -> None:
        if value is not None and not isinstance(value, kind):
            raise TypeError(
                f"`{name}` must be a {kind.__name__}, such as {kind.__name__}(), or None. Received: {name}={value!r}."
            )

    return check


# Arguments that are not here are checked by what uses them first, before any image is looked at: `backbone` and
# `weights` by the registry, `verbose` by the console; `schedule` and `augmentation` below, with what they depend on.
PARAMETERS: Mapping[str, Callable[[Any], Any]] = {
    "image_size": as_image_format,
    "head": _check_head,
    "task": check_task,
    "epochs": _whole("epochs", 1, may_be_none=True),
    "batch_size": _whole("batch_size", 1),
    "optimizer": accumulation_steps_of,  # an error if that is none
    "learning_rate": check_rate,
    "class_weight": check_class_weight,
    "validation_split": check_fraction,
    "checks": _instance("checks", Checks),
    "compute": _instance("compute", Compute),
    "seed": _whole("seed", 0),
}


def check_parameters(parameters: Mapping[str, Any]) -> Request:
    """Checks the arguments of a `TransferClassifier`, alone and together.

    Args:
        parameters: Dict of them, as `get_params(deep=False)` gives it.

    Returns:
        A `Request`.

    Raises:
        ValueError, TypeError: For the first one that is wrong.
    """
    backbone = get_backbone(parameters["backbone"])
    for name, check in PARAMETERS.items():
        check(parameters[name])
    check_balance(parameters["balance"], parameters["class_weight"], parameters["head"])
    _check_schedule(parameters, backbone.stages)
    _check_devices(parameters)
    image_format = as_image_format(parameters["image_size"])
    backbone.check_channels(image_format.channels)
    image_format = image_format.for_backbone(backbone.image_size)
    backbone.check_image_size(image_format.image_size)
    if not is_auto(parameters["augmentation"]):
        as_augmentation(parameters["augmentation"], parameters["seed"], image_format.channels)
    return Request(parameters, backbone, image_format)


def _check_schedule(parameters: Mapping[str, Any], stages: Sequence[Stage]) -> None:
    schedule = parameters["schedule"]
    check_schedule(schedule, parameters["head"] == "logistic", rate_of(parameters))
    if not isinstance(schedule, str):
        check_stage_names(schedule, stages)


def _check_devices(parameters: Mapping[str, Any]) -> None:
    together = accumulation_steps_of(parameters["optimizer"])
    if together > 1 and (parameters["compute"] or Compute()).strategy is not None:
        raise ValueError(
            "`gradient_accumulation_steps` of the optimizer does not work with a `strategy`: Keras cannot do both. "
            f"Received: gradient_accumulation_steps={together}."
        )
