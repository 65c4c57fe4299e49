"""What trains and what stays frozen: flags on layers, and a view of the network that keeps frozen layers at rest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import keras

from transferkit._utils.keras import all_layers, own_trainable_variables, takes_training
from transferkit.backbones.stages import Stage, stage_layers
from transferkit.models.lora import LowRank, can_adapt

_BATCH_NORM = keras.layers.BatchNormalization


@dataclass(frozen=True)
class Selection:
    """What trains of a backbone.

    Attributes:
        layers: Names of the layers whose weights train.
        only_batch_norm: Of those layers, only scale and shift of BatchNorm train.
        rank: Rank of the low-rank adapters that train instead of the kernels of those layers, or `None`.
        head: Whether the head trains.
    """

    layers: frozenset[str]
    only_batch_norm: bool = False
    rank: int | None = None
    head: bool = True


def select(
    network: keras.Model, stages: Sequence[Stage], train: str | Sequence[str], rank: int | None = None
) -> Selection:
    """Finds the layers that a phase trains.

    Args:
        network: The backbone, a functional `keras.Model`.
        stages: Its stages, from the image to the features.
        train: `"head"` (or `"logistic"`): nothing of the backbone; `"all"`; `"batch_norm"`; `"lora"`; the name of a
            stage: that one and all after it; or a sequence of names of stages and `"head"`: exactly those.
        rank: Rank for `"lora"`.

    Returns:
        A `Selection`.

    Raises:
        ValueError: If a stage is unknown, or nothing trains that way in this network.
    """
    everything = frozenset(layer.name for layer in network.layers)
    if train in ("head", "logistic"):
        return Selection(frozenset())
    if train == "batch_norm":
        if not any(isinstance(layer, _BATCH_NORM) for layer in all_layers(network)):
            raise ValueError("train='batch_norm': this backbone has no BatchNorm layers. Use 'head' or a stage.")
        return Selection(everything, only_batch_norm=True)
    if train == "lora":
        if not any(can_adapt(layer) for layer in network.layers):
            raise ValueError("train='lora': this backbone has no Conv2D or Dense layers. Use 'head' or a stage.")
        return Selection(everything, rank=rank)
    members = stage_layers(network, stages)
    names = check_stages(train, members)
    chosen = frozenset(layer.name for name in names for layer in members[name])
    has_head = isinstance(train, str) or "head" in train
    if not has_head and not any(layer.weights for layer in network.layers if layer.name in chosen):
        raise ValueError(f"train={train!r} trains nothing: these stages have no weights. Expected one with weights.")
    return Selection(chosen, head=has_head)


def changing_layers(network, selection):
    """Returns the names of the layers that compute something else from one step of a phase to the next.

    Those whose weights train, and those in training stages that draw at random.
    """

    def changes(layer):
        if selection.rank is not None:
            return can_adapt(layer)
        if selection.only_batch_norm:
            return any(isinstance(inner, _BATCH_NORM) for inner in all_layers(layer))
        return bool(layer.weights) or _has_modes(layer)

    return {layer.name for layer in network.layers if layer.name in selection.layers and changes(layer)}


def check_stages(train, stage_names):
    """Returns the names of the stages that `train` means.

    Raises:
        ValueError: If one of them is not among `stage_names`.
    """
    names = list(stage_names)
    if train == "all":
        return names
    asked = [train] if isinstance(train, str) else [name for name in train if name != "head"]
    for name in asked:
        if name in ("all", "batch_norm", "lora", "logistic"):
            raise ValueError(f"train={train!r}: {name!r} must stand alone, as train={name!r}, not in a list.")
        if name not in names:
            raise ValueError(
                f"Unknown stage {name!r} in train={train!r}. The stages of this backbone are: {', '.join(names)}. "
                "Besides them, 'head', 'all', 'batch_norm' and 'lora' are known."
            )
    return names[names.index(train) :] if isinstance(train, str) else asked


def weighted_stages(network, stages):
    """Returns the names of the stages that have weights, from the image to the features."""
    members = stage_layers(network, stages)
    return tuple(name for name, layers in members.items() if any(layer.weights for layer in layers))


@dataclass(frozen=True)
class TrainableBackbone:
    """A network as one phase trains it.

    Attributes:
        model: Functional `keras.Model`, which shares its layers with the network.
        adapters: The `LowRank` layers in it, by the name of the layer that each adapts.
    """

    model: keras.Model = field(repr=False)
    adapters: dict[str, LowRank] = field(repr=False)


def build_trainable(
    network: keras.Model,
    selection: Selection,
    *,
    adapt_batch_norm: bool = False,
    adapters: Mapping[str, LowRank] | None = None,
) -> TrainableBackbone:
    """Sets the flags of all layers of `network` and builds the model that trains the selected ones.

    Frozen layers compute as they do in prediction, even while the model trains: their Dropout and stochastic depth
    are off. BatchNorm layers do so whether they are frozen or not: their statistics never move, while scale and shift
    train with their stage. Keras' own flags and `training=False` do not give that (see `docs/architecture.md`).

    Args:
        network: The backbone. Its flags are changed; its layers are shared.
        selection: What trains.
        adapt_batch_norm: Let the statistics of BatchNorm in selected layers move, and use those of the batch.
        adapters: Dict of existing `LowRank` layers, to use those of the same rank again.

    Returns:
        A `TrainableBackbone`.
    """
    used: dict[str, LowRank] = {}
    resting: dict[str, AtRest] = {}
    adapting = selection.rank is not None
    set_flags(network, selection, adapt_batch_norm)

    def wrapped(layer):
        if adapting and can_adapt(layer):
            if layer.name not in used:
                known = (adapters or {}).get(layer.name)
                fits = known is not None and known.rank == selection.rank
                used[layer.name] = known if fits else LowRank(layer, selection.rank, seed=len(used))
            return used[layer.name]
        is_active = layer.name in selection.layers and not adapting
        is_active = is_active and (
            adapt_batch_norm if isinstance(layer, _BATCH_NORM) else not selection.only_batch_norm
        )
        if is_active or not _has_modes(layer):
            return layer
        return resting.setdefault(layer.name, AtRest(layer))

    def call(layer, *args, **kwargs):
        return wrapped(layer)(*args, **kwargs)

    model = keras.models.clone_model(network, clone_function=lambda layer: layer, call_function=call)
    return TrainableBackbone(model, used)


class AtRest(keras.layers.Layer):
    """Calls a layer as in prediction, whatever the model around it is doing.

    Args:
        layer: The layer, whose weights stay its own.
    """

    def __init__(self, layer):
        super().__init__(name=f"{layer.name}_at_rest", dtype=layer.dtype_policy)
        self.layer = layer
        self.built = True

    def call(self, *args, **kwargs):
        """Calls it."""
        return self.layer(*args, **{**kwargs, "training": False})

    def compute_output_spec(self, *args, **kwargs):
        """Asks the layer, which knows: Keras would trace `call` twice instead, for each of hundreds of layers."""
        return self.layer.compute_output_spec(*args, **{**kwargs, "training": False})


def is_batch_norm(layer):
    """Whether a layer is a BatchNorm."""
    return isinstance(layer, _BATCH_NORM)


def _has_modes(layer):
    """Whether a layer, or one inside it, computes something else while it trains."""
    layers = all_layers(layer) if isinstance(layer, keras.layers.Layer) else []
    return any(takes_training(inner) and not isinstance(inner, keras.layers.InputLayer) for inner in layers)


def set_flags(network, selection, adapt_batch_norm=False):
    """Sets which layers of `network` train. Each has a flag of its own: that of a model would say nothing."""
    # A model whose own flag is off has no trainable variables, whatever its layers say.
    network.trainable = True
    trains_whole_layers = selection.rank is None and not selection.only_batch_norm
    for layer in network.layers:
        trains = layer.name in selection.layers and trains_whole_layers
        for inner in all_layers(layer):
            if isinstance(inner, _BATCH_NORM) and selection.only_batch_norm:
                _set_flag(inner, True)
            elif isinstance(inner, _BATCH_NORM) and inner is not layer and not adapt_batch_norm:
                # `AtRest` cannot reach it: its statistics are frozen, and scale and shift train with the layer.
                _set_flag(inner, False, trains)
            else:
                _set_flag(inner, trains)


def _set_flag(layer, trains, weights_train=None):
    """Sets the flag of a layer and those of its weights, whatever an earlier phase has made of them.

    Keras hands a flag on only where it differs from the one that is there, and so would miss weights and layers inside
    that were set one by one.
    """
    layer.trainable = trains
    for weight in own_trainable_variables(layer):
        weight.trainable = trains if weights_train is None else weights_train


def depths_below_head(network, stages, adapters=None):
    """Counts how many stages below the head each variable is: 1 in the last stage, 2 in the one before.

    Args:
        network: The backbone.
        stages: Its stages.
        adapters: Dict of `LowRank` layers by the name of the layer that each adapts.

    Returns:
        Dict from the `id` of a variable to its depth.
    """
    adapters = adapters or {}
    members = stage_layers(network, stages)
    return {
        id(weight): depth
        for depth, layers in enumerate(reversed(members.values()), 1)
        for layer in layers
        for weight in (*layer.weights, *(adapters[layer.name].weights if layer.name in adapters else ()))
    }
