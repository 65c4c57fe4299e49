"""What leans on the inside of TensorFlow, and what Keras cannot do without it: nothing else of the package does.

All was true of TensorFlow 2.21; `tests/_utils/test_tensorflow.py` notices when that changes.
"""

import logging
from contextlib import contextmanager
from threading import Lock

import numpy as np
import tensorflow as tf

_lock = Lock()
_depth = 0  # blocks that are running, in all threads


def _is_worth_saying(record):
    return "triggered tf.function retracing" not in record.getMessage()


@contextmanager
def without_retracing_warnings():
    """Drops TensorFlow's warning that a function was traced again: every new model has to be."""
    # It is told from others by its text alone, and comes from a logger. It may go when Keras' models, each of which
    # makes a function of its own, are not counted as one function any more.
    _count(1)
    try:
        yield
    finally:
        _count(-1)


def _count(change):
    """Counts the running blocks, so that one that ends does not end the silence of another thread."""
    global _depth
    with _lock:
        _depth += change
        logger = logging.getLogger("tensorflow")
        (logger.addFilter if _depth else logger.removeFilter)(_is_worth_saying)


def with_gradient(compute):
    """Returns a function that computes a score and how it changes with its input.

    Keras differentiates in `fit` only, and only with respect to weights; each backend has a way of its own.

    Args:
        compute: Function from tensors, the first of them float32, to a tuple: the score `(batch,)` and whatever else.

    Returns:
        A function of the same arguments. It returns the gradient of the score with respect to the first of them, zeros
        where nothing leads from one to the other, and the whatever else, all as arrays.
    """

    @tf.function(reduce_retracing=True)  # a last batch is smaller
    def run(inputs, *others):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(inputs)
            score, *rest = compute(inputs, *others)
        return tape.gradient(score, inputs, unconnected_gradients=tf.UnconnectedGradients.ZERO), *rest

    def run_on_arrays(inputs, *others):
        with without_retracing_warnings():
            return tuple(map(np.asarray, run(tf.constant(inputs), *map(tf.constant, others))))

    return run_on_arrays
