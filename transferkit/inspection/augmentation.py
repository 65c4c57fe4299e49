"""Images as training sees them."""

import numpy as np

from transferkit.data.datasets import augmented_draws
from transferkit.data.epochs import Epochs
from transferkit.data.reader import ImageReader
from transferkit.inspection.images import draw_grid

_MOST_IMAGES = 8


def draw_augmentation(request, x, copies=5):
    """Draws images as they are and augmented in several ways.

    Args:
        request: The `Request` of a classifier.
        x: Images; the first eight are drawn.
        copies: Augmented versions of each.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    reader = ImageReader(request.image_format)
    source = reader.source(x)
    augmenter, _ = request.augmenter()
    first = source.take(np.arange(min(len(source), _MOST_IMAGES)))
    images = reader.resized(first)
    draws = augmented_draws(images, augmenter, copies, Epochs(seed=request.seed).augmentation_keys)
    titles = ["as it is", *(f"draw {number + 1}" for number in range(copies))]
    return draw_grid(np.stack([images, *draws], axis=1), titles)
