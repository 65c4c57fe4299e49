"""Numbers as arguments."""

import numpy as np


def is_whole(value):
    """Whether a value is an integer, of Python or NumPy, and not a truth value."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
