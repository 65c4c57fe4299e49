"""Classes of different sizes: features and images."""

import numpy as np
import pytest


@pytest.fixture(scope="module")
def uneven():
    """Overlapping features of two classes, 300 and 15 images, and as many of each to test on."""
    rng = np.random.default_rng(0)

    def draw(*counts):
        labels = np.repeat([0, 1], counts)
        return (rng.normal(size=(len(labels), 6)) + 0.8 * labels[:, None] * (np.arange(6) < 3)).astype(
            "float32"
        ), labels

    return draw(300, 15), draw(500, 500)


@pytest.fixture(scope="module")
def uneven_images():
    """Noisy images of two classes, 40 and 8, whose brightness overlaps."""
    rng = np.random.default_rng(1)
    labels = np.array(["dark"] * 40 + ["light"] * 8)
    images = rng.integers(60, 160, (48, 16, 16, 3)) + 8 * (labels == "light")[:, None, None, None]
    return images.astype("uint8"), labels
