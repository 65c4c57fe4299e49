"""Dividing labelled images in two."""

import numpy as np


def stratified_split(labels, fraction, seed):
    """Splits images in two, each class in proportion, and keeps at least one image of each class on both sides.

    Args:
        labels: `(n,)` integer codes; each class at least twice.
        fraction: Share of the second part, between 0 and 1.
        seed: Seed of the split; the same seed gives the same split.

    Returns:
        `(first, second)`: sorted int64 arrays of indices.

    Raises:
        ValueError: If `fraction` is not between 0 and 1.
    """
    check_fraction(fraction)
    rng = np.random.default_rng(seed)
    second = []
    for code in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == code))
        count = int(np.clip(round(fraction * len(members)), 1, len(members) - 1))
        second.append(members[:count])
    second = np.sort(np.concatenate(second))
    return np.setdiff1d(np.arange(len(labels)), second), second


def check_fraction(fraction):
    """Raises `ValueError` unless `fraction` is between 0 and 1."""
    if not 0 < fraction < 1:
        raise ValueError(f"`validation_split` must be between 0 and 1. Received: validation_split={fraction!r}.")
