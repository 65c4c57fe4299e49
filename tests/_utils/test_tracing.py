import numpy as np
import tensorflow as tf

from transferkit._utils.tracing import trace


def test_a_traced_function_computes_the_same_without_being_called_again():
    calls = []

    def double(inputs):
        calls.append(inputs)
        return 2 * inputs

    traced, numbers = trace(double, (2, 3)), np.arange(6, dtype="float32").reshape(2, 3)
    for _ in range(2):
        assert np.array_equal(traced(tf.constant(numbers)), 2 * numbers)
    assert len(calls) == 1
    assert [tuple(tensor.shape) for tensor in traced.inputs] == [(2, 3)]
