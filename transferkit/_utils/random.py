"""Keeping the random generators that belong to the user as they are."""

import random
from contextlib import contextmanager


@contextmanager
def python_random_kept():
    """Puts Python's global generator back to where it was: Keras draws the seeds of new layers from it."""
    with python_random_seeded(None):
        yield


@contextmanager
def python_random_seeded(seed):
    """Lets Keras draw the seeds of new layers, and so their weights, from a seed of ours. `None`: from where it is."""
    state = random.getstate()
    try:
        if seed is not None:
            random.seed(int(seed))
        yield
    finally:
        random.setstate(state)
