"""Versions of what computes."""

import keras
import numpy as np
import tensorflow as tf

from transferkit._version import __version__


def package_versions():
    """Returns the version of each package that decides what is computed, by its name."""
    return {
        "transferkit": __version__,
        "keras": keras.__version__,
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
    }


def describe_versions(versions):
    """Versions by name, in a few words."""
    return ", ".join(f"{name} {number}" for name, number in versions.items())
