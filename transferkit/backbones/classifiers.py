"""Whether a model still has its classifier: probabilities or logits of its own classes are no features for others."""

from typing import NamedTuple

import keras

from transferkit._utils.keras import inputs_behind, is_computed, operation_behind

_IMAGENET = (1000, 1001, 21841, 21843)  # classes of ImageNet, of which some publishers count the background
_KERNELS = keras.layers.Dense | keras.layers.Conv2D
_UNCHANGED = keras.layers.Flatten | keras.layers.Reshape | keras.layers.Dropout | keras.layers.Identity


class Classifier(NamedTuple):
    """The classifier that a model ends in.

    Attributes:
        name: Name of its layer.
        before: Name of the last layer before it, or `None` if there is none that has a name in the model.
        inner: Name of the model that it belongs to if that is the last layer of another one, or `None`.
    """

    name: str
    before: str | None
    inner: str | None = None


def refuse_classifier(model):
    """Raises `ValueError` if a functional `keras.Model` ends in a classifier."""
    found = find_classifier(model)
    if found is None:
        return
    whose = f" of the model {found.inner!r} in it" if found.inner else ""
    before = ""
    if found.before is not None and not found.inner:
        before = f", or end it before: `keras.Model(model.input, model.get_layer({found.before!r}).output)`"
    built = repr(found.inner) if found.inner else "it"
    raise ValueError(
        f"A backbone must end in features. Received: model {model.name!r} with its classifier, layer {found.name!r}"
        f"{whose}, of output shape {model.output_shape}. Build {built} with `include_top=False`{before}."
    )


def find_classifier(model):
    """Finds the classifier that a functional `keras.Model` ends in.

    That is a softmax, whatever gives its logits, or, where each image gets a vector, a layer of as many logits as
    ImageNet has classes, or a dense layer of one output. Other dense layers may be embeddings.

    Returns:
        A `Classifier`, or `None`.
    """
    operation, tensor, has_softmax = _last_operation(model.outputs[0])
    if _is_functional(operation) and not has_softmax:
        inner = find_classifier(operation)
        return inner and inner._replace(inner=inner.inner or operation.name)
    is_vector = len(model.outputs[0].shape) == 2
    if has_softmax or _has_softmax(operation):
        is_head = isinstance(operation, _KERNELS)
        return Classifier(operation.name, _name_before(_input(tensor) if is_head else tensor, model))
    if is_vector and isinstance(operation, _KERNELS) and _counts_classes(operation):
        return Classifier(operation.name, _name_before(_input(tensor), model))
    return None


def _last_operation(tensor):
    """Goes back over what computes nothing, and over softmax. Returns `(operation, its output, was softmax there)`."""
    operation, has_softmax = operation_behind(tensor), False
    while _passes_on(operation) or (_has_softmax(operation) and not isinstance(operation, _KERNELS)):
        has_softmax |= _has_softmax(operation)
        tensor = _input(tensor)
        operation = operation_behind(tensor)
    return operation, tensor, has_softmax


def _passes_on(operation):
    is_linear = isinstance(operation, keras.layers.Activation) and operation.activation is keras.activations.linear
    return is_linear or isinstance(operation, _UNCHANGED)


def _has_softmax(operation):
    activation = getattr(operation, "activation", None)
    names = type(operation).__name__, getattr(activation, "__name__", type(activation).__name__)
    return any(name.lower() in ("softmax", "logsoftmax", "log_softmax") for name in names)


def _counts_classes(layer):
    outputs = layer.units if isinstance(layer, keras.layers.Dense) else layer.filters
    if outputs == 1:
        return isinstance(layer, keras.layers.Dense)
    return outputs in _IMAGENET and layer.activation in (keras.activations.linear, keras.activations.sigmoid)


def _is_functional(operation):
    return isinstance(operation, keras.Model) and hasattr(operation, "operations")


def _input(tensor):
    """The first tensor that the operation behind `tensor` was given."""
    return inputs_behind(tensor)[0]


def _name_before(tensor, model):
    """Name of the layer that gives `tensor`, or of the last one before it that `model` knows by a name."""
    operation = operation_behind(tensor)
    while operation not in model.layers and is_computed(operation):
        tensor = _input(tensor)
        operation = operation_behind(tensor)
    is_input = isinstance(operation, keras.layers.InputLayer)
    return None if is_input or operation not in model.layers else operation.name
