"""Where the frozen front of a network ends in a phase: its output is the same in every epoch."""

from dataclasses import dataclass

from transferkit.backbones.stages import cut_tensor, exact_cuts, stage_layers
from transferkit.frozen.costs import multiply_adds
from transferkit.models.freezing import changing_layers


@dataclass(frozen=True)
class Cut:
    """The end of the frozen front of a network.

    Attributes:
        stage: Name of the stage that begins there; `None` if the whole backbone is frozen and what is kept are its
            pooled features.
        row_shape: Shape of what is kept of one image.
        work: Multiply-adds of the front for one image; 0 if they cannot be counted.
        share: What part that is of the whole network, in `[0, 1]`.
    """

    stage: str | None
    row_shape: tuple[int, ...]
    work: int
    share: float

    @property
    def is_pooled(self):
        """Whether the front is all of the backbone, and the pooling after it."""
        return self.stage is None


def pooled_cut(network, pooling):
    """Returns the `Cut` after the pooling."""
    return Cut(None, pooling.output_shape[1:], sum(_costs(network).values()), 1.0)


def find_cut(network, pooling, stages, selection):
    """Finds the deepest exact cut of a network with nothing before it that changes in a phase.

    Args:
        network: The backbone.
        pooling: What follows it.
        stages: Its stages.
        selection: What trains.

    Returns:
        A `Cut`, or `None` if there is no such place.
    """
    changing = changing_layers(network, selection)
    if not changing:
        return pooled_cut(network, pooling)
    costs, cuts, found, work = _costs(network), exact_cuts(network, stages), None, 0
    total = sum(costs.values())
    by_name = {stage.name: stage for stage in stages}
    for name, layers in stage_layers(network, stages).items():
        # Before the test below: the cut is in front of this stage, which may itself change. All rows need one shape.
        if name in cuts and None not in (shape := cut_tensor(network, by_name[name]).shape[1:]):
            found = Cut(name, shape, work, work / total if total else 1.0)
        if any(layer.name in changing for layer in layers):
            break
        work += sum(costs[layer.name] for layer in layers)
    return found


def _costs(network):
    try:
        return multiply_adds(network)
    except ValueError:  # a network for images of any size
        return {layer.name: 0 for layer in network.layers}
