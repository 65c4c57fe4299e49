"""Takes BatchNorm out of a network for prediction: folded into the weights of the layer before it."""

from collections import Counter, defaultdict

import keras
import numpy as np
from keras import layers, ops

from transferkit._utils.keras import calls_by_depth, run_graph, takes_training

# Where each kind of layer keeps what makes its output channels, and the sum that these are added to.
_KERNELS = {
    layers.Conv2D: "kernel",
    layers.DepthwiseConv2D: "kernel",
    layers.SeparableConv2D: "pointwise_kernel",
    layers.Dense: "kernel",
}


def fold_batch_norm(model):
    """Folds every BatchNorm that directly follows a linear layer into that layer, where this is exact.

    In prediction, BatchNorm multiplies each channel by a number and adds another one. So do the kernel and the bias of
    a convolution or Dense layer before it, if nothing else uses what that layer gives. A network without those
    BatchNorms computes the same with less to do.

    Models inside the model are folded too. What cannot be folded stays: BatchNorm before a convolution, behind an
    activation or inside a layer that is made of layers, and layers that are called more than once.

    Args:
        model: `keras.Model`. It is not changed, and neither are its layers.

    Returns:
        A `Folded` model, which shares all other layers with `model`; or `model` itself, if it is not functional or
        nothing in it can be folded.
    """
    graph = model
    if isinstance(model, keras.Sequential) and model.built:
        graph = keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    replaced = _fold_layers(graph) if _is_functional(graph) else {}
    return Folded(graph, replaced) if replaced else model


class Folded(keras.Model):
    """A functional model with some layers replaced by others, for computing only.

    It is no functional model itself: Keras would note in every shared layer that the new ones are called with its
    output, and keep their weights for as long as the original lives.

    Args:
        model: The functional model.
        replaced: Dict from the `id` of a layer of `model` to the layer in its place, or to `None` if it is left out.
    """

    def __init__(self, model, replaced):
        super().__init__(name=model.name)
        # The model itself is no part of this one: the weights of the layers that were replaced are not used.
        components = (replaced.get(id(layer), layer) for layer in model.layers)
        self.components = [layer for layer in components if layer is not None]
        self._compute = _Computation(model, replaced)
        self.input_shape = model.input_shape
        self.output_shape = model.output_shape
        self.built = True

    def call(self, inputs, training=None, mask=None):
        """Computes what the functional model computes in prediction, whatever is asked for."""
        return self._compute(inputs)


class _Computation:
    def __init__(self, model, replaced):
        self._model = model
        self._replaced = replaced

    def __call__(self, inputs):
        tensors = [
            ops.convert_to_tensor(tensor, expected.dtype)
            for tensor, expected in zip(keras.tree.flatten(inputs), self._model.inputs, strict=True)
        ]
        outputs = run_graph(self._model, tensors, self._in_prediction)
        return outputs[0] if isinstance(outputs, list) and len(outputs) == 1 else outputs

    def _in_prediction(self, operation):
        operation = self._replaced.get(id(operation), operation)
        if operation is None:
            return _pass_on
        if not takes_training(operation):
            return operation
        return lambda *args, **kwargs: operation(*args, **{**kwargs, "training": False})


def _pass_on(inputs, *args, **kwargs):
    return inputs


def _is_functional(model):
    """Whether a model is nothing but its graph: no subclass of the user's, which may compute something else."""
    is_of_keras = type(model).__module__.partition(".")[0] == "keras"
    return is_of_keras and isinstance(model, keras.Model) and hasattr(model, "operations")


def _fold_layers(model):
    """Returns what replaces which layer of a functional model, as `Folded` takes it."""
    replaced = {}
    for layer, batch_norm, inputs in _foldable_pairs(model):
        replaced[id(layer)] = _merge(layer, batch_norm, inputs.shape)
        replaced[id(batch_norm)] = None
    for inner in model.layers:
        folded = fold_batch_norm(inner) if isinstance(inner, keras.Model) else inner
        if isinstance(folded, Folded):
            replaced[id(inner)] = folded
    return replaced


def _foldable_pairs(model):
    """Yields each layer that is followed by a BatchNorm which can be folded into it, that, and the layer's input."""
    # Layers may be called in other models as well, so what counts are the nodes of this model's graph.
    nodes = [node for nodes in calls_by_depth(model).values() for node in nodes if not node.is_input]
    num_calls = Counter(id(node.operation) for node in nodes)
    consumers = defaultdict(list)
    for node in nodes:
        for tensor in node.input_tensors:
            consumers[id(tensor)].append(node.operation)
    for tensor in model.outputs:
        # An output of the model is used outside it, whatever uses it inside.
        consumers[id(tensor)].append(None)
    for node in nodes:
        layer, following = node.operation, consumers[id(node.outputs[0])]
        if len(following) != 1 or not _is_linear(layer) or type(following[0]) is not layers.BatchNormalization:
            continue
        batch_norm = following[0]
        is_called_once = num_calls[id(layer)] == num_calls[id(batch_norm)] == 1
        if is_called_once and _fit_together(layer, batch_norm, node.outputs[0]):
            yield layer, batch_norm, node.input_tensors[0]


def _is_linear(layer):
    """Whether a layer is of a kind that can take a BatchNorm in: no subclass, no activation, not quantized."""
    return (
        type(layer) in _KERNELS
        and layer.activation is keras.activations.linear
        and getattr(layer, "quantization_mode", None) is None
    )


def _fit_together(layer, batch_norm, tensor):
    """Whether BatchNorm normalises the channels of `tensor`, the layer's output, in the layer's own precision."""
    rank = len(tensor.shape)
    channels = 1 if getattr(layer, "data_format", None) == "channels_first" else rank - 1
    return batch_norm.axis % rank == channels and layer.compute_dtype == batch_norm.compute_dtype


def _merge(layer, batch_norm, input_shape):
    """Makes a layer that computes what `batch_norm` makes of the output of `layer`."""
    kernel_name = _KERNELS[type(layer)]
    scale, shift = _scale_and_shift(batch_norm)
    # In float64, so that the product is rounded only once.
    kernel = _as_float64(getattr(layer, kernel_name))
    channels = kernel.shape[2:] if isinstance(layer, layers.DepthwiseConv2D) else kernel.shape[-1:]
    bias = 0.0 if layer.bias is None else _as_float64(layer.bias)
    merged = type(layer).from_config(_plain_config(layer))
    merged.build(input_shape)
    getattr(merged, kernel_name).assign(kernel * scale.reshape(channels))
    merged.bias.assign(bias * scale + shift)
    if isinstance(layer, layers.SeparableConv2D):
        merged.depthwise_kernel.assign(layer.depthwise_kernel)
    return merged


def _scale_and_shift(batch_norm):
    """What BatchNorm multiplies each channel by in prediction, and what it adds."""
    variance, mean = _as_float64(batch_norm.moving_variance), _as_float64(batch_norm.moving_mean)
    scale = 1 / np.sqrt(variance + batch_norm.epsilon)
    if batch_norm.gamma is not None:
        scale = scale * _as_float64(batch_norm.gamma)
    shift = -mean * scale
    return scale, shift if batch_norm.beta is None else shift + _as_float64(batch_norm.beta)


def _plain_config(layer):
    """Configuration of a layer like this one, with a bias, and without what matters only before and while it trains."""
    # `layer.kernel` includes the update of Keras' own LoRA, which must not be added again.
    config = {name: value for name, value in layer.get_config().items() if not name.startswith("lora_")}
    for name in config:
        if name.endswith("_initializer"):
            config[name] = "zeros"  # which draws nothing from a random generator
        elif name.endswith(("_regularizer", "_constraint")):
            config[name] = None
    return {**config, "use_bias": True}


def _as_float64(variable):
    return ops.convert_to_numpy(variable).astype("float64")
