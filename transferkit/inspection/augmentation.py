"""Images as training sees them."""

import numpy as np

from transferkit.data.datasets import augmented_draws, resized_images
from transferkit.data.inputs.convert import as_source
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
    source = as_source(x, channels=request.image_format.channels)
    augmenter, _ = request.augmenter()
    first = source.take(np.arange(min(len(source), _MOST_IMAGES)))
    images = resized_images(first, request.image_format)
    draws = augmented_draws(images, augmenter, copies, request.seed)
    titles = ["as it is", *(f"draw {number + 1}" for number in range(copies))]
    return draw_grid(np.stack([images, *draws], axis=1), titles)
