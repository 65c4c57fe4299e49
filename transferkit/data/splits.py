"""Dividing labelled images in two."""

import csv
import os
import re
import sys
from dataclasses import dataclass, field

import numpy as np

from transferkit._utils.files import replacing


@dataclass(frozen=True)
class Split:
    """Which images a classifier was trained on, and on which it was validated.

    Images are named by their paths; those without one by their place in what `fit` was given, such as `image 12`.

    Attributes:
        training: Names of the images that it learnt from.
        validation: Names of the images that it was validated on; empty if it was selected by cross-validation.
    """

    training: tuple[str, ...] = field(repr=False)
    validation: tuple[str, ...] = field(repr=False)

    def to_csv(self, path: str | os.PathLike) -> None:
        """Writes a table with the columns `path` and `split`, which is `training` or `validation`.

        It is UTF-8; a path that is not is written in the bytes that it has on disk.
        """
        errors = sys.getfilesystemencodeerrors()
        with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8", errors=errors) as file:
            writer = csv.writer(file)
            writer.writerow(["path", "split"])
            writer.writerows([name, "training"] for name in self.training)
            writer.writerows([name, "validation"] for name in self.validation)

    def without_root(self) -> "Split":
        """Returns the same split with paths relative to the folder that all its images lie in, `/` between folders.

        Where that folder lies above the user's home, `~` stands for the home: a name tells images apart and does not
        tell whose they are.
        """
        names, middle = _without_root(self.training + self.validation), len(self.training)
        return Split(tuple(names[:middle]), tuple(names[middle:]))


def _without_root(names):
    """Takes what all paths have in common off them. Names of images without a path stay as they are."""
    is_path = [re.fullmatch(r"image \d+", name) is None for name in names]
    paths = [os.path.normpath(name) for name, is_one in zip(names, is_path, strict=True) if is_one]
    if len({os.path.isabs(path) for path in paths}) > 1:
        # Absolute and relative paths have no common folder.
        paths = [os.path.abspath(path) for path in paths]
    root, home = _common_folder(paths), os.path.expanduser("~")
    if home != root and home.startswith(_as_prefix(root)):
        paths = ["~" + path.removeprefix(home) if path.startswith(_as_prefix(home)) else path for path in paths]
    relative = iter([_portable(path.removeprefix(_as_prefix(root))) for path in paths])
    return [next(relative) if is_one else name for name, is_one in zip(names, is_path, strict=True)]


def _as_prefix(folder):
    return os.path.join(folder, "")


def _portable(path):
    return os.path.splitdrive(path)[1].lstrip(os.sep).replace(os.sep, "/")


def _common_folder(paths):
    try:
        return os.path.commonpath({os.path.dirname(path) for path in paths})
    except ValueError:  # no paths, or on several drives
        return ""


def stratified_split(labels, fraction, seed, groups=None):
    """Splits images in two, each class in proportion.

    Each class of two images or more is on both sides; the image of a class of one is in the first part. With groups,
    each is on one side as a whole; a class of two groups or more is on both sides if any division of them allows it.

    Args:
        labels: `(n,)` integer codes.
        fraction: Share of the second part, between 0 and 1.
        seed: Seed of the split; the same seed gives the same split.
        groups: `(n,)` integer codes of what the images belong to, or `None`.

    Returns:
        `(first, second)`: sorted int64 arrays of indices.

    Raises:
        ValueError: If `fraction` is not between 0 and 1, or no image can be in the second part.
    """
    check_fraction(fraction)
    rng = np.random.default_rng(seed)
    is_second = _draw_images(labels, fraction, rng) if groups is None else _draw_groups(labels, groups, fraction, rng)
    if not is_second.any():
        things = "classes have one image only" if groups is None else "images belong to one group"
        raise ValueError(f"Nothing can be set aside for validation: all {things}. Give `validation_data`.")
    return np.flatnonzero(~is_second), np.flatnonzero(is_second)


def check_fraction(fraction):
    """Raises `ValueError` unless `fraction` is between 0 and 1."""
    if not 0 < fraction < 1:
        raise ValueError(f"`validation_split` must be between 0 and 1. Received: validation_split={fraction!r}.")


def _draw_images(labels, fraction, rng):
    is_second = np.zeros(len(labels), bool)
    for code in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == code))
        count = np.clip(round(fraction * len(members)), min(1, len(members) - 1), len(members) - 1)
        is_second[members[:count]] = True
    return is_second


def _draw_groups(labels, groups, fraction, rng):
    """Moves whole groups from side to side as long as that brings the classes nearer to their shares.

    scikit-learn's `StratifiedGroupKFold` balances classes, too, but may leave one out on either side.
    """
    _, groups = np.unique(groups, return_inverse=True)
    _, labels = np.unique(labels, return_inverse=True)
    counts = np.zeros((groups.max() + 1, labels.max() + 1))
    np.add.at(counts, (groups, labels), 1)
    sizes, can_be_on_both = counts.sum(axis=0), (counts > 0).sum(axis=0) > 1

    def cost(inside):
        missing = (can_be_on_both & (inside == 0)).sum() + (inside == sizes).sum()
        # A class missing on one side costs more than ten classes whose shares are as wrong as can be.
        return 10 * missing + np.square(inside / sizes - fraction).sum()

    def move(order):
        """Tries the groups in turn, until none moves any more. Returns the cost and who is in the second part."""
        is_second, inside = np.zeros(len(counts), bool), np.zeros(len(sizes))
        lowest, before = cost(inside), np.inf
        while lowest < before:
            before = lowest
            for group in order:
                moved = inside - counts[group] if is_second[group] else inside + counts[group]
                if cost(moved) < lowest:
                    inside, lowest = moved, cost(moved)
                    is_second[group] ^= True
        return lowest, is_second

    drawn = rng.permutation(len(counts))
    by_size = drawn[np.argsort(counts[drawn].max(axis=1), kind="stable")]
    # What a greedy search finds depends on its order, so the best of three is taken.
    _, is_second = min((move(order) for order in (by_size[::-1], by_size, drawn)), key=lambda found: found[0])
    return is_second[groups]
