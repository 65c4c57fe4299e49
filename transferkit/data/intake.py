"""From what `fit` and `evaluate` are given to sources that can be worked with: read, checked, and talked about."""

import os

from transferkit._utils.text import listing, plural
from transferkit.data.checks import check_classes
from transferkit.data.generators import is_stream, read_stream
from transferkit.data.readers import keep_readable
from transferkit.data.source import as_source


def labelled_source(x, y, on_bad_image, console, class_names=None, channels=3):
    """Makes a `Source` of images that can all be read, with labels.

    Args:
        x: Images; see `as_source`.
        y: Labels, or `None` for a class folder.
        on_bad_image: `"raise"` or `"skip"`.
        console: Told what was ignored on the way.
        class_names: Classes that labels may have, in order; default: those that occur.
        channels: Number of channels that images must have.
    """
    source = as_source(x, y, class_names=class_names, needs_labels=True, channels=channels)
    for note in source.notes:
        console.note(note)
    return keep_readable(source, on_bad_image, console, channels)


def training_sources(x, y, validation_data, steps, on_bad_image, console, channels=3):
    """Makes the sources of `fit`.

    Args:
        x: Images, or a generator of batches.
        y: Labels, or `None` for a class folder or a generator.
        validation_data: Class folder, pair `(x, y)`, generator of batches, or `None`.
        steps: Numbers of batches to read from generators, `(training, validation)`.
        on_bad_image: `"raise"` or `"skip"`.
        console: Told what there is and what was ignored.
        channels: Number of channels that images must have.

    Returns:
        `(training, validation)`, two `Source`; the second is `None` without `validation_data`.

    Raises:
        ValueError: If `validation_data` is of another form, or there are too few images or classes.
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
    source = labelled_source(x, y, on_bad_image, console, channels=channels)
    check_classes(source, fewest=1 if validation_data is not None else 2)
    console.note(f"{plural(len(source), 'image')} of {len(source.class_names)} classes: {listing(source.class_names)}")
    if validation_data is None:
        return source, None
    validation_x, validation_y = (validation_data, None) if is_folder else validation_data
    validation = labelled_source(validation_x, validation_y, on_bad_image, console, source.class_names, channels)
    return source, validation
