"""Stages of a backbone: which layers belong to which, and where the network can be cut in two exactly."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import keras

from transferkit._utils.keras import calls_by_depth


@dataclass(frozen=True)
class Stage:
    """A named run of layers of a backbone.

    A stage begins at the input of its first layer or, where Keras gives that layer no lasting name, at the output
    of the last layer before it. The first stage, which begins at the image, has neither.

    Args:
        name: What users call it, such as `"conv4"`.
        first_layer: Name of the layer whose input is the end of the stage before.
        after: Name of the layer whose output is the end of the stage before.
    """

    name: str
    first_layer: str | None = None
    after: str | None = None


def stage_layers(model, stages):
    """Assigns every layer of `model` to exactly one stage.

    A layer belongs to the first stage whose end depends on it; what no earlier stage needs belongs to the last.

    Args:
        model: Functional `keras.Model`.
        stages: Sequence of `Stage`, from the image to the features.

    Returns:
        Dict from stage name to the list of its layers, in the order of `model.layers`.
    """
    members = {stage.name: [] for stage in stages}
    ends = [(stage.name, _ancestors(model, cut_tensor(model, following))) for stage, following in pairwise(stages)]
    for layer in model.layers:
        name = next((name for name, ancestors in ends if layer.name in ancestors), stages[-1].name)
        members[name].append(layer)
    return members


def cut_tensor(model, stage):
    """Returns the tensor at which `stage` begins."""
    if stage.after is not None:
        return _calls_of(model, stage.after)[-1].output_tensors[0]
    return _calls_of(model, stage.first_layer)[0].input_tensors[0]


def is_exact_cut(model, stage):
    """Tells whether nothing but the tensor at which `stage` begins crosses from the layers before it to the rest."""
    if stage.first_layer is None and stage.after is None:
        return False
    tensor = cut_tensor(model, stage)
    front = _calls_before(model, tensor)
    behind = [call for call in _calls(model) if call not in front]
    if {id(call.operation) for call in front} & {id(call.operation) for call in behind}:
        return False  # Keras does not cut between two calls of one layer
    made_in_front = {id(t) for call in front for t in call.output_tensors}
    crossing = {id(t) for call in behind for t in call.input_tensors if id(t) in made_in_front}
    return crossing == {id(tensor)}


def exact_cuts(model, stages):
    """Returns the names of the stages before which `model` can be cut in two exactly."""
    return tuple(stage.name for stage in stages if is_exact_cut(model, stage))


def split_model(model: keras.Model, stages: Sequence[Stage], name: str) -> tuple[keras.Model, keras.Model]:
    """Cuts `model` in two where the stage `name` begins. The two models share their weights with `model`.

    Args:
        model: Functional `keras.Model`.
        stages: Its stages.
        name: Stage that becomes the first of the back.

    Returns:
        `(front, back)`, two `keras.Model` with `back(front(x))` equal to `model(x)`.

    Raises:
        ValueError: If no exact cut exists there.
    """
    cuts = exact_cuts(model, stages)
    if name not in cuts:
        raise ValueError(
            f"Model {model.name!r} cannot be cut exactly before stage {name!r}: "
            f"more than one tensor crosses there. Exact cuts: {', '.join(cuts) or 'none'}."
        )
    tensor = cut_tensor(model, next(stage for stage in stages if stage.name == name))
    front = keras.Model(model.input, tensor, name=f"{model.name}_front")
    back = keras.Model(tensor, model.output, name=f"{model.name}_back")
    return front, back


def find_stages(model):
    """Finds stages in a model without a description: each ends where the feature maps become smaller.

    Args:
        model: Functional `keras.Model` with one image input.

    Returns:
        Tuple of `Stage` named `stage1`, `stage2`, …, each beginning at an exact cut.
    """
    starts, area = [], None
    for layer, tensor in _first_layers_after_cuts(model):
        size = _area(tensor)
        if area is not None and size is not None and size < area:
            starts.append(layer.name)
        area = size if size is not None else area
    return tuple(Stage(f"stage{i}", start) for i, start in enumerate([None, *starts], 1))


def _first_layers_after_cuts(model):
    """Yields, in order, the layers whose input alone carries everything computed before it, and that input."""
    calls = _calls(model)
    last_use = {id(t): i for i, call in enumerate(calls) for t in call.input_tensors}
    last_call = {id(call.operation): i for i, call in enumerate(calls)}
    open_tensors, open_until = set(), -1  # a layer that is called again is on both sides of a cut before that
    for i, call in enumerate(calls):
        inputs, layer = call.input_tensors, call.operation
        alone = len(inputs) == 1 and open_tensors == {id(inputs[0])}
        is_image = inputs and any(inputs[0] is t for t in model.inputs)
        if alone and not is_image and isinstance(layer, keras.layers.Layer) and open_until < i:
            yield layer, inputs[0]
        open_until = max(open_until, last_call[id(layer)])
        open_tensors |= {id(t) for t in call.output_tensors}
        open_tensors = {t for t in open_tensors if last_use.get(t, -1) > i}


def _area(tensor):
    if len(tensor.shape) != 4 or None in tensor.shape[1:3]:
        return None
    return tensor.shape[1] * tensor.shape[2]


def _ancestors(model, tensor):
    """Names of the operations that `tensor` is computed from."""
    return {call.operation.name for call in _calls_before(model, tensor)}


def _calls_before(model, tensor):
    """The calls of operations that `tensor` is computed from."""
    producers = {id(t): call for call in _calls(model) for t in call.output_tensors}
    found, open_ids = set(), [id(tensor)]
    while open_ids:
        call = producers.get(open_ids.pop())
        if call is None or call in found:
            continue
        found.add(call)
        open_ids += [id(t) for t in call.input_tensors]
    return found


def _calls(model):
    """The calls of operations in the graph of a model, from its inputs on.

    These are Keras' nodes: an operation that is used twice has two in a graph, and those of other graphs as well.
    """
    order = {id(operation): place for place, operation in enumerate(model.operations)}
    by_depth = calls_by_depth(model)
    return [
        call
        for depth in sorted(by_depth, reverse=True)
        for call in sorted(by_depth[depth], key=lambda call: order[id(call.operation)])
    ]


def _calls_of(model, name):
    """The calls of one layer in the graph of a model, in their order."""
    layer = model.get_layer(name)
    return [call for call in _calls(model) if call.operation is layer]
