"""From what `fit` and `evaluate` are given to sources that can be worked with: read, checked, and talked about."""

from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from transferkit._utils import console
from transferkit._utils.text import listing, plural
from transferkit.data.checks import check_classes
from transferkit.data.inputs.convert import as_source
from transferkit.data.quality.duplicates import join_groups, without_large_groups
from transferkit.data.quality.findings import Part, report_on
from transferkit.data.quality.inspection import inspect_in_steps, keep_readable, refuse_unreadable
from transferkit.data.quality.leaks import judge_leaks, tell_in_brief
from transferkit.data.quality.similarity import has_imagehash

_MOST_COMPARED = 20_000  # images among which `fit` looks for near-duplicates


def labelled_source(x, y, on_bad_image, part=None, **options):
    """Makes a `Source` of images that can all be read, with labels.

    Args:
        x: Images; see `as_source`.
        y: Labels, or `None` for what brings its own.
        on_bad_image: `"raise"` or `"skip"`.
        part: Where the user has divided the images, the part to take. Default: all.
        **options: Further arguments of `as_source`.

    Raises:
        ValueError: If there are no images of that part.
    """
    source = _labelled(x, y, part, **options)
    return keep_readable(source, on_bad_image, options.get("channels", 3))


def _labelled(x, y, part=None, **options):
    source = as_source(x, y, needs_labels=True, **options)
    for note in source.notes:
        console.note(note)
    return source if part is None or source.parts is None else _part(source, part)


def training_sources(x, y, validation_data, steps, *, checks, image_format, **columns):
    """Makes the sources of `fit`.

    Args:
        x: Images; see `as_source`.
        y: Labels, or `None` for what brings its own.
        validation_data: The same as `x`, or a tuple `(x, y)` or `(x, y, sample_weight)`, or `None`.
        steps: Numbers of batches to read from streams, `(training, validation)`.
        checks: The `Checks`.
        image_format: The `ImageFormat` of the model's input.
        **columns: `sample_weight`, `groups` and `task` of the training images.

    Returns:
        `(training, validation)`, two `Source`. The second is `None` if the user has not set any images aside.
        Duplicates among the training images belong to one group.

    Raises:
        ValueError: If `validation_data` is of another form, or there are too few images or classes.
        ImageReadError: If images cannot be read.
        LeakError: If training images are duplicates of validation images, and `on_leak` forbids it.
    """
    channels = image_format.channels
    their_x, their_y, weights = _unpack(validation_data)  # before a stream is read, which may take long
    training = _labelled(x, y, steps=steps[0], channels=channels, **columns)
    validation = None
    if training.parts is not None:
        training, validation = _divide(training, validation_data is not None)
    if validation_data is not None:
        with _named_in_errors("validation_data"):
            validation = _labelled(
                their_x, their_y, "validation", class_names=training.class_names, sample_weight=weights,
                steps=steps[1], steps_name="validation_steps", channels=channels, task=training.task.name,
            )  # fmt: skip
    sources = {"training": training} if validation is None else {"training": training, "validation": validation}
    sources = {name: _of_weight(source, name) for name, source in sources.items()}
    sources = _checked(sources, checks, image_format)
    training = sources["training"]
    for note in check_classes(training):
        console.note(note)
    console.note(
        f"{plural(len(training), 'image')} of {len(training.class_names)} classes: {listing(training.class_names)}"
    )
    return training, sources.get("validation")


def _of_weight(source, name):
    """Leaves images of weight 0 out: where nothing else is left to train or to choose on, that is an error."""
    if source.weights is None or source.weights.all():
        return source
    kept = np.flatnonzero(source.weights)
    if not len(kept):
        raise ValueError(
            f"All {plural(len(source), f'{name} image')} have weight 0. Give some of them another `sample_weight`."
        )
    console.note(f"Left out {plural(len(source) - len(kept), f'{name} image')} of weight 0.")
    return source.take(kept)


def _checked(sources, checks, image_format):
    """Looks at all images once. Returns the sources, without what has to go, and with duplicates in groups."""
    parts = {}
    # Thumbnails of many images would fill memory, and comparing them takes a while.
    compares = has_imagehash() and sum(map(len, sources.values())) <= _MOST_COMPARED
    for name, source in sources.items():
        inspection = inspect_in_steps(source, channels=image_format.channels, has_thumbnails=compares)
        refuse_unreadable(inspection, checks.on_bad_image)
        parts[name] = Part(source, inspection)
    report = report_on(parts, image_format.image_size)
    left_out = judge_leaks(report, checks.on_leak)
    tell_in_brief(report, image_format.image_size)
    rows = {name: part.inspection.readable for name, part in parts.items()}
    rows["training"] = np.setdiff1d(rows["training"], left_out)
    taken = {
        name: source.take(rows[name]) if len(rows[name]) < len(source) else source for name, source in sources.items()
    }
    training = taken["training"]
    duplicates = without_large_groups(report.groups["training"][rows["training"]])
    if duplicates is not None:
        taken["training"] = replace(training, groups=join_groups(duplicates, training.groups))
    return taken


def _unpack(validation_data):
    """Returns what `validation_data` consists of: `(x, y, sample_weight)`, with `None` for what is not there."""
    expected = "`validation_data` must be what `x` can be, or a tuple (x, y) or (x, y, sample_weight). "
    if isinstance(validation_data, tuple):
        if len(validation_data) not in (2, 3):
            raise ValueError(f"{expected}Received: a tuple of {len(validation_data)}.")
        return *validation_data, *[None] * (3 - len(validation_data))
    if isinstance(validation_data, int | float):
        raise TypeError(
            f"{expected}Received: {validation_data!r}. For a share of the training images use `validation_split`."
        )
    if isinstance(validation_data, list) and len(validation_data) in (2, 3):
        images, labels = validation_data[:2]
        # A list of two or three images would be without labels, which some kinds of images bring along.
        if getattr(images, "ndim", 0) == 4 or (isinstance(images, list) and isinstance(labels, list | np.ndarray)):
            raise TypeError(f"{expected}Received: a list of {len(validation_data)}. Make it a tuple.")
    return validation_data, None, None


@contextmanager
def _named_in_errors(name):
    """Says in errors about images and labels which argument they are about, since they know `x` and `y` alone."""
    try:
        yield
    except (ValueError, TypeError) as error:
        if type(error) not in (ValueError, TypeError):
            raise
        raise type(error)(f"In `{name}`: {error}") from error


def _divide(source, has_validation):
    """Divides images as the user has divided them. Those to test on are left out."""
    if has_validation:
        return _part(source, "training"), None
    training, validation = (np.flatnonzero(source.parts == part) for part in ("training", "validation"))
    if not len(training):
        raise ValueError(f"No images are there to train on. The parts of the data are: {_counts(source)}.")
    console.note(f"Divided as given: {_counts(source)}.")
    if not len(validation):
        return _without_parts(source.take(training)), None
    return _without_parts(source.take(training)), _without_parts(source.take(validation))


def _part(source, part):
    """Takes one part of divided images."""
    rows = np.flatnonzero(source.parts == part)
    if not len(rows):
        raise ValueError(f"There are no images of the part {part!r}. The parts of the data are: {_counts(source)}.")
    console.note(f"Took the part {part!r}: {len(rows):,} of {plural(len(source), 'image')}.")
    return _without_parts(source.take(rows))


def _without_parts(source):
    return replace(source, parts=None)


def _counts(source):
    names, counts = np.unique(source.parts, return_counts=True)
    return ", ".join(f"{count:,} {name}" for name, count in zip(names, counts, strict=True))
