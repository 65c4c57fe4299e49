"""What leans on the inside of TensorFlow: nothing else of the package does.

All was true of TensorFlow 2.21; `tests/_utils/test_tensorflow.py` notices when that changes.
"""

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
