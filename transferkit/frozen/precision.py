"""Computes a network in half precision temporarily, and measures whether that is faster here."""

import time
from contextlib import contextmanager
from typing import Literal, get_args

import keras
import numpy as np

from transferkit._utils.keras import all_layers

Precision = Literal["float32", "bfloat16", "float16"]
PRECISIONS = get_args(Precision)
_REPEATS = 3
WORTHWHILE = 1.15  # times faster than float32 before half precision is worth its rounding


@contextmanager
def computing_in(network, precision):
    """Lets all layers of a network compute in `precision` while their weights stay in float32.

    Keras' global policy is not touched, and at the end the layers are as they were.

    Args:
        network: `keras.Model`. Models that already called its layers must be traced again to see the change.
        precision: `"float32"`, `"bfloat16"` or `"float16"`.
    """
    before = [(layer, layer.dtype_policy) for layer in all_layers(network)]
    policy = "float32" if precision == "float32" else f"mixed_{precision}"
    try:
        for layer, _ in before:
            layer.dtype_policy = policy
        yield
    finally:
        for layer, kept in before:
            layer.dtype_policy = kept


def precisions_here():
    """Returns the names of the precisions that a device of this machine may be fast in, float32 first."""
    return PRECISIONS if keras.distribution.list_devices("gpu") else PRECISIONS[:2]


def choose_precision(network, batch_size, measure=None):
    """Times one forward pass of a network in each precision that the device may be fast in.

    Args:
        network: `keras.Model` with a fixed input shape.
        batch_size: Images a batch.
        measure: Function from these two and a precision to seconds; default: `time_forward_pass`.

    Returns:
        `(precision, seconds)`: the name, and a dict of seconds a batch. float32 unless another one is clearly faster.
    """
    candidates = precisions_here()
    measure = measure or time_forward_pass
    seconds = {precision: measure(network, batch_size, precision) for precision in candidates}
    fastest = min(candidates[1:], key=seconds.get)
    return (fastest if seconds["float32"] > WORTHWHILE * seconds[fastest] else "float32"), seconds


def time_forward_pass(network, batch_size, precision):
    """Returns the median of the seconds that a network takes for a batch in a precision, several times."""
    images = np.zeros((batch_size, *network.input_shape[1:]), "float32")
    with computing_in(network, precision):
        # A new graph of the same layers, which is traced in this precision.
        model = keras.models.clone_model(network, clone_function=lambda layer: layer)
        model.compile(jit_compile=False)
        model.predict_on_batch(images)  # traces, which must not be timed
        times = []
        for _ in range(_REPEATS):
            start = time.perf_counter()
            model.predict_on_batch(images)
            times.append(time.perf_counter() - start)
    return float(np.median(times))
