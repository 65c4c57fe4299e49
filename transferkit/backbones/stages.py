"""Stages of a backbone: which layers belong to which, and where the network can be cut in two exactly."""

from dataclasses import dataclass
from itertools import pairwise

import keras


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
        return _outputs(model.get_layer(stage.after))[0]
    return _inputs(model.get_layer(stage.first_layer))[0]


def is_exact_cut(model, stage):
    """Tells whether nothing but the tensor at which `stage` begins crosses from the layers before it to the rest."""
    if stage.first_layer is None and stage.after is None:
        return False
    tensor = cut_tensor(model, stage)
    front = _ancestors(model, tensor)
    front_outputs = {id(t) for op in model.operations if op.name in front for t in _outputs(op)}
    crossing = {id(t) for op in model.operations if op.name not in front for t in _inputs(op) if id(t) in front_outputs}
    return crossing == {id(tensor)}


def exact_cuts(model, stages):
    """Returns the names of the stages before which `model` can be cut in two exactly."""
    return tuple(stage.name for stage in stages if is_exact_cut(model, stage))


def split_model(model, stages, name):
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
    """Finds stages in a model that nobody described: one ends wherever the image shrinks next.

    Args:
        model: Functional `keras.Model` with one image input.

    Returns:
        Tuple of `Stage` named `stage1`, `stage2`, …, each beginning at an exact cut.
    """
    starts, area = [], None
    for layer in _first_layers_after_cuts(model):
        size = _area(_inputs(layer)[0])
        if area is not None and size is not None and size < area:
            starts.append(layer.name)
        area = size if size is not None else area
    return tuple(Stage(f"stage{i}", start) for i, start in enumerate([None, *starts], 1))


def _first_layers_after_cuts(model):
    """Yields, in order, the layers that consume a tensor which alone carries everything computed before it."""
    last_use = {id(t): i for i, op in enumerate(model.operations) for t in _inputs(op)}
    open_tensors = set()
    for i, op in enumerate(model.operations):
        inputs = _inputs(op)
        alone = len(inputs) == 1 and open_tensors == {id(inputs[0])}
        is_image = inputs and any(inputs[0] is t for t in model.inputs)
        if alone and not is_image and isinstance(op, keras.layers.Layer):
            yield op
        open_tensors |= {id(t) for t in _outputs(op)}
        open_tensors = {t for t in open_tensors if last_use.get(t, -1) > i}


def _area(tensor):
    if len(tensor.shape) != 4 or None in tensor.shape[1:3]:
        return None
    return tensor.shape[1] * tensor.shape[2]


def _ancestors(model, tensor):
    """Names of the operations that `tensor` is computed from."""
    producers = {id(t): op for op in model.operations for t in _outputs(op)}
    found, open_ids = set(), [id(tensor)]
    while open_ids:
        op = producers.get(open_ids.pop())
        if op is None or op.name in found:
            continue
        found.add(op.name)
        open_ids += [id(t) for t in _inputs(op)]
    return found


def _inputs(op):
    """Tensors that `op` takes. For a model inside the model, `op.input` would be its own input."""
    return [] if isinstance(op, keras.layers.InputLayer) else keras.tree.flatten(keras.Operation.input.fget(op))


def _outputs(op):
    return keras.tree.flatten(keras.Operation.output.fget(op))
