"""Labels as the user gives them ↔ integer codes. Inside the library classes are integers."""

import numpy as np

from transferkit._utils.text import listing, natural_key


def encode_labels(labels, num_images, class_names=None, *, ordered=False):
    """Turns labels into codes.

    Args:
        labels: One int or str for each image.
        num_images: How many images there are.
        class_names: Classes that may occur, in the order of their codes; default: those that occur, sorted.
        ordered: Whether to keep the classes in order of appearance instead of sorting them.

    Returns:
        `(codes, class_names)`: int64 `(n,)` and an array `(num_classes,)` of the labels' own type.

    Raises:
        ValueError: If lengths differ, a label is missing or of no usable kind, or is not among `class_names`.
    """
    labels = _as_label_array(labels)
    if len(labels) != num_images:
        raise ValueError(
            f"`x` and `y` must have the same length. Received: {num_images} images and {len(labels)} labels."
        )
    if class_names is not None:
        return _codes_among(labels, np.asarray(class_names)), np.asarray(class_names)
    names, first, codes = np.unique(labels, return_index=True, return_inverse=True)
    if ordered:
        order = np.argsort(first)
        names, codes = names[order], np.argsort(order)[codes]
    return codes.astype("int64"), names


def _as_label_array(labels):
    labels = labels.to_numpy() if hasattr(labels, "to_numpy") else labels
    if isinstance(labels, str) or not hasattr(labels, "__len__"):
        raise TypeError(f"`y` must be a sequence of labels, one for each image. Received: {labels!r}.")
    array = labels if isinstance(labels, np.ndarray) else _object_array(labels)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(
            f"`y` must hold one label for each image. Received: an array of shape {array.shape}. "
            "For one-hot labels pass `y.argmax(axis=1)`."
        )
    if array.dtype.kind == "O":
        array = _plain_labels(array)
    if array.dtype.kind == "f":
        array = _integers(array)
    if array.dtype.kind not in "iuUb":
        raise ValueError(
            f"Labels must be integers or strings. Received: labels of type {array.dtype}, such as {array[0]!r}."
        )
    return array


def _object_array(labels):
    """A list as an array that keeps every label as it is; a list of lists as a matrix."""
    if any(isinstance(label, list | tuple | np.ndarray) for label in labels):
        return np.asarray(labels)
    array = np.empty(len(labels), object)
    array[:] = list(labels)
    return array


def _plain_labels(array):
    """An object array of only strings, only numbers or only truth values as an array of that type."""
    kinds = {_kind(label) for label in array}
    if len(kinds) == 1 and (kind := next(iter(kinds))) in (str, int, float, bool):
        return array.astype(kind)
    names = ", ".join(sorted(kind.__name__ for kind in kinds))
    raise ValueError(f"Labels must be all integers or all strings, none missing. Received: labels of type {names}.")


def _kind(label):
    for kind, numpy_kind in ((str, np.str_), (bool, np.bool_), (int, np.integer), (float, np.floating)):
        if isinstance(label, kind | numpy_kind):
            return kind
    return type(label)


def _integers(array):
    """Whole floats as integers."""
    missing = np.flatnonzero(np.isnan(array))
    if len(missing):
        raise ValueError(
            f"Labels are missing (NaN): {len(missing)} of {len(array)}, the first at position {missing[0]}."
        )
    whole = np.round(array)
    return whole.astype("int64") if np.array_equal(array, whole) else array


def _codes_among(labels, class_names):
    order = {name: code for code, name in enumerate(class_names.tolist())}
    unknown = sorted({label for label in labels.tolist() if label not in order}, key=natural_key)
    if unknown:
        raise ValueError(
            f"Labels that are not among the classes of the training data: {listing(map(repr, unknown))}. "
            f"Known classes: {listing(map(repr, class_names.tolist()), 20)}."
        )
    return np.array([order[label] for label in labels.tolist()], dtype="int64")
