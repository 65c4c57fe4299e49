"""From labels to what a model is asked for: codes, and rows of numbers where an image is more than one class."""

from typing import Literal, get_args

import numpy as np

from transferkit._utils.text import listing, natural_key
from transferkit.data.labels.codes import encode_labels, label_array, read_labels, refuse_unknown
from transferkit.data.labels.missing import is_missing
from transferkit.tasks.find import MULTICLASS, MULTILABEL

TaskName = Literal["auto", "multiclass", "binary", "multilabel"]
TASKS = get_args(TaskName)

_ROUNDING = 1e-3  # by which soft labels may miss a sum of 1


def check_task(task):
    """Raises `ValueError` unless `task` is known."""
    if task not in TASKS:
        raise ValueError(f"`task` must be one of {', '.join(map(repr, TASKS))}. Received: task={task!r}.")


def encode_targets(labels, num_images, class_names=None, task="auto", *, ordered=False):
    """Turns labels, in whatever container, into the fields of a `Source` that are about them.

    Args:
        labels: See `transferkit.data.labels.codes.read_labels`.
        num_images: How many images there are.
        class_names: Classes that labels may have, in the order of their codes; default: those that occur, sorted, or
            the columns.
        task: One of `TASKS`: what labels may be. `"auto"`: as they look.
        ordered: Whether to keep the classes in order of appearance instead of sorting them.

    Returns:
        A dict of `labels` and `class_names` and, unless each image is of one class, `targets` and `task`.

    Raises:
        TypeError: If it is no sequence.
        ValueError: If lengths differ, labels are missing, of no usable kind, unknown or do not suit the task.
    """
    read = read_labels(labels, task, None if class_names is None else len(class_names))
    if len(read.values) != num_images:
        raise ValueError(
            f"`x` and `y` must have the same length. Received: {num_images} images and {len(read.values)} labels."
        )
    _check_kind(read, task)
    if read.kind == "classes":
        codes, names = encode_labels(read.values, class_names, ordered=ordered)
        return {"labels": codes, "class_names": _two_if_binary(names, task)}
    if read.kind == "sets":
        (targets, names), kind = encode_sets(read.values, class_names), MULTILABEL
    else:
        targets, names, kind = encode_matrix(read.values, read.columns, class_names, task)
    return {
        "labels": kind.stand_in_codes(targets),
        "class_names": _two_if_binary(names, task),
        "targets": targets,
        "task": kind,
    }


def _check_kind(read, task):
    """Raises `ValueError` if labels of this kind do not suit the task."""
    if read.kind == "classes" and task == "multilabel":
        raise ValueError(
            "With task='multilabel', `y` must hold a list or set of labels for each image, or a column for each class. "
            f"Received: {read.values.tolist()[0]!r} for the first image. `Table(..., separator='|')` divides cells of "
            "a table."
        )
    if read.kind == "sets" and task in ("multiclass", "binary"):
        place = next((i for i, row in enumerate(read.values) if len(row) != 1), 0)
        raise ValueError(
            f"With task={task!r}, `y` must hold one label for each image. Received: {read.values[place]!r} at "
            f"position {place}."
        )


def _two_if_binary(names, task):
    if task == "binary" and len(names) != 2:
        raise ValueError(f"With task='binary' there must be two classes. Received: {listing(names.tolist(), 20)}.")
    return names


def encode_matrix(matrix, columns=None, class_names=None, task="auto"):
    """Turns a matrix of labels into targets.

    Args:
        matrix: `(n, num_columns)`: 0 and 1, or shares that sum to 1 for each image.
        columns: Names of the columns, or `None`: columns are classes in their order.
        class_names: Classes that are known, or `None`: those that the columns name, otherwise their numbers. Columns
            with names are put into the order of the classes; a class without a column has no images.
        task: One of `TASKS`.

    Returns:
        `(targets, class_names, task)`: float32 `(n, num_classes)`, and the `Task` that they belong to.

    Raises:
        ValueError: If it is of another shape, holds other values, or has columns that are not among the classes.
    """
    if matrix.dtype.kind not in "iufb" or not np.isfinite(matrix.astype(float)).all():
        raise ValueError("`y` with a column for each class must hold finite numbers, none missing (NaN).")
    matrix = matrix.astype("float32")
    if columns is not None:
        _refuse_repeated(columns)
    if class_names is None:
        names = np.arange(matrix.shape[1]) if columns is None else columns
    else:
        names = np.asarray(class_names)
        matrix = _in_order_of(names, matrix, columns)
    sums_to_one = np.abs(matrix.sum(axis=1) - 1).max() <= _ROUNDING and matrix.min() >= 0
    is_binary = np.isin(matrix, (0, 1)).all()
    if is_binary and (task == "multilabel" or (task == "auto" and not sums_to_one)):
        return matrix, names, MULTILABEL
    if sums_to_one and task != "multilabel":
        # Shares that were rounded get a sum of exactly 1.
        return matrix / matrix.sum(axis=1, keepdims=True), names, MULTICLASS
    expected = "0 and 1" if task == "multilabel" else "shares that sum to 1 for each image (soft labels), or 0 and 1"
    raise ValueError(
        f"`y` with a column for each class must hold {expected}. Received: values from {matrix.min():g} to "
        f"{matrix.max():g}, rows that sum to {matrix.sum(axis=1).min():g} up to {matrix.sum(axis=1).max():g}."
    )


def _refuse_repeated(columns):
    names, counts = np.unique(columns, return_counts=True)
    if (counts > 1).any():
        twice = listing(map(repr, names[counts > 1].tolist()))
        raise ValueError(f"`y` must have one column for each class. Received: several columns called {twice}.")


def _in_order_of(names, matrix, columns):
    """Columns in the order of the classes that are known: by name if they have any, otherwise as they are."""
    is_numbered = columns is not None and columns.tolist() == list(range(len(columns)))
    if columns is None or (is_numbered and not set(columns.tolist()) <= set(names.tolist())):
        if matrix.shape[1] != len(names):
            raise ValueError(
                f"`y` must have a column for each of {len(names)} classes: {listing(names.tolist(), 20)}. "
                f"Received: shape {matrix.shape}."
            )
        return matrix
    refuse_unknown(columns.tolist(), names)
    places = {name: place for place, name in enumerate(names.tolist())}
    ordered = np.zeros((len(matrix), len(names)), matrix.dtype)
    ordered[:, [places[column] for column in columns.tolist()]] = matrix
    return ordered


def encode_sets(rows, class_names=None):
    """Turns a set of labels for each image, which may be empty, into targets.

    Args:
        rows: `n` lists of int or str.
        class_names: Labels that may occur, in order; default: those that do, sorted.

    Returns:
        `(targets, class_names)`: float32 `(n, num_classes)` of 0 and 1.

    Raises:
        ValueError: If labels are missing, of several kinds, or not among `class_names`.
    """
    _refuse_missing_in_sets(rows)
    kinds = {type(label) for row in rows for label in row}
    if len(kinds) > 1 or not kinds <= {int, str}:
        names = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise ValueError(f"Labels must be all integers or all strings. Received: labels of type {names}.")
    found = {label for row in rows for label in row}
    if class_names is not None:
        names = np.asarray(class_names)
        refuse_unknown(found, names)
    elif found:
        names = label_array(sorted(found, key=natural_key) if kinds == {str} else sorted(found))
    else:
        raise ValueError("No image has a label. Expected at least two labels among all images. Received: empty sets.")
    codes = {name: code for code, name in enumerate(names.tolist())}
    targets = np.zeros((len(rows), len(names)), "float32")
    for row, own in zip(targets, rows, strict=True):
        row[[codes[label] for label in own]] = 1
    return targets, names


def _refuse_missing_in_sets(rows):
    place = next((i for i, row in enumerate(rows) if any(map(is_missing, row))), None)
    if place is not None:
        raise ValueError(
            "Labels are missing inside a set of labels; an image without labels has an empty set. "
            f"Received: {rows[place]!r} at position {place}."
        )
