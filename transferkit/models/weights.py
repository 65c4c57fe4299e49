"""Weights of a classifier as values: taken out, put back, and mixed."""

import keras
import numpy as np


def capture(models, adapters=()):
    """Copies all weights.

    Args:
        models: Sequence of `keras.Model`.
        adapters: `LowRank` layers; the kernels that they adapt are copied as if they were merged already.

    Returns:
        List of arrays.
    """
    merged = {id(adapter.layer.kernel): adapter for adapter in adapters}
    return [
        # A copy, which later training steps do not change.
        np.array(keras.ops.convert_to_numpy(merged[id(weight)].merged_kernel() if id(weight) in merged else weight))
        for model in models
        for weight in model.weights
    ]


def restore(models, values, adapters=()):
    """Puts copied weights back, and `adapters` to zero."""
    weights = [weight for model in models for weight in model.weights]
    for weight, value in zip(weights, values, strict=True):
        weight.assign(value)
    for adapter in adapters:
        adapter.reset()


def blend(start, end, share):
    """Weights on the straight line between two sets of them: `share` of the way from `start` to `end`."""
    return [(1 - share) * first + share * last for first, last in zip(start, end, strict=True)]
