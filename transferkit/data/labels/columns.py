"""What else the user says of each image, beside its label: checked, as arrays."""

import numpy as np

from transferkit.data.labels.missing import missing_places


def as_weights(sample_weight, num_images):
    """Brings weights to float32 `(n,)`; `None` stays `None`.

    Raises:
        ValueError: If there is not one finite weight of at least 0 for each image, or all are 0.
    """
    if sample_weight is None:
        return None
    weights = np.asarray(sample_weight)
    weights = weights.astype("float32") if weights.dtype.kind in "iufb" else weights
    _check_length(weights, num_images, "sample_weight")
    if weights.dtype.kind != "f" or not np.isfinite(weights).all() or weights.min() < 0 or not weights.any():
        raise ValueError(
            f"`sample_weight` must hold finite numbers from 0, not all of them 0. Received: {_describe(weights)}."
        )
    return weights


def as_groups(groups, num_images):
    """Brings groups to an array of integer codes `(n,)`; `None` stays `None`.

    Raises:
        ValueError: If there is not one group for each image.
    """
    if groups is None:
        return None
    # Python's own objects: an array of text would cut "a\0" to "a", and make "1" of the number 1.
    groups = np.asarray(groups if hasattr(groups, "__array__") else np.fromiter(groups, object))
    _check_length(groups, num_images, "groups")
    values = groups.tolist()
    if missing := missing_places(values):
        raise ValueError(
            f"`groups` are missing for {len(missing)} of {num_images} images, the first at position {missing[0]}. Give "
            f"an image that belongs to nothing else a group of its own. Received: {values[missing[0]]!r}."
        )
    codes = {group: code for code, group in enumerate(_in_order(set(values)))}
    return np.array([codes[group] for group in values], "int64")


def _in_order(groups):
    try:
        return sorted(groups)
    except TypeError:  # of several kinds
        return sorted(groups, key=lambda group: (str(group), type(group).__name__))


def _check_length(values, num_images, name):
    if values.shape != (num_images,):
        raise ValueError(
            f"`{name}` must have one entry for each image. "
            f"Received: {num_images} images and an array of shape {values.shape}."
        )


def _describe(weights):
    if weights.dtype.kind != "f":
        return f"dtype {weights.dtype}"
    if not np.isfinite(weights).all():
        return "NaN or infinite values"
    return f"values from {weights.min():g} to {weights.max():g}"


def as_subsets(subsets, num_images):
    """Brings the names of subsets to an array of strings `(n,)`; `None` stays `None`."""
    if subsets is None:
        return None
    subsets = np.asarray(subsets)
    _check_length(subsets, num_images, "subsets")
    return subsets
