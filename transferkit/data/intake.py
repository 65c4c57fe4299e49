"""From what `fit` and `evaluate` are given to sources that can be worked with: read, checked, and talked about."""

import os

import numpy as np

from transferkit._utils.text import listing, plural
from transferkit.data.checks import check_classes
from transferkit.data.generators import is_stream, read_stream
from transferkit.data.quality.findings import Part, report_on
from transferkit.data.quality.inspection import inspect_in_steps, keep_readable, refuse_unreadable
from transferkit.data.quality.leaks import judge_leaks, tell_in_brief
from transferkit.data.quality.similarity import has_imagehash
from transferkit.data.source import as_source


def labelled_source(x, y, on_bad_image, console, class_names=None):
    """Makes a `Source` of images that can all be read, with labels.

    Args:
        x: Images; see `as_source`.
        y: Labels, or `None` for a class folder.
        on_bad_image: `"raise"` or `"skip"`.
        console: Told what was ignored on the way.
        class_names: Classes that labels may have, in order; default: those that occur.
    """
    return keep_readable(_labelled(x, y, console, class_names), on_bad_image, console)


def _labelled(x, y, console, class_names=None):
    source = as_source(x, y, class_names=class_names, needs_labels=True)
    for note in source.notes:
        console.note(note)
    return source


def training_sources(x, y, validation_data, steps, console, *, on_bad_image, on_leak, image_size):
    """Makes the sources of `fit`.

    Args:
        x: Images, or a generator of batches.
        y: Labels, or `None` for a class folder or a generator.
        validation_data: Class folder, pair `(x, y)`, generator of batches, or `None`.
        steps: Numbers of batches to read from generators, `(training, validation)`.
        console: Told what there is, what was ignored and what is unusual.
        on_bad_image: `"raise"` or `"skip"`.
        on_leak: `"warn"`, `"raise"` or `"drop"`.
        image_size: `(height, width)` of the model's input in pixels.

    Returns:
        `(training, validation, groups)`: two `Source`, the second `None` without `validation_data`; and `(n,)` int64
        for the first, the same number for duplicates of each other, which a split should keep together.

    Raises:
        ValueError: If `validation_data` is of another form, or there are too few images or classes.
        ImageReadError: If images cannot be read.
        LeakError: If training images are duplicates of validation images, and `on_leak` forbids it.
    """
    is_folder = isinstance(validation_data, str | os.PathLike)
    is_pair = isinstance(validation_data, tuple | list) and len(validation_data) == 2
    if is_stream(validation_data):
        *validation_data, notes = read_stream(validation_data, steps[1], "validation_steps")
        is_pair = True
        for note in notes:
            console.note(note)
    if validation_data is not None and not is_folder and not is_pair:
        raise ValueError("`validation_data` must be a class folder or a pair (x, y), without weights.")
    if is_stream(x):
        x, y, notes = read_stream(x, steps[0])
        for note in notes:
            console.note(note)
    sources = {"training": _labelled(x, y, console)}
    if validation_data is not None:
        pair = (validation_data, None) if is_folder else validation_data
        sources["validation"] = _labelled(*pair, console, sources["training"].class_names)
    groups, sources = _checked(sources, console, on_bad_image, on_leak, image_size)
    source = sources["training"]
    check_classes(source, fewest=1 if validation_data is not None else 2)
    console.note(f"{plural(len(source), 'image')} of {len(source.class_names)} classes: {listing(source.class_names)}")
    return source, sources.get("validation"), groups


def _checked(sources, console, on_bad_image, on_leak, image_size):
    """Looks at all images once. Returns the groups of the training images and the sources, without what has to go."""
    parts = {}
    for name, source in sources.items():
        inspection = inspect_in_steps(source, console, has_thumbnails=has_imagehash())
        refuse_unreadable(inspection, on_bad_image, console)
        parts[name] = Part(source, inspection)
    report = report_on(parts, image_size)
    left_out = judge_leaks(report, on_leak, console)
    tell_in_brief(report, image_size, console)
    rows = {name: part.inspection.readable for name, part in parts.items()}
    rows["training"] = np.setdiff1d(rows["training"], left_out)
    for name, source in sources.items():
        if len(rows[name]) < len(source):
            sources[name] = source.take(rows[name])
    return report.groups["training"][rows["training"]], sources
