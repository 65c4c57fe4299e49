"""BatchNorm made part of the layer before it, for networks that only compute."""

import keras
import numpy as np
from keras import layers

_FOLDABLE = (layers.Conv2D, layers.DepthwiseConv2D, layers.Dense)


def fold_batch_norm(model):
    """Builds a model that computes the same with fewer layers.

    A BatchNorm layer that directly follows a linear convolution or dense layer, and is all that reads from it, becomes part of
    that layer's kernel and bias. All other layers are shared with the original, which is not changed.

    Args:
        model: A functional `keras.Model`.

    Returns:
        A `keras.Model`, or `model` itself if there is nothing to fold.
    """
    if not isinstance(model, keras.models.Model) or not hasattr(model, "operations"):
        return model
    norms = _foldable_norms(model)
    if not norms:
        return model
    folded = {source.name: _folded(source, norm) for norm, source in norms}
    skipped = {norm.name for norm, _ in norms}

    def call(layer, *args, **kwargs):
        if layer.name in skipped:
            return args[0]
        return folded.get(layer.name, layer)(*args, **kwargs)

    return keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)


def _foldable_norms(model):
    outputs = {id(tensor) for tensor in model.outputs}
    return [
        (norm, source)
        for norm in model.layers
        if isinstance(norm, layers.BatchNormalization) and (source := _only_source(norm, outputs)) is not None
    ]


def _only_source(norm, outputs):
    if len(norm._inbound_nodes) != 1 or norm.axis not in (-1, len(norm.input.shape) - 1):
        return None
    source = norm.input._keras_history.operation
    is_foldable = type(source) in _FOLDABLE and source.activation is keras.activations.linear
    if not is_foldable or len(source._inbound_nodes) != 1 or len(source._outbound_nodes) != 1:
        return None
    return None if id(source.output) in outputs else source


def _folded(source, norm):
    scale, shift = _scale_and_shift(norm)
    kernel, bias = source.get_weights()[0], source.get_weights()[1] if source.use_bias else 0.0
    factors = scale.reshape(kernel.shape[2:]) if isinstance(source, layers.DepthwiseConv2D) else scale
    layer = type(source).from_config({**source.get_config(), "use_bias": True, "name": f"{source.name}_folded"})
    layer.build(source.input.shape)
    layer.set_weights([(kernel * factors).astype("float32"), (bias * scale + shift).astype("float32")])
    return layer


def _scale_and_shift(norm):
    mean, variance = (np.asarray(value, "float64") for value in (norm.moving_mean, norm.moving_variance))
    scale = 1 / np.sqrt(variance + norm.epsilon)
    if norm.scale:
        scale *= np.asarray(norm.gamma, "float64")
    return scale, (np.asarray(norm.beta, "float64") if norm.center else 0.0) - mean * scale
