"""Data sets of Hugging Face `datasets`, and the data sources of TensorFlow Datasets, known by how they look."""

import numpy as np

from transferkit.data.inputs.raw_data import RawData
from transferkit.data.labels.codes import names_of
from transferkit.data.source import Column

_IMAGE_NAMES = ("image", "img")
_LABEL_NAMES = ("label", "labels", "fine_label")


def is_hub_dataset(x):
    """Whether `x` looks like a data set of one of the two libraries, or like a dict of such data sets."""
    if isinstance(x, dict):
        return bool(x) and all(map(is_hub_dataset, x.values()))
    return _features(x) is not None and hasattr(x, "__getitem__") and hasattr(x, "__len__")


def read_hub_dataset(x):
    """Takes the images, labels and classes of a data set. Images are read when they are needed.

    Args:
        x: What `is_hub_dataset` says yes to.

    Returns:
        A `RawData`.

    Raises:
        ValueError: If it is a dict of data sets, or no column with images can be found.
    """
    if isinstance(x, dict):
        raise ValueError(f"Give one part of the data set: x[{next(iter(x))!r}]. Received: the parts {list(x)}.")
    features = _features(x)
    name = _find(features, "Image", _IMAGE_NAMES)
    if name is None:
        raise ValueError(f"The data set has no column of images. Its columns are: {list(features)}.")
    label = _find(features, "ClassLabel", _LABEL_NAMES)
    if label is None:
        return RawData(Column(x, name))
    # Hugging Face gives a column without decoding the images beside it.
    labels = list(x[label] if hasattr(x, "column_names") else (x[i][label] for i in range(len(x))))
    kind = features[label]
    names = getattr(kind, "names", None) or getattr(
        getattr(kind, "feature", None), "names", None
    )  # of a list of labels
    if names is None or any(isinstance(value, str) for value in labels):
        return RawData(Column(x, name), labels)
    missing = sum(value is None or np.any(np.less(value, 0)) for value in labels)
    if missing:
        raise ValueError(
            f"Labels are missing: {missing} of {len(labels)} are -1 or None. Was this part of the data set published "
            "without labels?"
        )
    return RawData(Column(x, name), names_of(labels, names), np.array(names))


def _features(x):
    """What the columns hold: a mapping from names to types."""
    features = getattr(x, "features", None)
    if features is None:
        features = getattr(getattr(x, "dataset_info", None), "features", None)
    return features if hasattr(features, "keys") else None


def _find(features, kind, names):
    """The column of a kind; where there are several or none, one with a usual name."""
    of_kind = [name for name in features if type(features[name]).__name__ == kind]
    usual = [name for name in names if name in of_kind] or [name for name in names if name in features]
    return of_kind[0] if len(of_kind) == 1 else next(iter(usual or of_kind), None)
