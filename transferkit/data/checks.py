"""Checks of a labelled source, before anything is computed, and what is done about what they find."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from transferkit._utils.text import listing, plural

OnBadImage = Literal["raise", "skip"]
OnLeak = Literal["warn", "raise", "drop"]


@dataclass(frozen=True)
class Checks:
    """What is done about images that cannot be read, and about training images that are validated on.

    Args:
        on_bad_image: `"raise"` an `ImageReadError` that lists all images that cannot be read, or `"skip"` them.
        on_leak: What to do about training images that are duplicates of images in `validation_data`: `"warn"`,
            `"raise"` a `LeakError` that lists them, or `"drop"` them from training. Near-duplicates count as well where
            ImageHash is installed (`pip install "transferkit[check]"`).

    Example:
        >>> from transferkit import Checks, TransferClassifier
        >>> classifier = TransferClassifier(checks=Checks(on_bad_image="skip"))
    """

    on_bad_image: OnBadImage = "raise"
    on_leak: OnLeak = "warn"

    def __post_init__(self) -> None:
        if self.on_bad_image not in get_args(OnBadImage):
            raise ValueError(f"`on_bad_image` must be 'raise' or 'skip'. Received: on_bad_image={self.on_bad_image!r}.")
        if self.on_leak not in get_args(OnLeak):
            raise ValueError(f"`on_leak` must be 'warn', 'raise' or 'drop'. Received: on_leak={self.on_leak!r}.")


def check_classes(source: Any) -> tuple[str, ...]:
    """Checks that a source has at least two classes.

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
    # A split cannot have the only image of a class on both sides, so it is trained on.
    if single:
        notes.append(f"Trained on, but not validated, with one image only: {listing(single, 20)}.")
    return tuple(notes)
