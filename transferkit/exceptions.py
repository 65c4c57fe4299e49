"""Errors that callers may want to catch by kind. Each is also a built-in error, so `except ValueError` keeps working."""

from transferkit._utils.text import bullets, plural


class ImageReadError(ValueError):
    """Some images could not be read. Raised once for all of them, before anything is computed.

    Attributes:
        failures: Tuple of `(index, name, reason)`, one per unreadable image, in the order given.
        total: Number of images that were tried.
        listing: The first of them in words, one a line.
    """

    def __init__(self, failures, total):
        self.failures = tuple(failures)
        self.total = total
        self.listing = bullets(f"{name}: {reason}" for _, name, reason in self.failures)
        super().__init__(
            f"{len(self.failures):,} of {plural(total, 'image')} could not be read (`error.failures` has all):\n{self.listing}\n"
            "Repair or remove them, or pass `on_bad_image='skip'` to `TransferClassifier` to train and evaluate without them."
        )

    def __reduce__(self):
        return type(self), (self.failures, self.total)


class WeightsUnavailableError(OSError):
    """Pretrained weights are neither on this machine nor could they be downloaded."""


class ArchiveError(ValueError):
    """A file is not one that `TransferClassifier.save` wrote, is damaged, or comes from a newer version."""
