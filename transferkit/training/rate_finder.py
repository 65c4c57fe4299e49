"""A learning-rate range test: how the loss falls, and then explodes, as the rate grows from step to step."""

import math
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from matplotlib.axes import Axes

from transferkit._utils import console
from transferkit._utils.figures import ShownFigure, png_of
from transferkit._utils.tensorflow import without_retracing_warnings
from transferkit.models.assembly import build_trainee
from transferkit.models.freezing import build_trainable, depths_below_head, select
from transferkit.training.optimizers import Tuning, build_optimizer, weigh_batches

_SMOOTHING = 0.9  # momentum of the running mean of the loss
_RISEN = 1.5  # times the lowest loss so far, which noise does not explain
_EXPLODED = 4.0  # times the lowest loss so far, where the test ends


@dataclass(frozen=True)
class RateCurve:
    """The outcome of a learning-rate range test (Smith, WACV 2017). A notebook shows it as a plot.

    Attributes:
        learning_rates: Rate of each step, growing.
        losses: Training loss of each step, smoothed, in nats.
        suggestion: A rate to train with: a tenth of the one at which the loss begins to explode.
        exploded: Whether it did; if not, the suggestion is a tenth of the largest rate, and a higher one may work.
    """

    learning_rates: np.ndarray = field(repr=False)
    losses: np.ndarray = field(repr=False)
    suggestion: float
    exploded: bool = True

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draws loss against rate, with the suggestion.

        Args:
            ax: Matplotlib axes; default: new ones.

        Returns:
            The axes; `.figure` is their figure.
        """
        if ax is None:
            ax = ShownFigure(figsize=(6, 4), layout="constrained").subplots()
        ax.plot(self.learning_rates, self.losses)
        ax.axvline(self.suggestion, color="tab:red", linestyle="--", label=f"suggestion: {self.suggestion:.1e}")
        ax.set(xscale="log", xlabel="learning rate", ylabel="training loss (smoothed)")
        ax.legend()
        return ax

    def _repr_png_(self):
        return png_of(self.plot().figure)


@dataclass(frozen=True)
class RateRange:
    """The rates that a range test goes through.

    Attributes:
        smallest: Rate of the first step.
        largest: Rate of the last step; the test ends sooner where the loss explodes.
        steps: Number of optimizer steps; with gradient accumulation, each takes several batches.
    """

    smallest: float = 1e-6
    largest: float = 1.0
    steps: int = 100

    def __post_init__(self):
        if not 0 < self.smallest < self.largest:
            given = f"{self.smallest!r}, {self.largest!r}"
            raise ValueError(f"`smallest` must be positive and below `largest`. Received: {given}.")

    @property
    def rates(self) -> np.ndarray:
        """The rate of each step, `(steps,)`."""
        return np.geomspace(self.smallest, self.largest, self.steps)


def find_rate(phase, components, training_data, stages, options, rate_range):
    """Trains for some steps at growing rates. The classifier is of no use afterwards: pass one made for this.

    Args:
        phase: The `Phase` whose rate is wanted.
        components: `Components` of a classifier. Changed in place.
        training_data: The `TrainingData`.
        stages: Stages of the backbone.
        options: `Options`: loss and optimizer are those of training; the optimizer is copied.
        rate_range: The `RateRange`.

    Returns:
        A `RateCurve`.

    Raises:
        ValueError: If the loss is not finite from the start.
    """
    selection = select(components.network, stages, phase.train, phase.lora_rank)
    view = build_trainable(components.network, selection, adapt_batch_norm=phase.batch_norm == "adapt")
    components.head.trainable = selection.head
    model = build_trainee(components, view)
    tuned, _, _ = build_optimizer(options.optimizer)
    tuned.prepare(model.trainable_variables)
    depths = depths_below_head(components.network, stages, view.adapters)
    tuned.begin_phase(lambda variable: Tuning(phase.layer_decay ** depths.get(id(variable), 0)))
    weigh_batches(model, tuned, training_data.batch_size)
    # Without XLA, as in training: on CPUs it is far slower.
    model.compile(tuned, options.loss, jit_compile=False)
    rates, together = rate_range.rates, options.accumulation_steps
    epochs = math.ceil(rate_range.steps * together / training_data.steps_per_epoch)
    with training_data.images_for(phase, 0, epochs=epochs) as (batches, _):
        losses = _losses(model, batches, rates, together)
    suggestion, exploded = _suggest(rates[: len(losses)], losses)
    if not exploded:
        console.note(f"The loss did not explode up to a rate of {rates[-1]:g}: a larger `largest` would show where.")
    return RateCurve(rates[: len(losses)], losses, suggestion, exploded)


def _losses(model, batches, rates, together):
    """Smoothed losses of steps of `together` batches each, up to where they explode."""
    smoothed, mean, lowest, batches = [], 0.0, math.inf, iter(batches)
    with console.step("Finding a learning rate", len(rates), "step") as advance, without_retracing_warnings():
        for step, rate in enumerate(rates, 1):
            model.optimizer.learning_rate = rate
            loss = _loss_of_step(model, islice(batches, together))
            advance(1)
            if not math.isfinite(loss):
                break
            mean = _SMOOTHING * mean + (1 - _SMOOTHING) * loss
            # Bias correction, as in Adam: the running mean starts at 0.
            smoothed.append(mean / (1 - _SMOOTHING**step))
            lowest = min(lowest, smoothed[-1])
            if smoothed[-1] > _EXPLODED * lowest:
                break
    if len(smoothed) < 3:
        raise ValueError("The loss is not finite from the start. Are the pixels in [0, 255], and the weights right?")
    return np.array(smoothed)


def _loss_of_step(model, batches):
    """Trains on the batches of one step, and returns their mean loss, in which every image counts equally."""
    losses, sizes = [], []
    for batch in batches:
        losses.append(float(model.train_on_batch(*batch)))
        sizes.append(len(batch[0]))
        # Otherwise `train_on_batch` would return the mean over all batches so far.
        model.reset_metrics()
    return float(np.average(losses, weights=sizes))


def _suggest(rates, losses):
    """A tenth of the rate from which on the loss stays above one and a half times its lowest value."""
    lowest = np.minimum.accumulate(losses)
    calm = np.flatnonzero(losses <= _RISEN * lowest)
    exploded = calm[-1] < len(losses) - 1
    return float(rates[min(calm[-1] + 1, len(losses) - 1)] / 10), bool(exploded)
