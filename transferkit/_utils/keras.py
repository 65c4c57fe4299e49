"""What leans on the inside of Keras and TensorFlow: silencing a warning, and passing over a faulty look at shapes."""

import logging
from contextlib import contextmanager
from threading import Lock

_lock = Lock()
_depth = 0  # blocks that are running, in all threads


def _is_worth_saying(record):
    return "triggered tf.function retracing" not in record.getMessage()


@contextmanager
def without_retracing_warnings():
    """Drops TensorFlow's warning that a function was traced again: every new model has to be."""
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


def without_symbolic_build(model):
    """Keeps Keras from looking at a first batch before it trains or evaluates a model that is built already.

    Under a strategy, Keras 3.12 to 3.15 takes the mean of what the replicas got, element by element, only to learn the
    shapes; where they got different numbers of images, as of five on two replicas, that is an error.
    """
    model._maybe_symbolic_build = lambda iterator=None, data_batch=None: None
