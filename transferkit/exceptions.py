"""Errors that callers may want to catch by kind. Each is a built-in error as well: `except ValueError` works, too."""

from collections.abc import Sequence
from typing import Any

_SHOWN = 20
_SKIPPED_BY = "With `checks=Checks(on_bad_image='skip')`, `fit`, `evaluate` and `predict_files` pass them over."


class ImageReadError(ValueError):
    """Some images could not be read. Raised once for all of them, before anything is computed or when they break later.

    Attributes:
        failures: Tuple of `(index, name, reason)`, one for each unreadable image, in the order given.
        total: Number of images that were tried.
        listing: The first of them in words, one a line.
    """

    def __init__(self, failures: Sequence[tuple[int, str, str]], total: int):
        self.failures = tuple(failures)
        self.total = total
        reasons = {reason for _, _, reason in self.failures}
        is_nothing_left = len(self.failures) == total
        images = "1 image" if total == 1 else f"{total:,} images"
        text = f"{len(self.failures):,} of {images} could not be read"
        if is_nothing_left and total > 1 and len(reasons) == 1:  # it is not the images that are wrong
            text += f", all for one reason: {reasons.pop()}"
            self.listing = self._lines([f"  {name}" for _, name, _ in self.failures], 3)
        else:
            text += ":"
            self.listing = self._lines([f"  {name}: {reason}" for _, name, reason in self.failures], _SHOWN)
        advice = "Repair them, or give others."
        if not is_nothing_left:
            advice = f"Repair or remove them. {_SKIPPED_BY}"
        super().__init__(f"{text}\n{self.listing}\n{advice}")

    @staticmethod
    def _lines(lines: list[str], most: int) -> str:
        more = [f"  … and {len(lines) - most} more, in `error.failures`"] if len(lines) > most else []
        return "\n".join(lines[:most] + more)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.failures, self.total)


class LeakError(ValueError):
    """Training images are duplicates of validation images. Raised by `fit` with `Checks(on_leak="raise")`.

    Attributes:
        leaks: Tuple of `(index, name, validation_name)`, one for each such training image, sorted by index.
        total: Number of training images.
    """

    def __init__(self, leaks: Sequence[tuple[int, str, str]], total: int):
        self.leaks = tuple(leaks)
        self.total = total
        lines = [f"  {name} = {other}" for _, name, other in self.leaks[:_SHOWN]]
        if len(self.leaks) > _SHOWN:
            lines.append(f"  … and {len(self.leaks) - _SHOWN} more, in `error.leaks`")
        listing = "\n".join(lines)
        super().__init__(
            f"{len(self.leaks):,} of {total:,} training images are duplicates of validation images:\n{listing}\n"
            "Take them out of one of the two, or let `fit` leave them out of training: `checks=Checks(on_leak='drop')`."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.leaks, self.total)


class WeightsUnavailableError(OSError):
    """Pretrained weights are neither on this machine nor could they be downloaded."""


class ArchiveError(ValueError):
    """A file is not one that `save` of a classifier or a report wrote, is damaged, or comes from a newer version."""
