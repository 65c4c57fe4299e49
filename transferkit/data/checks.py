"""Checks of a labelled source, before anything is computed."""

from transferkit._utils.text import listing, plural


def check_classes(source):
    """Checks that there is something to learn: two classes.

    Args:
        source: A labelled `Source`.

    Returns:
        Tuple of sentences that the user should read.

    Raises:
        ValueError: If there are fewer than two classes.
    """
    counts = source.task.class_counts(source)
    if (counts > 0).sum() < 2:
        raise ValueError(
            "A classifier needs at least two classes. "
            f"Received: {plural(len(source), 'image')}, all of class {source.class_names[source.labels[0]]!s}."
        )
    names = source.class_names.tolist()
    missing = [name for name, count in zip(names, counts, strict=True) if not count]
    single = [name for name, count in zip(names, counts, strict=True) if count == 1]
    notes = [f"There are no images of: {listing(missing, 20)}."] if missing else []
    if single:
        notes.append(f"Trained on, but not validated, with one image only: {listing(single, 20)}.")
    return tuple(notes)
