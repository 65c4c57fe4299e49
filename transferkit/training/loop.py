"""Runs the phases of a schedule, one Keras `fit` each."""

import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import keras
import numpy as np
from sklearn.exceptions import ConvergenceWarning

from transferkit._utils import console
from transferkit._utils.keras import all_layers
from transferkit._utils.tensorflow import without_retracing_warnings
from transferkit._utils.text import plural
from transferkit.backbones.stages import split_model
from transferkit.data.datasets import validation_batches
from transferkit.frozen.features import FrozenFeatures
from transferkit.frozen.forward import predict_batches
from transferkit.models.assembly import Components, build_trainee
from transferkit.models.freezing import (
    Selection,
    TrainableBackbone,
    build_trainable,
    depths_below_head,
    select,
    set_flags,
)
from transferkit.models.weights import capture, restore
from transferkit.tasks.find import MULTICLASS
from transferkit.tasks.task import Task
from transferkit.training.callbacks import AcrossPhases, PhaseMonitor, Record, TrainingAdvisor, measure_rate
from transferkit.training.interpolation import interpolate, judge_weights
from transferkit.training.optimizers import Tuning, accumulation_steps_of, build_optimizer, weigh_batches
from transferkit.training.phases import DEFAULT_RATE, Phase
from transferkit.training.rates import RateSetter, ReduceOnPlateau, as_rate_schedule
from transferkit.training.training_data import TrainingData


@dataclass(frozen=True)
class Options:
    """What holds for all phases.

    Attributes:
        optimizer: Name or `keras.optimizers.Optimizer`.
        callbacks: Keras callbacks of the user.
        focus: Exponent of the focal loss; 0: the log loss.
        task: The `Task`.
        scales_loss: Whether losses are scaled, so that gradients do not vanish in float16.
    """

    optimizer: str | keras.optimizers.Optimizer = "adam"
    callbacks: tuple = ()
    focus: float = 0.0
    task: Task = MULTICLASS
    scales_loss: bool = False

    @property
    def accumulation_steps(self):
        """Number of batches whose gradients make one step of the optimizer."""
        return accumulation_steps_of(self.optimizer)

    @property
    def loss(self):
        """The loss of a classifier that gives probabilities."""
        return self.task.loss(self.focus)

    @property
    def metrics(self):
        """The metrics, each weighted by image: the accuracy and the log loss."""
        return self.task.metrics()


def run_phases(phases, components, training_data, stages, options, *, fronts=None, record=None):
    """Trains a classifier, phase by phase, and leaves it with the best weights of all.

    Each phase goes on from the best weights of the one before.

    Args:
        phases: List of `Phase`, none of them `"logistic"`.
        components: The `Components` of the classifier. Changed in place.
        training_data: The `TrainingData` to train on.
        stages: Stages of the backbone.
        options: `Options`.
        fronts: `FrozenFeatures` that have planned what each phase computes once; `None`: nothing.
        record: `Record` of earlier training, such as the logistic head, or `None`.

    Returns:
        The `Record` of everything, earlier training included.

    Raises:
        ValueError: If a phase trains nothing, or training diverged before there were weights to keep.
        MemoryError: If the device runs out of memory.
    """
    run = _Run(phases, components, training_data, options, record or Record(), stages, fronts)
    others = AcrossPhases(options.callbacks, run.record.epochs_done + sum(phase.epochs for phase in phases))
    steps = run.prepare()
    others.around_epoch_end = run.tuned.swap_means
    try:
        for step in steps:
            if not run.train(step, others):
                break
        others.finish()  # as in Keras, not after an error: callbacks may keep what they have
    finally:
        # As `assemble` left them, after an error, too.
        components.network.trainable = False
        components.head.trainable = True
    # The last phase leaves its last weights; the best may be those of any epoch.
    restore(components.models, run.record.best_weights)
    return run.record


@dataclass(frozen=True)
class _Step:
    """A phase, what it means for this network, and the rates of its variables."""

    phase: Phase
    number: int
    selection: Selection
    view: TrainableBackbone


@dataclass
class _Run:
    phases: list[Phase]
    components: Components
    training_data: TrainingData
    options: Options
    record: Record
    stages: tuple
    fronts: FrozenFeatures | None

    def prepare(self):
        """Builds what all phases need: their views of the network, and one optimizer for all."""
        targets = self.training_data.targets()
        guessing = targets.task.guessing_accuracy(targets)
        self.advisor = TrainingAdvisor(guessing, len(self.training_data.validation))
        network, stages, adapters, steps, self.depths = self.components.network, self.stages, {}, [], {}
        _seed_dropout(network, self.training_data.seed)
        self.latest, self.latest_epoch = self.record.best_weights, self.record.best_epoch
        self.solved = 1 if self.record.history["epoch"] else 0  # phases before these
        for number, phase in enumerate(self.phases, 1 + self.solved):
            self._check_steps(phase)
            selection = select(network, stages, phase.train, phase.lora_rank)
            view = self._whole_view(phase, selection, adapters)
            adapters |= view.adapters
            self.depths |= depths_below_head(network, stages, view.adapters)
            steps.append(_Step(phase, number, selection, view))
        # One optimizer, built on the variables of all phases: Keras raises an error for a variable that it was not
        # built with, and a new optimizer would lose its moments. L2-SP copies the weights as they are before the
        # first phase.
        self.tuned, self.weight_decay, self.momentum = build_optimizer(self.options.optimizer)
        self.tuned.check_exclusions([weight for model in self.components.models for weight in model.weights])
        self.outer = keras.optimizers.LossScaleOptimizer(self.tuned) if self.options.scales_loss else self.tuned
        self.tuned.prepare(
            self._all_variables(steps),
            anchored=network.weights if any(phase.l2_sp for phase in self.phases) else (),
            averaged=any(phase.ema or self.momentum for phase in self.phases),
        )
        return steps

    def _whole_view(self, phase, selection, adapters):
        """The view of the whole network if the phase needs it, since it takes a while to build."""
        # Adapters are made with the view, and the optimizer has to know them before the first phase.
        if selection.rank is None and self.fronts is not None and self.fronts.has_plan(phase):
            return TrainableBackbone(None, {})
        return build_trainable(
            self.components.network, selection, adapt_batch_norm=phase.batch_norm == "adapt", adapters=adapters
        )

    def _all_variables(self, steps):
        found = {}
        for step in steps:
            variables = self._trained_variables(step)
            if not variables:
                raise ValueError(f"The phase {step.phase.title!r} trains nothing: what it names has no weights.")
            found |= {id(variable): variable for variable in variables}
        return list(found.values())

    def _check_steps(self, phase):
        batches, together = phase.epochs * self.training_data.steps_per_epoch, self.options.accumulation_steps
        if batches < together:
            raise ValueError(
                f"The phase {phase.title!r} trains nothing: all its batches, {batches}, are fewer than "
                f"gradient_accumulation_steps={together} of the optimizer, which make one step. Lower that, or "
                "`batch_size`."
            )

    def _trained_variables(self, step):
        """Sets the flags for a phase and returns the variables that it trains."""
        set_flags(self.components.network, step.selection, step.phase.batch_norm == "adapt")
        self.components.head.trainable = step.selection.head
        adapted = [weight for adapter in step.view.adapters.values() for weight in adapter.trainable_variables]
        return [*self.components.network.trainable_variables, *adapted, *self.components.head.trainable_variables]

    def train(self, step, others):
        """Runs one phase. Returns whether the next one is to follow."""
        phase, adapters = step.phase, tuple(step.view.adapters.values())
        if self.latest is not None:
            restore(self.components.models, self.latest, adapters)
        before = capture(self.components.models) if phase.interpolate else None
        # After `restore`: the front computes with the weights that the phase starts from.
        once = None if self.fronts is None else self.fronts.activations(phase)
        view = self._view(step, once)
        # For the flags, which the views of other phases have changed since: `compile` reads them.
        self._trained_variables(step)
        self._tune(phase)
        model = self._build_model(view, once)
        monitor = self._fit(step, model, once, others)
        if monitor.has_diverged:
            self._explain_divergence(step)
        elif monitor.phase_best is not None:
            epoch_before = self.latest_epoch
            _, self.latest, self.latest_epoch = monitor.phase_best
            if phase.interpolate:
                restore(self.components.models, self.latest, adapters)  # adapters are merged, and must not count twice
                self._interpolate(before, epoch_before, self._probabilities(view, once))
        return not monitor.has_diverged and not others.has_stopped

    def _interpolate(self, before, epoch_before, probabilities):
        """Interpolates back towards the weights before the phase by validation loss, and compares with all phases.

        A phase starts from the best weights of the one before, which may be worse than those of a phase before that.
        """
        record, validation = self.record, self.training_data.validation
        labels = validation.truth
        weights = self.training_data.held_out_targets.weights
        found = interpolate(before, self.latest, self.components, probabilities, labels, weights)
        is_on_the_way = record.best_epoch in (epoch_before, self.latest_epoch)
        self.latest, self.latest_epoch = found.weights, self.latest_epoch if found.share else epoch_before
        if not is_on_the_way:
            # The activations of this phase come from its own front; an earlier network needs the images.
            on_images = self._probabilities(None, None)
            earlier = judge_weights(record.best_weights, self.components, on_images, labels, weights)
            if earlier.loss <= found.loss:
                name = f"epoch {record.best_epoch}" if record.best_epoch else "the beginning"
                console.note(f"Weights of {name} are better than all these (log loss {record.best_loss:.3f}).")
                return
        record.keep(found.log_loss, self.latest_epoch, found.weights, is_interpolated=True)

    def _tune(self, phase):
        decay = (self.weight_decay if phase.weight_decay is None else phase.weight_decay) or 0.0
        backbone = {id(weight) for weight in self.components.network.weights}

        def tuning(variable):
            return Tuning(
                rate=phase.layer_decay ** self.depths.get(id(variable), 0),
                weight_decay=decay if self.tuned.is_decayed(variable) else 0.0,
                l2_sp=phase.l2_sp if id(variable) in backbone else 0.0,
            )

        self.tuned.begin_phase(tuning, phase.ema or self.momentum)

    def _view(self, step, once):
        """The view of what runs in every step: the whole network, the part behind a cut, or `None`."""
        if once is None:
            return step.view
        if once.cut.is_pooled:
            return None
        _, back = split_model(self.components.network, self.stages, once.cut.stage)
        adapts = step.phase.batch_norm == "adapt"
        return build_trainable(back, step.selection, adapt_batch_norm=adapts, adapters=step.view.adapters)

    def _build_model(self, view, once):
        # A new model for each phase: changed flags have no effect on one that is compiled already.
        model = build_trainee(self.components, view, begin=_beginning(once))
        weigh_batches(model, self.tuned, self.training_data.batch_size)
        # Without XLA: the last batch of an epoch has another size, and on CPUs XLA is far slower.
        model.compile(self.outer, self.options.loss, weighted_metrics=self.options.metrics, jit_compile=False)
        _create_metrics(model)
        return model

    def _probabilities(self, view, once):
        """Returns a function that computes the probabilities of the validation images with the current weights."""
        model = build_trainee(self.components, view if once else None, begin=_beginning(once))
        model.compile(jit_compile=False)
        training_data = self.training_data
        shape = training_data.image_format, training_data.batch_size

        def on_images():
            with validation_batches(training_data.validation, training_data.held_out_targets, *shape) as batches:
                return predict_batches(model, (images for images, *_ in batches))

        def on_activations():
            starts = range(0, len(training_data.validation), training_data.batch_size)
            return predict_batches(
                model, (once.validation[start : start + training_data.batch_size] for start in starts)
            )

        return on_activations if once else on_images

    def _fit(self, step, model, once, others):
        phase, training_data, record = step.phase, self.training_data, self.record
        adapters = tuple(step.view.adapters.values())
        steps, done = training_data.steps_per_epoch, record.epochs_done
        title = f"Phase {step.number} of {len(self.phases) + self.solved}, {phase.title!r}"
        batches = training_data.activations_for(phase, once, done) if once else training_data.images_for(phase, done)
        with batches as (training, validation), console.step(title, phase.epochs * steps, "step") as advance:
            told = {"num_images": len(training_data.training), "on_epoch": self._commentary(training, once)}
            weights_now = partial(capture, self.components.models, adapters)
            monitor = PhaseMonitor(record, phase, self.tuned, weights_now, advance, **told)
            setter, *plateau = self._rate_callbacks(phase, steps)
            # The rate first (see `RateSetter`). The monitor comes before all that read `val_loss`, which it replaces
            # by the log loss without penalties.
            callbacks = [setter, monitor, *plateau, others]
            with without_retracing_warnings(), self._memory_errors_explained(phase):
                # Epochs are counted over all phases, as callbacks of the user see them. The stream shuffles itself.
                epochs = {"initial_epoch": done, "epochs": done + phase.epochs, "steps_per_epoch": steps}
                model.fit(training, validation_data=validation, **epochs, shuffle=False, callbacks=callbacks, verbose=0)
        return monitor

    def _rate_callbacks(self, phase, steps):
        schedule = as_rate_schedule(phase.rate_schedule)
        setter = RateSetter(phase.learning_rate or DEFAULT_RATE, schedule, phase.epochs, steps)
        if isinstance(schedule, ReduceOnPlateau):
            return [setter, schedule.build_callback(phase.learning_rate or DEFAULT_RATE)]
        return [setter]

    def _commentary(self, training, once):
        def on_epoch(row, rate):
            if once is None or not once.cut.is_pooled:
                console.note(_describe(row))
            rate = rate if once is None else None
            self.advisor.comment(self.record.history, rate, lambda: measure_rate(training))

        return on_epoch

    def _explain_divergence(self, step):
        phase, epoch = step.phase, self.record.epochs_done + 1
        rate = phase.learning_rate or DEFAULT_RATE
        rate = f"{rate:g}" if isinstance(rate, float | int) else type(rate).__name__
        text = (
            f"Training diverged: the loss became NaN or infinite in epoch {epoch}, in phase {step.number} "
            f"({phase.title!r}), at a learning rate of {rate} with "
            f"{type(self.tuned).__name__.removeprefix('Tuned')}. The likely cause is a rate that is too high: "
            "try a tenth of it, or `find_learning_rate`."
        )
        if self.record.best_weights is None:
            raise ValueError(text)
        kept = f"epoch {self.record.best_epoch}" if self.record.best_epoch else "the beginning"
        warnings.warn(f"{text} The last good weights were kept, those of {kept}.", ConvergenceWarning, stacklevel=6)

    @contextmanager
    def _memory_errors_explained(self, phase):
        try:
            yield
        except Exception as error:
            # By its name, because TensorFlow is imported in a few other places only.
            if type(error).__name__ != "ResourceExhaustedError":
                raise
            size = self.training_data.batch_size
            smaller = max(1, size // 2)
            together = self.options.accumulation_steps * -(-size // smaller)
            advice = f"Try batch_size={smaller} and an optimizer with gradient_accumulation_steps={together}, "
            advice = "Try " if size == 1 else f"{advice}which gives the same steps, or "
            raise MemoryError(
                f"The device ran out of memory in phase {phase.title!r} with {plural(size, 'image')} a batch. "
                f"{advice}a smaller `image_size`, or fewer stages to train."
            ) from error


def _beginning(once):
    """Where the trained model begins, in the words of `build_trainee`."""
    if once is None:
        return "pixels"
    return "features" if once.cut.is_pooled else "cut"


def _seed_dropout(network, seed):
    """Seeds Dropout, stochastic depth and the like where no seed was given and Keras has drawn one at random."""
    for number, layer in enumerate(all_layers(network)):
        generator = getattr(layer, "seed_generator", None)
        if isinstance(generator, keras.random.SeedGenerator) and generator.get_config()["seed"] is None:
            # The number keeps layers of the same kind from drawing the same values.
            generator.state.assign([seed % 2**32, number])


def _create_metrics(model):
    """Creates the metric variables of a compiled model now.

    Keras would create them while TensorFlow traces the first step, and TensorFlow then traces that step again.
    """
    probabilities = np.full((1, model.output_shape[-1]), 1 / model.output_shape[-1], "float32")
    model.compute_metrics(None, probabilities, probabilities)
    model.reset_metrics()


_SAID = {"loss": "loss", "accuracy": "accuracy", "val_loss": "validation loss", "val_accuracy": "validation accuracy"}


def _describe(row):
    numbers = ", ".join(f"{label} {row[name]:.3f}" for name, label in _SAID.items())
    return f"Epoch {row['epoch']} ({row['phase']}): {numbers}; {row['seconds']:.1f} s"
