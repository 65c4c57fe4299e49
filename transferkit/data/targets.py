"""Labels that are more than one class for each image: one-hot and soft labels, and sets of labels."""

import numpy as np

from transferkit._utils.text import listing, natural_key

TASKS = ("auto", "multiclass", "binary", "multilabel")

_ROUNDING = 1e-3  # by which soft labels may miss a sum of 1


def check_task(task):
    """Raises `ValueError` unless `task` is known."""
    if task not in TASKS:
        raise ValueError(f"`task` must be one of {', '.join(map(repr, TASKS))}. Received: task={task!r}.")


def is_label_matrix(labels):
    """Whether labels are a matrix with a column for each class."""
    shape = getattr(labels, "shape", None)
    if shape is None and _is_sequence(labels) and len(labels) and all(isinstance(row, list | tuple) for row in labels):
        same_length = len({len(row) for row in labels}) == 1
        is_numeric = all(isinstance(value, int | float | np.number) for row in labels for value in row)
        return same_length and is_numeric and len(labels[0]) > 1 and {v for row in labels for v in row} <= {0, 1}
    return shape is not None and len(shape) == 2 and shape[1] > 1


def is_label_sets(labels):
    """Whether labels are a collection of labels for each image."""
    if not _is_sequence(labels) or is_label_matrix(labels) or getattr(labels, "ndim", 1) != 1:
        return False
    return any(isinstance(row, list | tuple | set | frozenset | np.ndarray) for row in labels)


def _is_sequence(labels):
    return hasattr(labels, "__len__") and hasattr(labels, "__getitem__") and not isinstance(labels, str)


def encode_matrix(labels, num_images, class_names=None, task="auto"):
    """Turns a matrix of labels into targets.

    Args:
        labels: `(n, num_classes)`: 0 and 1, or shares that sum to 1 for each image. A data frame's columns are classes.
        num_images: How many images there are.
        class_names: Names of the columns; default: those of a data frame, otherwise their numbers.
        task: One of `TASKS`.

    Returns:
        `(targets, class_names, is_multilabel)`: the first float32 `(n, num_classes)`.

    Raises:
        ValueError: If it is of another shape, or holds other values.
    """
    matrix = np.asarray(labels.to_numpy() if hasattr(labels, "to_numpy") else labels)
    own_names = getattr(labels, "columns", range(matrix.shape[1]))
    names = np.asarray(list(own_names) if class_names is None else class_names)
    if matrix.shape != (num_images, len(names)):
        raise ValueError(
            f"`y` must have a row for each of {num_images} images and a column for each of {len(names)} classes. "
            f"Received: shape {matrix.shape}."
        )
    if matrix.dtype.kind not in "iufb" or not np.isfinite(matrix.astype(float)).all():
        raise ValueError("`y` with a column for each class must hold numbers, none missing (NaN).")
    matrix = matrix.astype("float32")
    sums_to_one = np.abs(matrix.sum(axis=1) - 1).max() <= _ROUNDING and matrix.min() >= 0
    is_binary = np.isin(matrix, (0, 1)).all()
    if is_binary and (task == "multilabel" or (task == "auto" and not sums_to_one)):
        return matrix, names, True
    if sums_to_one and task != "multilabel":
        return matrix / matrix.sum(axis=1, keepdims=True), names, False
    expected = "0 and 1" if task == "multilabel" else "shares that sum to 1 for each image (soft labels), or 0 and 1"
    raise ValueError(
        f"`y` with a column for each class must hold {expected}. Received: values from {matrix.min():g} to "
        f"{matrix.max():g}, rows that sum to {matrix.sum(axis=1).min():g} up to {matrix.sum(axis=1).max():g}."
    )


def encode_sets(labels, num_images, class_names=None):
    """Turns a set of labels for each image, which may be empty, into targets.

    Args:
        labels: `(n,)` of lists, tuples or sets of int or str.
        num_images: How many images there are.
        class_names: Labels that may occur, in order; default: those that do, sorted.

    Returns:
        `(targets, class_names)`: float32 `(n, num_classes)` of 0 and 1.

    Raises:
        ValueError: If labels are missing, of several kinds, or not among `class_names`.
    """
    if len(labels) != num_images:
        raise ValueError(
            f"`x` and `y` must have the same length. Received: {num_images} images and {len(labels)} sets of labels."
        )
    missing = [i for i, row in enumerate(labels) if not isinstance(row, list | tuple | set | frozenset | np.ndarray)]
    if missing:
        raise ValueError(
            f"Each image needs a list or set of labels, empty for none. Received: {labels[missing[0]]!r} at position "
            f"{missing[0]}, and {len(missing) - 1} more like it."
        )
    rows = [[label.item() if isinstance(label, np.generic) else label for label in row] for row in labels]
    found = {label for row in rows for label in row}
    kinds = {type(label) for label in found}
    if len(kinds) > 1 or not kinds <= {int, str}:
        names = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise ValueError(f"Labels must be all integers or all strings. Received: labels of type {names}.")
    names = np.array(sorted(found, key=natural_key) if kinds == {str} else sorted(found))
    if class_names is not None:
        names = np.asarray(class_names)
        if unknown := sorted(found - set(names.tolist()), key=natural_key):
            raise ValueError(
                f"Labels that are not among the classes of the training data: {listing(map(repr, unknown))}. "
                f"Known classes: {listing(map(repr, names.tolist()), 20)}."
            )
    codes = {name: code for code, name in enumerate(names.tolist())}
    targets = np.zeros((num_images, len(names)), "float32")
    for row, own in zip(targets, rows, strict=True):
        row[[codes[label] for label in own]] = 1
    return targets, names


def stand_in_codes(targets, is_multilabel):
    """One class for each image, `(n,)` int64, for what has to divide images in proportion.

    The most likely one of soft labels; of sets of labels the rarest, or the most frequent class for an empty set.
    """
    if not is_multilabel:
        return targets.argmax(axis=1).astype("int64")
    counts = targets.sum(axis=0)
    by_rarity = np.where(targets > 0, -counts, -np.inf)
    return np.where(targets.any(axis=1), by_rarity.argmax(axis=1), counts.argmax()).astype("int64")
