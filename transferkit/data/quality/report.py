"""What was found wrong with images, as something to read and something to work with."""

from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np

from transferkit._utils.html import html_text
from transferkit._utils.text import listing, plural

_EXAMPLES = 3  # shown of each kind of finding
_MEMBERS = 4  # shown of each group


@dataclass(frozen=True)
class ImageRef:
    """One image: its subset (`"training"`, …), its index in it as it was given, what to call it, and its label.

    Where an image can have any number of labels, a tuple of them.
    """

    subset: str
    index: int
    name: str
    label: Any = None


class UnreadableImage(NamedTuple):
    """An image that cannot be read, and why."""

    image: ImageRef
    reason: str


Group = tuple[ImageRef, ...]


@dataclass(frozen=True, eq=False, repr=False)
class DataReport:
    """What `check_data` found. It prints as a short text, which a notebook shows, too; nothing was changed.

    Indices count the images of their subset as they were given; those of a folder are sorted by class, then by name.

    Args:
        counts: Number of images of each subset, a dict: `"training"`, `"validation"`, `"test"`.
        unreadable: Tuple of `UnreadableImage(image, reason)`.
        exact_duplicates: Groups of images with the same content, tuples of `ImageRef(subset, index, name, label)`.
        near_duplicates: Groups of images that look the same but are not all exact duplicates.
        rare_classes: Dict from class to its number of readable training images, for classes with too few.
        small_images: Dict from subset to indices `(m,)` int64 of images far smaller than the input of the model.
        class_differences: Dict from subset to `{"missing": [...], "unknown": [...]}`: classes that only the training
            images have, and classes that these do not have.
        groups: Dict from subset to `(n,)` int64: a number for each image, shared by duplicates, also across subsets.
        notes: What was not looked for, and why, in sentences.
    """

    counts: dict[str, int]
    unreadable: tuple[UnreadableImage, ...] = ()
    exact_duplicates: tuple[Group, ...] = ()
    near_duplicates: tuple[Group, ...] = ()
    rare_classes: dict[Any, int] = field(default_factory=dict)
    small_images: dict[str, np.ndarray] = field(default_factory=dict)
    class_differences: dict[str, dict[str, list]] = field(default_factory=dict)
    groups: dict[str, np.ndarray] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        """Whether nothing was found."""
        return not self._sections()

    @property
    def leaks(self) -> tuple[Group, ...]:
        """Groups of duplicates, exact or near, with images of more than one subset."""
        return tuple(group for group in self.duplicates if len({image.subset for image in group}) > 1)

    @property
    def duplicates(self) -> tuple[Group, ...]:
        """All groups of duplicates: each near-duplicate group, and each exact one that is in none of those."""
        near = {image for group in self.near_duplicates for image in group}
        return self.near_duplicates + tuple(group for group in self.exact_duplicates if group[0] not in near)

    @property
    def label_conflicts(self) -> tuple[Group, ...]:
        """Groups of duplicates, exact or near, whose images have different labels."""
        return tuple(
            group for group in self.duplicates if len({image.label for image in group if image.label is not None}) > 1
        )

    def unreadable_in(self, subset: str) -> tuple[UnreadableImage, ...]:
        """The unreadable images of one subset."""
        return tuple(item for item in self.unreadable if item.image.subset == subset)

    def to_dict(self) -> dict[str, Any]:
        """Returns all of it as dicts, lists, strings and numbers, ready for JSON."""
        unreadable = [{**_image_dict(image), "reason": reason} for image, reason in self.unreadable]
        kinds = ("exact_duplicates", "near_duplicates", "leaks", "label_conflicts")
        groups = {kind: [[_image_dict(image) for image in group] for group in getattr(self, kind)] for kind in kinds}
        return {
            "is_clean": self.is_clean,
            "counts": dict(self.counts),
            "unreadable": unreadable,
            **groups,
            "rare_classes": {str(name): count for name, count in self.rare_classes.items()},
            "small_images": {subset: indices.tolist() for subset, indices in self.small_images.items()},
            "class_differences": {
                subset: {kind: list(map(str, names)) for kind, names in difference.items()}
                for subset, difference in self.class_differences.items()
            },
            "notes": list(self.notes),
        }

    def __repr__(self):
        kinds = ("unreadable", "leaks", "label_conflicts", "exact_duplicates", "near_duplicates", "rare_classes")
        found = {kind: len(getattr(self, kind)) for kind in kinds}
        found["small_images"] = sum(map(len, self.small_images.values()))
        shown = "".join(f", {kind}={number}" for kind, number in found.items() if number)
        return f"DataReport(counts={self.counts}, is_clean={self.is_clean}{shown})"

    def __str__(self):
        counts = ", ".join(f"{plural(count, 'image')} of {subset}" for subset, count in self.counts.items())
        sections = self._sections() or ["Nothing was found."]
        return "\n".join([f"Checked {counts}.", *sections, *(f"Note: {note}" for note in self.notes)])

    def _repr_html_(self):
        return html_text(str(self))

    def _sections(self):
        """One text for each kind of finding."""
        sections = [
            _section("Cannot be read", plural(len(self.unreadable), "image"), self.unreadable, _show_unreadable),
            _section("In more than one part", _size_of(self.leaks), self.leaks, _show_group),
            _section("With different labels", _size_of(self.label_conflicts), self.label_conflicts, _show_group),
            _section("Exact duplicates", _size_of(self.exact_duplicates), self.exact_duplicates, _show_group),
            _section("Near-duplicates", _size_of(self.near_duplicates), self.near_duplicates, _show_group),
        ]
        rare = [f"{name} ({count})" for name, count in self.rare_classes.items()]
        sections.append(f"Too few images: {plural(len(rare), 'class')}: {listing(rare)}" if rare else "")
        small = {subset: len(indices) for subset, indices in self.small_images.items() if len(indices)}
        if small:
            counts = ", ".join(f"{plural(count, 'image')} of {subset}" for subset, count in small.items())
            sections.append(f"Far smaller than the input of the model: {counts}")
        for subset, difference in self.class_differences.items():
            sections += [f"Classes {kind} in {subset}: {listing(names)}" for kind, names in difference.items() if names]
        return [section for section in sections if section]


def _section(title, size, items, show):
    if not items:
        return ""
    more = [f"  … and {len(items) - _EXAMPLES:,} more"] if len(items) > _EXAMPLES else []
    return "\n".join([f"{title}: {size}", *map(show, items[:_EXAMPLES]), *more])


def _size_of(groups):
    return f"{plural(sum(map(len, groups)), 'image')} in {plural(len(groups), 'group')}"


def _show_unreadable(item):
    return f"  {item.image.name} ({item.image.subset}): {item.reason}"


def _show_group(group):
    shown = [f"{image.name} ({_where(image)})" for image in group[:_MEMBERS]]
    more = [f"and {len(group) - _MEMBERS} more"] if len(group) > _MEMBERS else []
    return "  " + ", ".join(shown + more)


def _where(image):
    if image.label is None:
        return image.subset
    if isinstance(image.label, tuple):
        return f"{image.subset}, {' + '.join(map(str, image.label)) or 'no label'}"
    return f"{image.subset}, {image.label}"


def _image_dict(image):
    return {**asdict(image), "label": list(image.label) if isinstance(image.label, tuple) else image.label}
