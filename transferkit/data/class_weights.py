"""Weights of classes, and of images by their classes."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, get_args

import numpy as np

Weighting = Literal["balanced", "effective_number"]
_WEIGHTINGS = get_args(Weighting)
_BETA = 0.999  # of the effective number of images


def check_class_weight(class_weight):
    """Raises `ValueError` unless it is `None`, the name of a weighting or a dict of positive weights."""
    if class_weight is None or (isinstance(class_weight, str) and class_weight in _WEIGHTINGS):
        return
    if not isinstance(class_weight, Mapping) or not all(map(_is_weight, class_weight.values())):
        raise ValueError(
            "`class_weight` must be None, 'balanced', 'effective_number' or a dict from class to a positive weight. "
            f"Received: class_weight={class_weight!r}."
        )


def _is_weight(value):
    return isinstance(value, int | float | np.number) and 0 < value < np.inf


def class_sizes(source):
    """Returns the number of images of each class, `(num_classes,)`; for soft labels, the sum of their shares in it."""
    if source.targets is None:
        return np.bincount(source.labels, minlength=len(source.class_names))
    return source.targets.sum(axis=0, dtype="float64")


def class_weights(class_weight, sizes, class_names):
    """Turns what the user asked for into one weight for each class.

    Args:
        class_weight: `None`; `"balanced"`: `n / (num_classes * count)` for each class, so that all count alike;
            `"effective_number"`: proportional to `(1 - b) / (1 - b ** count)` with `b = 0.999`, which is the former for
            rare classes but treats all classes of more than some thousand images alike (Cui et al., CVPR 2019); or a
            dict from class name to weight, 1 for classes that it does not name. The mean over the images is 1 for the
            first two.
        sizes: `(num_classes,)`, from `class_sizes`.
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
        # A class without images has no part in the mean, so any size but 0 will do for it.
        counts = np.where(sizes > 0, sizes, 1)
        weights = 1 / counts if class_weight == "balanced" else 1 / (1 - _BETA**counts)
        return (weights / np.average(weights, weights=sizes)).astype("float32")
    unknown = [name for name in class_weight if name not in names]
    if unknown:
        raise ValueError(f"`class_weight` names classes that are not in the data: {unknown}. The classes are: {names}.")
    return np.array([class_weight.get(name, 1.0) for name in names], "float32")


def weights_of_classes(class_weight, source):
    """Weight of each class of a labelled `Source`, or `None`; see `class_weights`."""
    return class_weights(class_weight, class_sizes(source), source.class_names)


def weigh(source, by_class):
    """Makes weights of classes part of those of images.

    The log loss of an image with soft labels is a sum over the classes. With each term weighted by its class, it is the
    loss of renormalised shares, and the sum of the weighted shares becomes the weight of the image.

    Args:
        source: A labelled `Source`.
        by_class: `(num_classes,)` float32 weights of the classes, or `None`.

    Returns:
        The `Source` with other weights and, if it has soft labels, other targets.
    """
    if by_class is None:
        return source
    targets = source.targets
    if targets is None:
        weights = by_class[source.labels]
    else:
        shares = targets * by_class
        weights = shares.sum(axis=1)
        targets = shares / weights[:, None]
    own = weights if source.weights is None else weights * source.weights
    return replace(source, targets=targets, weights=own)


def log_prior(source):
    """Returns the logarithm of the share of each class in the weights of images, `(num_classes,)` float32.

    A class without images counts as one with a single image.
    """
    weights = np.ones(len(source)) if source.weights is None else source.weights.astype("float64")
    if source.targets is None:
        counts = np.bincount(source.labels, weights, len(source.class_names))
    else:
        counts = weights @ source.targets
    counts = np.where(counts > 0, counts, 1)
    return np.log(counts / counts.sum()).astype("float32")
