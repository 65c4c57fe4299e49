"""A network that was trained on RGB images, for images of another number of channels."""

import keras
import numpy as np


def with_channels(model, channels):
    """Copies a network for RGB images, so that it takes images of `channels` channels.

    A kernel that sees the image becomes the mean of its three RGB kernels, once for each channel (Wang et al.,
    Temporal Segment Networks, ECCV 2016, arXiv:1608.00859), times `3 / channels`, which keeps the scale of the
    activations. Biases and all other weights stay. So, before anything trains, the copy does with an image what the
    network does with the mean of its channels in gray. Where the network scales colours differently, each channel gets
    the mean of the three.

    Args:
        model: Functional `keras.Model` for images `(height, width, 3)`.
        channels: Number of channels.

    Returns:
        A functional `keras.Model` with the same names of layers.

    Raises:
        ValueError: If something other than convolutions depends on the number of channels.
    """
    images = keras.Input((*model.input_shape[1:3], channels))
    try:
        copy = keras.models.clone_model(model, input_tensors=images, clone_function=_clone)
        _copy_weights(model, copy)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"Model {model.name!r} cannot be adapted to `channels={channels}`: it must take its image by 2D "
            f"convolutions, after nothing but scaling by Keras layers. {error}"
        ) from error
    return copy


def _clone(layer):
    """Makes a layer anew, for any number of channels; what scales three channels scales all alike."""
    if isinstance(layer, keras.Sequential):
        return keras.Sequential([_clone(inner) for inner in layer.layers], name=layer.name)
    if isinstance(layer, keras.layers.Normalization) and np.size(layer.mean) == 3:
        deviation = np.sqrt(keras.ops.convert_to_numpy(layer.variance))
        return _rescaling(layer, 1 / deviation, -keras.ops.convert_to_numpy(layer.mean) / deviation)
    if isinstance(layer, keras.layers.Rescaling) and max(np.size(layer.scale), np.size(layer.offset)) == 3:
        return _rescaling(layer, layer.scale, layer.offset)
    return layer.__class__.from_config(layer.get_config())


def _rescaling(layer, scale, offset):
    return keras.layers.Rescaling(float(np.mean(scale)), float(np.mean(offset)), name=layer.name)


def _copy_weights(model, copy):
    for layer in model.layers:
        if isinstance(layer, keras.Sequential):
            _copy_weights(layer, copy.get_layer(layer.name))
        elif layer.weights and (target := copy.get_layer(layer.name)).weights:
            values = zip(layer.get_weights(), target.get_weights(), strict=True)
            target.set_weights([_fitted(layer, value, wanted.shape) for value, wanted in values])


def _fitted(layer, value, shape):
    if value.shape == shape:
        return value
    if not isinstance(layer, keras.layers.Conv2D) or value.shape[2] != 3:
        raise ValueError(f"Layer {layer.name!r} has weights of shape {value.shape}, but would need {shape}.")
    return np.repeat(value.mean(axis=2, keepdims=True), shape[2], axis=2) * (3 / shape[2])
