import numpy as np
import pytest

from transferkit.evaluation.sample import Sample


def random_sample(num_classes=4, num_images=120, seed=0, present=None, decimals=1):
    """A sample with ties among its probabilities, and with some of its classes only if `present` says so."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(np.arange(num_classes) if present is None else present, num_images)
    scores = np.round(rng.random((num_images, num_classes)) + 0.6 * np.eye(num_classes)[labels], decimals) + 0.05
    probabilities = scores / scores.sum(axis=1, keepdims=True)
    return Sample(labels, probabilities, probabilities.argmax(axis=1), np.array([f"c{i}" for i in range(num_classes)]))


def random_multilabel(num_classes=3, num_images=100, seed=0):
    """The same for any number of labels."""
    rng = np.random.default_rng(seed)
    targets = (rng.random((num_images, num_classes)) < 0.4).astype(int)
    probabilities = np.round(0.4 * targets + 0.6 * rng.random((num_images, num_classes)), 1)
    predictions = (probabilities >= 0.5).astype(int)
    return Sample(targets, probabilities, predictions, np.array([f"c{i}" for i in range(num_classes)]))


@pytest.fixture
def make_sample():
    return random_sample


@pytest.fixture
def make_multilabel():
    return random_multilabel
