"""Which engine and precision are fastest on this machine, by trying."""

import importlib.util
import os
import platform
import time

import keras
import numpy as np

from transferkit.cache.fingerprints import fingerprint
from transferkit.models.inference import compile_front
from transferkit.models.precision import PRECISIONS
from transferkit.models.signatures import architecture_of


def engines_here():
    """Names of the engines that are installed, Keras first."""
    found = importlib.util.find_spec("openvino") and not keras.distribution.list_devices("gpu")
    return ("keras", "openvino") if found else ("keras",)


def precisions_here():
    """Names of the precisions that the device may be fast in, float32 first."""
    return PRECISIONS if keras.distribution.list_devices("gpu") else PRECISIONS[:2]


def choose_front(models, candidates, batch_shape, known):
    """Times candidates."""
    raise NotImplementedError
