"""Keeping Keras and TensorFlow quiet where they have nothing to say to our users."""

import logging
from contextlib import contextmanager


def _is_worth_saying(record):
    return "triggered tf.function retracing" not in record.getMessage()


@contextmanager
def without_retracing_warnings():
    """Drops TensorFlow's warning that a function was traced again: every new model has to be."""
    logger = logging.getLogger("tensorflow")
    logger.addFilter(_is_worth_saying)
    try:
        yield
    finally:
        logger.removeFilter(_is_worth_saying)
