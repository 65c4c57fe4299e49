"""Errors that callers may want to catch by kind. Each is a built-in error as well: `except ValueError` works, too."""

from collections.abc import Sequence

_SHOWN = 20


class ImageReadError(ValueError):
    """Some images could not be read. Raised once for all of them, before anything is computed.

    Attributes:
        failures: Tuple of `(index, name, reason)`, one for each unreadable image, in the order given.
        total: Number of images that were tried.
        listing: The first of them in words, one a line.
    """

    def __init__(self, failures: Sequence[tuple[int, str, str]], total: int):
        self.failures = tuple(failures)
        self.total = total
        lines = [f"  {name}: {reason}" for _, name, reason in self.failures[:_SHOWN]]
        if len(self.failures) > _SHOWN:
            lines.append(f"  … and {len(self.failures) - _SHOWN} more, in `error.failures`")
        self.listing = "\n".join(lines)
        super().__init__(
            f"{len(self.failures):,} of {total:,} images could not be read:\n{self.listing}\n"
            "Repair or remove them. With `on_bad_image='skip'`, `fit`, `evaluate` and `predict_files` pass them over."
        )

    def __reduce__(self):
        return type(self), (self.failures, self.total)


class WeightsUnavailableError(OSError):
    """Pretrained weights are neither on this machine nor could they be downloaded."""


class ArchiveError(ValueError):
    """A file is not one that `TransferClassifier.save` wrote, is damaged, or comes from a newer version."""
