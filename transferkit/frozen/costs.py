"""Counts the multiply-adds of a network, to estimate what training some of its layers costs."""

import math
from collections.abc import Collection, Mapping, Sequence

import keras
from keras import layers


def multiply_adds(network: keras.Model) -> dict[str, int]:
    """Counts the multiply-adds of each layer for one image.

    A layer multiplies every weight of its kernels once at every position of its output. What has no kernel
    (activations, sums, pooling, BatchNorm and other scales of a channel) counts as nothing, as is usual. A model inside
    the network counts as one layer with the sum of its own. A layer that is called more than once counts once, as it
    was called first. In a layer made of layers, which is no model, kernels are counted at the positions of its output.

    Args:
        network: Functional `keras.Model` for images of one size.

    Returns:
        Dict from the name of each layer to its multiply-adds for one image, in the order of `network.layers`.

    Raises:
        ValueError: If the number of positions is not known because the network takes images of any size.

    Example:
        >>> image = keras.Input((8, 8, 3))
        >>> features = keras.layers.Conv2D(16, 3, padding="same", name="conv")(image)
        >>> multiply_adds(keras.Model(image, features))["conv"]  # 3 × 3 × 3 × 16 weights at 8 × 8 positions
        27648
    """
    return {layer.name: _layer_cost(layer) for layer in network.layers}


def training_cost(costs: Mapping[str, int], layer_names: Sequence[str], trained: Collection[str]) -> int:
    """Counts the multiply-adds of one training step for one image.

    The usual accounting: the forward pass goes through all layers; backwards, the gradient of the loss with respect to
    activations goes through every layer after the first trained one, at the cost of its forward pass; and the gradient
    with respect to the weights of a trained layer costs that once more. So a step that trains everything costs nearly
    three forward passes. The optimizer's update and what `multiply_adds` does not count are left out.

    Args:
        costs: Multiply-adds of each layer, from `multiply_adds`.
        layer_names: Names of the layers in the order in which they are computed.
        trained: Names of those with weights that are trained; without any, the cost is that of the forward pass. The
            first of them is where gradients stop, so layers that have no weights, such as the input, must not be in it.

    Returns:
        Multiply-adds for one image.

    Raises:
        ValueError: If `trained` has a name that `layer_names` has not, or `layer_names` one that `costs` has not.

    Example:
        >>> costs = {"conv1": 100, "conv2": 50, "dense": 5}
        >>> training_cost(costs, list(costs), {"conv2", "dense"})  # 155 forwards, 5 for activations, 55 for weights
        215
    """
    _check_known("trained", trained, "layer_names", layer_names)
    _check_known("layer_names", layer_names, "costs", costs)
    first = next((i for i, name in enumerate(layer_names) if name in trained), len(layer_names))
    forward = sum(costs[name] for name in layer_names)
    activations = sum(costs[name] for name in layer_names[first + 1 :])
    weights = sum(costs[name] for name in layer_names if name in trained)
    return forward + activations + weights


def _layer_cost(layer):
    if isinstance(layer, keras.Model):
        return sum(multiply_adds(layer).values())
    # Kernels have at least two axes; biases and scales of channels have one.
    kernel_size = sum(math.prod(weight.shape) for weight in layer.weights if len(weight.shape) >= 2)
    return kernel_size * _positions(layer) if kernel_size else 0


def _positions(layer):
    """Number of positions at which the kernel of a layer is applied to one image: all but batch and channels."""
    # A transposed convolution spreads its kernel from every position of the input.
    shape = (layer.input if isinstance(layer, layers.Conv2DTranspose) else layer.output).shape
    is_channels_first = getattr(layer, "data_format", None) == "channels_first"
    positions = shape[2:] if is_channels_first else shape[1:-1]
    if None in positions:
        raise ValueError(
            f"The multiply-adds of layer {layer.name!r} depend on the size of the images, which is not fixed. "
            f"Received: a layer with output shape {layer.output.shape}. "
            "Build the network for one size, such as `keras.Input((224, 224, 3))`."
        )
    return math.prod(positions)


def _check_known(name, given, place, known):
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ValueError(f"`{name}` must hold names from `{place}` only. Received also: {', '.join(unknown)}.")
