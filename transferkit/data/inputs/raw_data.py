"""What was found in whatever the user gave, before it is checked and put into integers."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class RawData:
    """Images and what is known about each of them.

    Attributes:
        images: An array `(n, height, width, channels)`, or a sequence of paths, arrays or PIL images.
        labels: A label for each image, or `None`.
        class_names: Classes that labels may have, in order; `None`: those that occur.
        sample_weight: Weights, or `None`.
        groups: Groups, or `None`.
        subsets: Which subset of the data each image belongs to, `"training"`, `"validation"` or `"test"`; `None`:
            unknown.
        is_ordered: Whether classes keep the order in which they occur.
        notes: What was ignored on the way, in words.
        augmentation: An `ImageDataGenerator` that the images came with, or `None`.
    """

    images: Any = field(repr=False)
    labels: Any = field(default=None, repr=False)
    class_names: Any = None
    sample_weight: Any = field(default=None, repr=False)
    groups: Any = field(default=None, repr=False)
    subsets: Any = field(default=None, repr=False)
    is_ordered: bool = False
    notes: tuple[str, ...] = ()
    augmentation: Any = None


SUBSETS = {
    "train": "training",
    "training": "training",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
"""What subsets of data are called, in lower case, and what they are."""
