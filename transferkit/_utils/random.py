"""Keeping the random generators that belong to the user as they are."""

import random
from contextlib import contextmanager


@contextmanager
def python_random_kept():
    """Puts Python's global generator back to where it was: Keras draws the seeds of new layers from it."""
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)
