"""Tables with one row for each image: CSV files and data frames."""

import csv
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from transferkit._utils.text import listing
from transferkit.data.inputs.raw_data import SUBSETS, RawData
from transferkit.data.labels.missing import is_missing

_DELIMITERS = {".csv": ",", ".tsv": "\t"}


@dataclass(frozen=True)
class Table:
    """A table with one row for each image, as `fit`, `evaluate` and `predict` take it.

    A CSV file or a data frame with the columns `path` and `label` can be given to them as it is; this says what other
    columns mean. Columns of the table that are not named are ignored.

    Args:
        data: Path of a `.csv` (commas) or `.tsv` (tabs) file with a header in UTF-8, or a data frame of pandas, polars
            or the like, or a dict from column names to sequences.
        x: Column with the paths of the images.
        y: Column with the labels. `predict` needs none.
        weight: Column with the weight of each image in the loss, at least 0.
        group: Column with what each image belongs to; see `groups` of `TransferClassifier.fit`.
        split: Column with `train`, `validation` or `test` (or `training`, `val`, `valid`, `dev`, `testing`). `fit`
            trains on the first and chooses on the second, `evaluate` takes the third.
        separator: What divides the labels of one image in a cell, such as `"|"`, where an image has any number of them.
        root: Folder that relative paths start from. Default: the folder of the file; for a data frame, the folder that
            Python runs in.

    Example:
        >>> table = Table({"file": ["a.jpg", "b.jpg"], "species": ["ant", "bee"]}, x="file", y="species", root="photos")
        >>> table.y
        'species'
    """

    data: Any
    x: str = "path"
    y: str = "label"
    weight: str | None = None
    group: str | None = None
    split: str | None = None
    separator: str | None = None
    root: str | os.PathLike | None = None


def is_table(x):
    """Whether `x` is a table: a `Table`, the path of one, or a data frame."""
    return isinstance(x, Table) or _is_table_file(x) or _is_frame(x)


def read_table(x, y=None, needs_labels=None):
    """Reads paths, labels and the rest out of a table.

    Args:
        x: What `is_table` says yes to.
        y: Name of the column with the labels, instead of the table's own, or labels.
        needs_labels: Whether there have to be labels. `None`: they are read where there are any; `False`: only if `y`
            names their column.

    Returns:
        A `RawData`.

    Raises:
        ValueError: If a column is missing, or one of `x` or `split` holds something else.
    """
    table = x if isinstance(x, Table) else Table(x)
    columns = _columns(table.data)
    paths = _paths(table, columns)
    name = y if isinstance(y, str) else table.y
    if _is_table_file(table.data):
        _refuse_line_breaks(columns, [table.x, name, table.group, table.split], table.data)
    labels = y if y is not None and not isinstance(y, str) else None
    if labels is None and (needs_labels or isinstance(y, str) or (needs_labels is None and name in columns)):
        labels = _column(columns, name, "y")
        if table.separator is not None:
            labels = _label_sets(labels, table.separator, name)
    optional = {"sample_weight": "weight", "groups": "group", "subsets": "split"}
    found = {
        key: None if getattr(table, argument) is None else _column(columns, getattr(table, argument), argument)
        for key, argument in optional.items()
    }
    if found["sample_weight"] is not None:
        found["sample_weight"] = _numbers(found["sample_weight"], table.weight)
    if found["subsets"] is not None:
        found["subsets"] = _subsets(found["subsets"], table.split)
    return RawData(paths, labels, **found)


def _is_table_file(x):
    return isinstance(x, str | os.PathLike) and Path(x).suffix.lower() in _DELIMITERS


def _is_frame(x):
    return hasattr(x, "columns") and hasattr(x, "__getitem__") and not hasattr(x, "features")


def _columns(data):
    if _is_table_file(data):
        return _read_file(Path(data))
    if _is_frame(data):
        return {name: data[name] for name in data.columns}
    if isinstance(data, dict):
        return data
    raise TypeError(
        "A `Table` needs the path of a .csv or .tsv file, a data frame, or a dict of columns. "
        f"Received: data={type(data).__name__}."
    )


def _read_file(path):
    try:
        header, *rows = _numbered_rows(path) or [(1, [])]
    except UnicodeDecodeError as error:
        raise ValueError(f"Table {str(path)!r} must be a text file in UTF-8. Received: {error}.") from error
    if not rows:
        raise ValueError(f"Table {str(path)!r} has no rows. Expected a header and one row for each image.")
    if twice := sorted({name for name in header[1] if header[1].count(name) > 1}):
        raise ValueError(
            f"Columns of {str(path)!r} must have different names. Received: several called {listing(map(repr, twice))}."
        )
    for number, row in rows:
        if len(row) != len(header[1]):
            raise ValueError(
                f"Line {number} of {str(path)!r} has {len(row)} columns. Expected {len(header[1])}, as in its header."
            )
    return {name: [row[i] for _, row in rows] for i, name in enumerate(header[1])}


def _numbered_rows(path):
    """Rows of a file that are not empty, each with the number of its last line."""
    # `utf-8-sig` drops the byte order mark that some spreadsheets write.
    with open(path, newline="", encoding="utf-8-sig") as file:
        # Strict, as a quotation mark that is never closed would take the lines after it for one cell.
        reader = csv.reader(file, delimiter=_DELIMITERS[path.suffix.lower()], strict=True)
        start = 1
        try:
            rows = []
            for row in reader:
                rows += [(reader.line_num, row)] if row else []
                start = reader.line_num + 1
        except csv.Error as error:
            raise ValueError(
                f"The row that begins in line {start} of {str(path)!r} cannot be read: {error}. Is a quotation mark "
                "left open? One inside a quoted cell is written twice."
            ) from error
    return rows


def _refuse_line_breaks(columns, names, path):
    """A quotation mark that is closed by the next one, lines below, leaves these in one cell."""
    for name in names:
        for row, cell in enumerate(columns.get(name, ())):
            if len(cell.splitlines()) > 1:
                raise ValueError(
                    f"A cell of column {name!r} of {os.fspath(path)!r} goes over several lines. Is a quotation mark "
                    f"left open? Received: {cell[:80]!r} in row {row}."
                )


def _label_sets(cells, separator, name):
    """The labels of each cell, as sets; empty text is none."""
    missing = [row for row, cell in enumerate(cells) if not isinstance(cell, str) and is_missing(cell)]
    if missing:
        raise ValueError(
            f"Labels are missing: {len(missing)} of {len(cells)} cells of column {name!r}, the first in row "
            f"{missing[0]}. For images without a label, give empty text, for instance by `frame[{name!r}].fillna('')`. "
            f"Received: {cells[missing[0]]!r}."
        )
    return [{label.strip() for label in str(cell).split(separator) if label.strip()} for cell in cells]


def _column(columns, name, argument):
    if name not in columns:
        advice = f"Say which one it is: `Table(..., {argument}=...)`." if argument in ("x", "y") else ""
        raise ValueError(
            f"The table has no column {name!r}. Received: {argument}={name!r}. "
            f"Its columns are: {listing(map(repr, columns), 20)}. {advice}".rstrip()
        )
    values = columns[name]
    return values.to_numpy() if hasattr(values, "to_numpy") else values


def _paths(table, columns):
    paths = list(_column(columns, table.x, "x"))
    wrong = next((i for i, path in enumerate(paths) if not isinstance(path, str | os.PathLike) or not str(path)), None)
    if wrong is not None:
        raise ValueError(f"Column {table.x!r} must hold paths of images. Received: {paths[wrong]!r} in row {wrong}.")
    root = table.root
    if root is None and _is_table_file(table.data):
        root = Path(table.data).parent
    return [os.fspath(path) for path in paths] if root is None else [os.path.join(root, path) for path in paths]


def _numbers(values, name):
    try:
        return np.asarray(values, "float64")
    except (TypeError, ValueError) as error:
        raise ValueError(f"Column {name!r} must hold numbers: {error}.") from error


def _subsets(values, name):
    subsets = [SUBSETS.get(str(value).strip().lower()) for value in values]
    unknown = sorted({str(value) for value, subset in zip(values, subsets, strict=True) if subset is None})
    if unknown:
        raise ValueError(
            f"Column {name!r} must say of each image 'train', 'validation' or 'test'. "
            f"Received: {listing(map(repr, unknown))}."
        )
    return subsets
