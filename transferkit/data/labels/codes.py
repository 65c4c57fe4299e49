"""Labels as the user gives them: read in one way, whatever holds them, and put into integer codes."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from transferkit._utils.text import listing, natural_key
from transferkit.data.labels.missing import is_missing, missing_places

_ROW_TYPES = (list, tuple, set, frozenset)
_EXACT = 2.0**53  # from here on floats cannot tell one integer from the next
_FLAGS_AS_TEXT = frozenset({"0", "1", "0.0", "1.0"})


@dataclass(frozen=True)
class Labels:
    """Labels in one of three forms, the same for every container that they come in.

    Attributes:
        kind: `"classes"`: one label for each image; `"columns"`: a number for each image and class; `"sets"`: any
            number of labels for each image.
        values: An array `(n,)` of integers, strings or truth values; an array `(n, num_columns)` of numbers; or a list
            of `n` lists.
        columns: Names of the columns, where the container has some, or `None`.
    """

    kind: str
    values: Any
    columns: np.ndarray | None = None


def read_labels(labels, task="auto", num_classes=None):
    """Reads labels out of whatever holds them, and decides which of the three kinds they are.

    The container does not count: a matrix, a list of its rows, a column of a data frame that holds them and a sparse
    matrix are read alike. What counts is the row of each image:

    - no row but a label: `"classes"`, and so are rows of one label each, unless `task` is `"multilabel"`;
    - sets, rows of several lengths and rows of strings: `"sets"`;
    - rows of one length with floats, with truth values or with 0 and 1 only: `"columns"`;
    - lists of other integers: `"sets"`; arrays of them: `"columns"`, which are refused later on.

    Args:
        labels: A sequence, array, sparse matrix, tensor, or column or frame of pandas or the like.
        task: What labels may be, see `transferkit.data.labels.targets.TASKS`.
        num_classes: Number of classes, where these are known.

    Returns:
        `Labels`.

    Raises:
        TypeError: If it is no sequence.
        ValueError: If labels are missing or of no usable kind, or could be of two kinds.
    """
    content = _content(labels)
    if isinstance(content, np.ndarray):
        return Labels("columns", content, _column_names(labels)) if content.ndim == 2 else _classes(content)
    if not any(map(_is_row, content)):
        return _classes(content)
    _refuse_images_without_a_row(content)
    rows = [row if isinstance(row, _ROW_TYPES) else _as_array(row) for row in content]
    columns = _column_names(labels)
    kind = _kind_of_rows(rows, task, num_classes) if columns is None else "columns"
    if kind == "classes":
        return _classes([row[0] for row in rows])
    if kind == "sets":
        return Labels(kind, [[_plain(label) for label in row] for row in rows])
    return Labels(kind, _number_matrix(rows), columns)


def _classes(values):
    return Labels("classes", label_array(values))


def _column_names(labels):
    if not hasattr(labels, "columns") or len(getattr(labels, "shape", ())) != 2:
        return None
    names = list(labels.columns)
    return None if len(names) < 2 else label_array(names)


def _content(labels):
    """What a container holds: an array of plain values, `(n,)` or a matrix of numbers, or a list of `n` entries."""
    content = list(labels) if isinstance(labels, list | tuple) else _as_array(labels)
    if isinstance(content, str | bytes | dict | set | frozenset) or not hasattr(content, "__len__"):
        raise TypeError(f"`y` must be a sequence of labels, one for each image. Received: {labels!r}.")
    if not isinstance(content, np.ndarray):
        return _stacked(list(content))
    if content.ndim not in (1, 2):
        raise ValueError(
            "`y` must hold one label for each image, or a row with a column for each class. "
            f"Received: an array of shape {content.shape}."
        )
    is_plain = content.dtype.kind in "iufb" and (content.ndim == 1 or content.shape[1] > 1)
    return content if is_plain or (content.dtype.kind == "U" and content.ndim == 1) else _stacked(list(content))


def _stacked(entries):
    """Rows that are arrays of numbers, of one length, as the matrix that they were taken from."""
    are_rows = all(isinstance(row, np.ndarray) and row.ndim == 1 and row.dtype.kind in "iufb" for row in entries)
    lengths = {len(row) for row in entries} if are_rows else set()
    return np.stack(entries) if len(lengths) == 1 and max(lengths) > 1 else entries


def _as_array(values):
    """An array of what is like one: a sparse matrix, a tensor, a column or a frame. Other sequences stay."""
    if isinstance(values, np.ndarray):
        return values
    for method in ("toarray", "to_numpy"):
        if hasattr(values, method):
            return np.asarray(getattr(values, method)())
    return np.asarray(values) if hasattr(values, "__array__") else values


def _is_row(value):
    if isinstance(value, str | bytes | np.generic | int | float) or value is None:
        return False
    return isinstance(value, _ROW_TYPES) or (hasattr(value, "__array__") and np.ndim(value) == 1)


def _refuse_images_without_a_row(rows):
    wrong = [place for place, row in enumerate(rows) if not _is_row(row)]
    if wrong:
        raise ValueError(
            f"Each image needs a list or set of labels, empty for none. Received: {rows[wrong[0]]!r} at position "
            f"{wrong[0]}, and {len(wrong) - 1} more like it."
        )


def _kind_of_rows(rows, task, num_classes):
    lengths = {len(row) for row in rows}
    if len(lengths) > 1 or lengths == {0} or any(isinstance(row, set | frozenset) for row in rows):
        return "sets"
    if lengths == {1}:
        return "sets" if task == "multilabel" else "classes"
    values = [_plain(value) for row in rows for value in row]
    if all(isinstance(value, str) and value in _FLAGS_AS_TEXT for value in values):
        raise ValueError(
            "`y` with a column for each class must hold numbers. Received: the texts "
            f"{listing(map(repr, sorted(set(values))))}. `np.asarray(y, 'float32')` makes numbers of them."
        )
    if not all(isinstance(value, int | float) or is_missing(value) for value in values):
        return "sets"
    if all(type(value) is int for value in values) and not any(isinstance(row, np.ndarray) for row in rows):
        return _kind_of_integer_lists(rows, values, task, num_classes)
    return "columns"


def _kind_of_integer_lists(rows, values, task, num_classes):
    """Integers are numbers of classes, or what stands in their columns."""
    if not set(values) <= {0, 1}:
        return "sets"
    could_be_sets = all(len(set(row)) == len(row) for row in rows)  # [0, 1] and [1, 0] only
    if not could_be_sets or task in ("multiclass", "binary"):
        return "columns"
    if num_classes not in (None, len(rows[0])):
        return "sets"
    raise ValueError(
        f"`y` can be read in two ways: {list(rows[0])!r} may be a row with a column for each of two classes, or the "
        "labels 0 and 1. Give `np.array(y)` for columns, or `[set(row) for row in y]` for labels."
    )


def _plain(value):
    """A value as one of Python's own types; bytes as text."""
    if hasattr(value, "__array__") and not np.ndim(value):
        value = np.asarray(value).item()
    return value.decode() if isinstance(value, bytes) else value


def _number_matrix(rows):
    """Rows of numbers as an array `(n, num_columns)`."""
    if missing_places(_plain(value) for row in rows for value in row):
        raise ValueError("`y` with a column for each class must hold numbers, none missing (NaN).")
    return np.array([[_plain(value) for value in row] for row in rows])


def label_array(values):
    """Turns one label for each image into an array `(n,)` of integers, strings or truth values.

    Raises:
        ValueError: If a label is missing, the labels are of several kinds, or of one that is none of these.
    """
    array = values if isinstance(values, np.ndarray) and values.dtype.kind in "iufbU" else _typed(values)
    _refuse_missing(array)
    if array.dtype.kind == "f":
        array = _integers(array)
    if array.dtype.kind not in "iuUb":
        raise ValueError(
            f"Labels must be integers or strings. Received: labels of type {array.dtype}, such as {array[0]!r}."
        )
    return array


def _typed(values):
    """Labels of only strings, only numbers or only truth values as an array of that type."""
    labels = [_plain(value) for value in values]
    _refuse_missing(labels)
    kinds = {_kind(label) for label in labels}
    if len(kinds) != 1 or not kinds <= {str, int, float, bool}:
        names = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise ValueError(f"Labels must be all integers or all strings, none missing. Received: labels of type {names}.")
    if kinds == {str}:
        _refuse_cut_text(labels)
    if kinds == {int} and not all(-(2**63) <= label < 2**63 for label in labels):
        raise ValueError(f"Labels must be integers of 64 bits, or strings. Received: {max(labels, key=abs)}.")
    return np.array(labels, kinds.pop())


def _kind(label):
    # `bool` stands before `int`, of which it is a subclass.
    return next((kind for kind in (str, bool, int, float) if isinstance(label, kind)), type(label))


def _refuse_missing(labels):
    if not isinstance(labels, np.ndarray) or labels.dtype.kind in "fU":
        missing = missing_places(labels.tolist() if isinstance(labels, np.ndarray) else labels)
        if missing:
            raise ValueError(
                f"Labels are missing: {len(missing)} of {len(labels)}, the first at position {missing[0]}. Give each "
                f"image a label, or leave out those without one. Received: {labels[missing[0]]!r}."
            )


def _refuse_cut_text(labels):
    """An array of strings drops what NumPy takes for padding, so that two labels would become one."""
    cut = [label for label in labels if label.endswith("\0")]
    if cut:
        raise ValueError(f"Labels must not end with the character NUL. Received: {listing(map(repr, cut), 3)}.")


def _integers(array):
    """Whole floats as integers; others stay as they are, and are refused by their type."""
    if not np.isfinite(array).all():
        raise ValueError("Labels must be integers or strings. Received: an infinite number.")
    is_exact = np.array_equal(array, np.round(array)) and (abs(array) <= _EXACT).all()
    return array.astype("int64") if is_exact else array


def names_of(codes, names):
    """Puts names in place of codes `(n,)`, or of lists of codes, which become sets of names."""
    names = np.asarray(names)
    if any(map(_is_row, codes)):
        return [set(names[np.asarray(row, int)].tolist()) for row in codes]
    return names[np.asarray(codes)]


def encode_labels(labels, class_names=None, *, ordered=False):
    """Turns labels into codes.

    Args:
        labels: `(n,)`, from `label_array`.
        class_names: Classes that may occur, in the order of their codes; default: those that occur, sorted.
        ordered: Whether to keep the classes in order of appearance instead of sorting them.

    Returns:
        `(codes, class_names)`: int64 `(n,)` and an array `(num_classes,)` of the labels' own type.

    Raises:
        ValueError: If a label is not among `class_names`.
    """
    if class_names is not None:
        refuse_unknown(labels.tolist(), class_names)
        order = {name: code for code, name in enumerate(np.asarray(class_names).tolist())}
        return np.array([order[label] for label in labels.tolist()], dtype="int64"), np.asarray(class_names)
    names, first, codes = np.unique(labels, return_index=True, return_inverse=True)
    if ordered:
        order = np.argsort(first)
        names, codes = names[order], np.argsort(order)[codes]
    return codes.astype("int64"), names


def refuse_unknown(labels, class_names):
    """Raises `ValueError` if any label is not among the classes that are known."""
    names = np.asarray(class_names).tolist()
    unknown = sorted(set(labels) - set(names), key=natural_key)
    if unknown:
        raise ValueError(
            f"Labels that are not among the classes of the training data: {listing(map(repr, unknown))}. "
            f"Known classes: {listing(map(repr, names), 20)}."
        )
