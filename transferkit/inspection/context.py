"""What a report remembers of the classifier that it is about."""

import math
import os
from typing import Any

import numpy as np

from transferkit.fitted import FittedClassifier

_OF_THE_MACHINE = ("backbone", "compute", "verbose")  # the first is said by its name


def context_of(fitted: FittedClassifier) -> dict[str, Any]:
    """Returns what a report remembers of its classifier, ready for JSON and without any folder of this machine.

    Args:
        fitted: A `FittedClassifier`.

    Returns:
        Dict with `backbone`, its name; `image_size`; `phases`, their titles; `settings`, the arguments by name, those
        that JSON does not know as `{"repr": …}`; `history`; `versions`; `data`, how many images were trained and chosen
        on.
    """
    settings = {name: value for name, value in fitted.parameters.items() if name not in _OF_THE_MACHINE}
    if isinstance(settings.get("weights"), str | os.PathLike):
        settings["weights"] = os.path.basename(settings["weights"])
    return {
        "backbone": fitted.backbone.name,
        "image_size": list(fitted.image_format.image_size),
        "phases": [phase.title for phase in fitted.phases],
        "settings": {name: _for_json(value) for name, value in settings.items()},
        "history": {name: [_for_json(value) for value in column] for name, column in fitted.history.items()},
        "versions": dict(fitted.versions),
        "data": {
            "training images": len(fitted.split.training),
            "validation images": len(fitted.split.validation) or "none: cross-validated",
        },
    }


def _for_json(value):
    """A value as JSON holds it: numbers that are not finite as `None`, what it does not know by its `repr`."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, list | tuple) and all(isinstance(each, str | int | float) for each in value):
        return [_for_json(each) for each in value]
    return {"repr": repr(value)}
