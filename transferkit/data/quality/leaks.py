"""Images that are trained on and validated on, and what is said about a data set in `fit`."""

import numpy as np

from transferkit._utils import console
from transferkit._utils.text import plural
from transferkit.exceptions import LeakError

_MANY_SMALL = 0.1  # of all images: fewer are single thumbnails, which `check_data` lists
_told: set[str] = set()  # what this process has said, and says no more


def leaking_rows(report):
    """Indices of training images that are duplicates of validation images, exact or near, `(m,)` int64."""
    return np.flatnonzero(np.isin(report.groups["training"], report.groups.get("validation", [])))


def judge_leaks(report, on_leak):
    """Does what `on_leak` says about training images that are duplicates of validation images.

    Args:
        report: A `DataReport` of `"training"` and perhaps `"validation"`.
        on_leak: `"warn"`, `"raise"` or `"drop"`.

    Returns:
        Indices of training images that are to be left out, `(m,)` int64.

    Raises:
        LeakError: For `"raise"`, or for `"drop"` if no training image would be left.
    """
    rows = leaking_rows(report)
    if len(rows) == 0:
        return rows
    total = report.counts["training"]
    if on_leak == "raise" or (on_leak == "drop" and len(rows) == total - len(report.unreadable_in("training"))):
        raise LeakError(_pairs(report), total)
    count = f"{len(rows):,} of {plural(total, 'training image')}"
    if on_leak == "drop":
        console.note(f"Left out {count}: duplicates of validation images.")
        return rows
    console.note(
        f"{count} are duplicates of validation images, so validation looks too good. "
        "`checks=Checks(on_leak='drop')` leaves them out; "
        "`check_data` lists them."
    )
    return rows[:0]


def _pairs(report):
    """For each group across parts, `(index, name, validation name)` of its training images."""
    pairs = []
    for group in report.leaks:
        other = next((image.name for image in group if image.subset == "validation"), None)
        pairs += [(image.index, image.name, other) for image in group if image.subset == "training" and other]
    return sorted(pairs)


def tell_in_brief(report, image_size):
    """Says in one line what else is unusual about training images, if anything.

    That many of them are small is said once in a process: it is so in every fold and every fit.
    """
    height, width = image_size
    findings = []
    if report.duplicates:
        within = sum(len(group) - 1 for group in report.duplicates)
        findings.append(f"{plural(within, 'duplicate')} of other images")
    if report.label_conflicts:
        findings.append(f"{plural(len(report.label_conflicts), 'group')} of duplicates with different labels")
    small = sum(map(len, report.small_images.values()))
    if small and small >= _MANY_SMALL * sum(report.counts.values()) and "small" not in _told:
        if not console.is_silent():
            _told.add("small")
        findings.append(f"{plural(small, 'image')} smaller than half of {height} × {width} px")
    if findings:
        console.note(f"Among the images: {'; '.join(findings)}. `check_data` lists them.")
