"""Checks of a labelled source, before anything is computed."""

import numpy as np

from transferkit._utils.text import listing, plural


def check_classes(source, fewest):
    """Checks that there is something to learn: two classes, and enough images of each.

    Args:
        source: A labelled `Source`.
        fewest: Number of images that each class needs.

    Raises:
        ValueError: If there are fewer than two classes, or a class has fewer images.
    """
    counts = np.bincount(source.labels, minlength=len(source.class_names))
    if (counts > 0).sum() < 2:
        raise ValueError(
            "A classifier needs at least two classes. "
            f"Received: {plural(len(source), 'image')}, all of class {source.class_names[source.labels[0]]!s}."
        )
    rare = [str(name) for name, count in zip(source.class_names.tolist(), counts, strict=True) if count < fewest]
    if rare:
        raise ValueError(
            f"Each class needs at least {plural(fewest, 'image')}, to train on and to validate on. "
            f"Classes with fewer: {listing(rare, 20)}. Add images, leave these classes out, or pass `validation_data`."
        )
