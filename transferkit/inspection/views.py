"""Test-time augmentation: several views of each image, whose probabilities are averaged."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from transferkit._utils.numbers import is_whole
from transferkit.data.reader import ImageReader
from transferkit.data.source import Source
from transferkit.fitted import FittedClassifier

_SHIFT = 1 / 16  # of each side
_BLOCK = 1024  # images of an array that are copied at once


class View(NamedTuple):
    """One way to look at an image: perhaps as in a mirror, and moved down and to the right by parts of its sides."""

    is_mirrored: bool
    down: float
    right: float

    def of(self, image: np.ndarray) -> np.ndarray:
        """Returns this view of an image `(height, width, …)`, or of many of one size `(n, height, width, …)`."""
        first = image.ndim - 3
        image = np.flip(image, first + 1) if self.is_mirrored else image
        return _moved(_moved(image, self.down, first), self.right, first + 1)


def _moved(image, share, axis):
    """Moves an image along an axis; its edge fills what is left."""
    if not share:
        return image
    size = image.shape[axis]
    pixels = int(np.copysign(max(1, round(abs(share) * size)), share))
    return np.take(image, np.clip(np.arange(size) - pixels, 0, size - 1), axis=axis)


_MOVES = ((0, 0), (_SHIFT, _SHIFT), (-_SHIFT, -_SHIFT), (_SHIFT, -_SHIFT), (-_SHIFT, _SHIFT))
_PLAIN = tuple(View(False, *move) for move in _MOVES)
# Every second one is a mirror image, moved the other way.
_WITH_MIRROR = tuple(view for down, right in _MOVES for view in (View(False, down, right), View(True, -down, -right)))


def views_of(fitted: FittedClassifier, count: int) -> tuple[View, ...]:
    """Returns the views that predictions are averaged over, the first of which is the image as it is.

    Args:
        fitted: The `FittedClassifier`. Where `augmentation` mirrors images, every second view is a mirror image.
        count: How many.

    Raises:
        ValueError: If `count` is not from 1 to the number of views that there are.
    """
    views = _WITH_MIRROR if fitted.mirrors else _PLAIN
    if not is_whole(count) or not 1 <= count <= len(views):
        reason = "" if fitted.mirrors else " (`augmentation` has no mirror images, so views have none)"
        raise ValueError(f"`views` must be an integer from 1 to {len(views)}{reason}. Received: views={count!r}.")
    return views[:count]


def sources_of_view(source: Source, view: View, reader: ImageReader) -> Iterator[Source]:
    """Yields a view of all images of a `Source`, in order, in one or more parts."""
    if view == _PLAIN[0]:
        yield source
    elif source.is_uniform:
        for start in range(0, len(source), _BLOCK):
            images = np.asarray(source.images[start : start + _BLOCK])
            yield Source(view.of(images))
    else:
        yield Source(_Viewed(source.images, view, reader))


@dataclass(frozen=True)
class _Viewed(Sequence):
    """A view of images, each read when it is asked for."""

    images: Any
    view: View
    reader: ImageReader

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return np.ascontiguousarray(self.view.of(self.reader.read(self.images[index])))
