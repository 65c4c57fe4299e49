"""From what was seen of every image to what is wrong with them together."""

from typing import NamedTuple

import numpy as np

from transferkit.data.quality.duplicates import duplicate_groups, exact_groups, members_of
from transferkit.data.quality.inspection import Inspection
from transferkit.data.quality.report import DataReport, ImageRef, UnreadableImage
from transferkit.data.source import Source

_FEWEST = 10  # images that a class should have
_FAR_SMALLER = 0.5  # of a side of the model's input


class Inspected(NamedTuple):
    """One subset of the data, and what was seen of it."""

    source: Source
    inspection: Inspection


def report_on(inspected, image_size=None, notes=()):
    """Puts together what inspections have seen.

    Args:
        inspected: Dict from the name of a subset to its `Inspected`; the first one is trained on.
        image_size: `(height, width)` of the model's input in pixels, or `None`.
        notes: Sentences for the report.

    Returns:
        A `DataReport`.
    """
    starts = np.cumsum([0, *(len(seen.source) for seen in inspected.values())])
    exact, joined = _groups([seen.inspection for seen in inspected.values()])
    contents = np.bincount(np.unique(np.stack([joined, exact], axis=1), axis=0)[:, 0])  # how many each group has

    names = list(inspected)

    def refs(rows):
        places = np.searchsorted(starts, rows, side="right") - 1
        return tuple(
            _ref(inspected, names[place], int(row - starts[place])) for place, row in zip(places, rows, strict=True)
        )

    return DataReport(
        counts={name: len(seen.source) for name, seen in inspected.items()},
        unreadable=tuple(
            UnreadableImage(_ref(inspected, name, index), reason)
            for name, seen in inspected.items()
            for index, _, reason in seen.inspection.failures
        ),
        exact_duplicates=tuple(map(refs, members_of(exact))),
        near_duplicates=tuple(map(refs, members_of(joined, contents[joined] > 1))),
        rare_classes=_rare_classes(next(iter(inspected.values()))),
        small_images={} if image_size is None else {name: _small(seen, image_size) for name, seen in inspected.items()},
        class_differences=_class_differences({name: seen.source for name, seen in inspected.items()}),
        groups=dict(zip(names, np.split(joined, starts[1:-1]), strict=True)),
        notes=tuple(notes),
    )


def _ref(inspected, name, index):
    source = inspected[name].source
    return ImageRef(name, index, source.name(index), _label(source, index))


def _label(source, index):
    """The label of an image, or `None`; where it can have any number of labels, a tuple of them, in order."""
    return None if source.labels is None else source.task.label_of(source, index)


def _groups(inspections):
    """Numbers of exact duplicates and of all duplicates, over all subsets. What cannot be read is like nothing else."""
    is_readable = np.concatenate([np.isin(np.arange(len(seen.sizes)), seen.readable) for seen in inspections])
    prints = np.concatenate([seen.prints for seen in inspections])[is_readable]
    thumbnails = None
    if all(seen.thumbnails is not None for seen in inspections):
        thumbnails = np.concatenate([seen.thumbnails for seen in inspections])[is_readable]
    return (_spread(groups, is_readable) for groups in (exact_groups(prints), duplicate_groups(prints, thumbnails)))


def _spread(groups, is_readable):
    """Numbers for all images: those of the readable ones, and one of its own for each of the others."""
    result = np.empty(len(is_readable), np.int64)
    result[is_readable] = groups
    result[~is_readable] = groups.max(initial=-1) + 1 + np.arange(np.count_nonzero(~is_readable))
    return result


def _rare_classes(training):
    source = training.source
    if source.labels is None:
        return {}
    counts = source.task.class_counts(source, training.inspection.readable)
    return {name: int(n) for name, n in zip(source.class_names.tolist(), counts, strict=True) if n < _FEWEST}


def _small(seen, image_size):
    rows = seen.inspection.readable
    return rows[(seen.inspection.sizes[rows] < _FAR_SMALLER * np.asarray(image_size)).any(axis=1)]


def _class_differences(sources):
    """What each subset lacks of the classes of the first one, and has beyond them."""
    classes = {name: _classes(source) for name, source in sources.items() if source.labels is not None}
    known = next(iter(classes.values()), [])
    differences = {}
    for name, found in classes.items():
        difference = {
            "missing": [label for label in known if label not in found],
            "unknown": [label for label in found if label not in known],
        }
        if any(difference.values()):
            differences[name] = difference
    return differences


def _classes(source):
    """Classes that occur, in order."""
    counts = source.task.class_counts(source)
    return [name for name, n in zip(source.class_names.tolist(), counts, strict=True) if n]
