"""Weights of classes in the loss."""

from collections.abc import Mapping

import numpy as np


def check_class_weight(class_weight):
    """Raises `ValueError` unless it is `None`, `"balanced"` or a dict of positive weights."""
    if class_weight is None or (isinstance(class_weight, str) and class_weight == "balanced"):
        return
    if not isinstance(class_weight, Mapping) or not all(weight > 0 for weight in class_weight.values()):
        raise ValueError(
            "`class_weight` must be None, 'balanced' or a dict from class to a positive weight. "
            f"Received: class_weight={class_weight!r}."
        )


def class_weights(class_weight, labels, class_names):
    """Turns what the user asked for into one weight for each class.

    Args:
        class_weight: `None`; `"balanced"`: `n / (num_classes * count)` for each class, so that all count alike and the
            mean over the images is 1; or a dict from class name to weight, 1 for classes that it does not name.
        labels: `(n,)` integer codes.
        class_names: Names of the classes.

    Returns:
        `(num_classes,)` float32, or `None`.

    Raises:
        ValueError: If the dict names a class that is not there.
    """
    check_class_weight(class_weight)
    if class_weight is None:
        return None
    names = np.asarray(class_names).tolist()
    if isinstance(class_weight, str):
        counts = np.maximum(np.bincount(labels, minlength=len(names)), 1)
        return (len(labels) / (len(names) * counts)).astype("float32")
    unknown = [name for name in class_weight if name not in names]
    if unknown:
        raise ValueError(f"`class_weight` names classes that are not in the data: {unknown}. The classes are: {names}.")
    return np.array([class_weight.get(name, 1.0) for name in names], "float32")
