"""What is done about classes of different sizes: weights of images, and what the classes are worth after training."""

from collections.abc import Mapping

import numpy as np

BALANCES = ("logit_adjustment", "oversample", "undersample", "focal", "crt", "smote")
FOCUS = 2.0  # exponent of the focal loss

_WEIGHTINGS = ("balanced", "effective_number")
_BETA = 0.999  # of the effective number of images
_UNEVEN = 3.0  # images of the largest class for each of the smallest from which on "auto" does something
_WORTH_A_NOTE = 10.0


def check_class_weight(class_weight):
    """Raises `ValueError` unless it is `None`, the name of a weighting or a dict of positive weights."""
    if class_weight is None or (isinstance(class_weight, str) and class_weight in _WEIGHTINGS):
        return
    if not isinstance(class_weight, Mapping) or not all(weight > 0 for weight in class_weight.values()):
        raise ValueError(
            "`class_weight` must be None, 'balanced', 'effective_number' or a dict from class to a positive weight. "
            f"Received: class_weight={class_weight!r}."
        )


def check_balance(balance, class_weight):
    """Raises `ValueError` unless `balance` is known, and goes together with `class_weight`."""
    if balance is not None and balance not in ("auto", *BALANCES):
        raise ValueError(
            f"`balance` must be None, 'auto', {', '.join(map(repr, BALANCES))}. Received: balance={balance!r}."
        )
    if balance is not None and class_weight is not None:
        raise ValueError(
            "`balance` and `class_weight` both make up for classes of different sizes: give one of them. "
            f"Received: balance={balance!r}, class_weight={class_weight!r}."
        )


def choose_balance(balance, labels):
    """Decides what to do about classes of different sizes.

    Args:
        balance: The argument of the classifier.
        labels: `(n,)` integer codes of the training images.

    Returns:
        `(balance, note)`: one of `BALANCES` or `None`, and a sentence for the user or `None`.
    """
    counts = np.bincount(labels)
    ratio = counts.max() / counts[counts > 0].min()
    if balance == "auto":
        chosen = "logit_adjustment" if ratio >= _UNEVEN else None
        return chosen, f"The largest class is {ratio:.1f} times as large as the smallest: balance={chosen!r}."
    if balance is None and ratio >= _WORTH_A_NOTE:
        return None, (
            f"The largest class is {ratio:.0f} times as large as the smallest. Rare classes will be found less often; "
            "`balance` makes up for it."
        )
    return balance, None


def class_weights(class_weight, labels, class_names):
    """Turns what the user asked for into one weight for each class.

    Args:
        class_weight: `None`; `"balanced"`: `n / (num_classes * count)` for each class, so that all count alike;
            `"effective_number"`: proportional to `(1 - b) / (1 - b ** count)` with `b = 0.999`, which is the former for
            rare classes but treats all classes of more than some thousand images alike (Cui et al., CVPR 2019); or a
            dict from class name to weight, 1 for classes that it does not name. The mean over the images is 1 for the
            first two.
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
        weights = 1 / counts if class_weight == "balanced" else 1 / (1 - _BETA**counts)
        return (weights / weights[labels].mean()).astype("float32")
    unknown = [name for name in class_weight if name not in names]
    if unknown:
        raise ValueError(f"`class_weight` names classes that are not in the data: {unknown}. The classes are: {names}.")
    return np.array([class_weight.get(name, 1.0) for name in names], "float32")


def image_weights(class_weight, source, training=None):
    """Returns the weight of each image in the loss, `(n,)` float32: that of its class times its own; or `None`.

    Args:
        class_weight: See `class_weights`.
        source: A labelled `Source`.
        training: The `Source` whose classes `class_weight` is about. Default: the same.
    """
    training = training or source
    by_class = class_weights(class_weight, training.labels, training.class_names)
    if by_class is None:
        return source.weights
    return by_class[source.labels] if source.weights is None else by_class[source.labels] * source.weights


def log_prior(labels, num_classes, weights=None):
    """Returns the logarithm of the share of each class, `(num_classes,)` float32.

    A class without images counts as one with a single image.

    Args:
        labels: `(n,)` integer codes.
        num_classes: Number of classes.
        weights: `(n,)` weights of the images, or `None`.
    """
    counts = np.bincount(labels, weights, num_classes)
    counts = np.where(np.bincount(labels, minlength=num_classes) > 0, counts, 1)
    return np.log(counts / counts.sum()).astype("float32")
