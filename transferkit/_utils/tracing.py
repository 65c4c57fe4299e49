"""TensorFlow's graph of a function, for what runs such graphs by other means."""

import tensorflow as tf


def trace(function, shape):
    """Traces a function of one float32 tensor of a fixed shape. Returns a concrete function of TensorFlow."""

    @tf.function(input_signature=[tf.TensorSpec(shape, "float32", name="inputs")], autograph=False)
    def traced(inputs):
        return function(inputs)

    return traced.get_concrete_function()
