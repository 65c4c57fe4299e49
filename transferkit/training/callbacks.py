"""What monitors training: the record of all phases, the best weights, and advice when something goes wrong."""

import time
from dataclasses import dataclass, field
from math import log, sqrt

import keras
import numpy as np

from transferkit._utils import console
from transferkit._utils.text import plural
from transferkit.tasks.task import LOG_LOSS

LOGGED = ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")
"""What users' callbacks find in the logs of an epoch."""

_COLUMNS = ("epoch", "phase", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds")
_EPOCHS_TO_JUDGE = 3
_ABOVE_CHANCE = 0.1  # share of the way from the largest class to 1 that counts as having learnt something
_OVERFIT_GAP = 0.2  # of accuracy, training above validation, beside what chance can do
_EXPLODED = 10.0  # times the log loss of guessing
_WORTH_PROBING = 5.0  # seconds an epoch takes before it matters what it waits for
_PROBE_SECONDS = 1.0
_FEWEST_STEPS = 5  # in an epoch, to tell how fast they are
_AMPLE = 1.5  # times the speed of training that input must have on its own to be no brake


@dataclass
class Record:
    """What happened over all phases.

    Attributes:
        history: Dict of lists, one entry an epoch.
        best_loss: Lowest validation loss of all.
        best_epoch: The epoch of `best_loss`.
        best_weights: Weights at the end of `best_epoch`, as `transferkit.models.weights.capture` gives them.
        is_interpolated: Whether `best_weights` are interpolated rather than those of the epoch alone.
        was_interrupted: Whether a `KeyboardInterrupt` ended training.
    """

    history: dict[str, list] = field(default_factory=lambda: {name: [] for name in _COLUMNS})
    best_loss: float = float("inf")
    best_epoch: int | None = None
    best_weights: list[np.ndarray] | None = None
    is_interpolated: bool = False
    was_interrupted: bool = False

    @property
    def epochs_done(self):
        """Number of the last epoch."""
        return max(self.history["epoch"], default=0)

    def add(self, epoch, phase, logs, seconds):
        """Adds an epoch. `logs` may have new columns."""
        row = {"epoch": epoch, "phase": phase, **logs, "seconds": round(seconds, 3)}
        num_rows = len(self.history["epoch"])
        for name in [*self.history, *(name for name in row if name not in self.history)]:
            value = row.get(name)
            value = value if isinstance(value, str | int) or value is None else float(value)
            self.history.setdefault(name, [None] * num_rows).append(value)

    def is_best(self, loss):
        """Whether a validation loss is finite and lower than that of every epoch so far."""
        return np.isfinite(loss) and loss < self.best_loss

    def keep(self, loss, epoch, weights, is_interpolated=False):
        """Keeps weights as the best so far."""
        self.best_loss, self.best_epoch, self.best_weights = loss, epoch, weights
        self.is_interpolated = is_interpolated


class PhaseMonitor(keras.callbacks.Callback):
    """Monitors one phase: writes the record, keeps the best weights, and stops on a plateau or on divergence.

    Args:
        record: The `Record` of all phases.
        phase: The `Phase`.
        optimizer: The `Tuned` optimizer, with running means.
        take_weights: Function that returns the current weights.
        advance: Called with the number of batches done.
        num_images: Images in an epoch.
        on_epoch: Called after each epoch with the last row of the record, as a dict, and the images a second of its
            training steps, or `None` if there were too few steps to tell.

    Attributes:
        phase_best: `(loss, weights, epoch)` of the best epoch of this phase, or `None`.
        has_diverged: Whether the loss became NaN or infinite.
        has_converged: Whether it stopped because the validation loss no longer improved.
    """

    def __init__(self, record, phase, optimizer, take_weights, advance, num_images, on_epoch):
        super().__init__()
        self._record = record
        self._phase = phase
        self._optimizer = optimizer
        self._take_weights = take_weights
        self._advance = advance
        self._num_images = num_images
        self._on_epoch = on_epoch
        self._steps = []
        self._waited = 0
        self.phase_best = None
        self.has_diverged = False
        self.has_converged = False

    def on_epoch_begin(self, epoch, logs=None):
        """Starts the clock."""
        self._start = time.perf_counter()
        self._steps = []

    def on_train_batch_end(self, batch, logs=None):
        """Ends a phase that has diverged."""
        self._advance(1)
        self._steps.append(time.perf_counter())
        if not np.isfinite((logs or {}).get("loss", 0.0)):
            self.has_diverged = True
            self.model.stop_training = True

    def on_test_begin(self, logs=None):
        """Swaps in the running means of the weights, if there are any, so that they are validated."""
        self._optimizer.swap_means()

    def on_test_end(self, logs=None):
        """Swaps the weights themselves back in."""
        self._optimizer.swap_means()

    def on_epoch_end(self, epoch, logs=None):
        """Records the epoch, compares it with the best, and decides whether to stop."""
        # Not `logs or {}`: later callbacks read what is changed in this dict, even if it was empty.
        logs = {} if logs is None else logs
        _take_penalties_off(logs)
        loss = float(logs.get("val_loss", np.nan))
        if self.has_diverged or not np.isfinite(loss):
            self.has_diverged = True
            self.model.stop_training = True
            return
        self._record.add(epoch + 1, self._phase.title, dict(logs), time.perf_counter() - self._start)
        self._compare(loss, epoch + 1)
        self._on_epoch({name: values[-1] for name, values in self._record.history.items()}, self._rate())
        if self._phase.patience is not None and self._waited >= self._phase.patience:
            self.has_converged = True
            self.model.stop_training = True

    def _rate(self):
        """Images a second, without the first step, in which TensorFlow traces."""
        count = len(self._steps)
        if count < _FEWEST_STEPS:
            return None
        images_a_step = self._num_images / ((self.params or {}).get("steps") or count)  # fewer steps may have been run
        return images_a_step * (count - 1) / (self._steps[-1] - self._steps[0])

    def _compare(self, loss, epoch):
        is_best = self._record.is_best(loss)
        self._waited = 0 if is_best else self._waited + 1
        # The next phase starts from the best weights of this one, even if an earlier phase was better. What was
        # validated are the running means, so these are kept.
        if is_best or self.phase_best is None or loss < self.phase_best[0]:
            self._optimizer.swap_means()
            self.phase_best = loss, self._take_weights(), epoch
            self._optimizer.swap_means()
        if is_best:
            self._record.keep(loss, epoch, self.phase_best[1])


def _take_penalties_off(logs):
    """Makes `val_loss` the log loss alone: Keras adds penalties, which depend on what a phase trains."""
    logs.pop(LOG_LOSS, None)
    logs["val_loss"] = logs.pop(f"val_{LOG_LOSS}", logs.get("val_loss", np.nan))


class AcrossPhases(keras.callbacks.Callback):
    """Runs users' callbacks over all phases as if they were one `fit`.

    Training begins for them once, before the first phase, and ends once, after the last, and epochs go on counting.

    Args:
        callbacks: Keras callbacks.
        epochs: Number of epochs in all phases.

    Attributes:
        around_epoch_end: Called before and after their `on_epoch_end`: swaps in the weights that were validated, so
            that they save those.
        has_stopped: Whether one of them has stopped training, whatever else may have ended the phase.
    """

    def __init__(self, callbacks, epochs):
        super().__init__()
        self._callbacks = keras.callbacks.CallbackList(list(callbacks))
        self._epochs = epochs
        self._has_begun = False
        self.around_epoch_end = lambda: None
        self.has_stopped = False

    def set_model(self, model):
        """Shows them the model of the phase."""
        super().set_model(model)
        self._callbacks.set_model(model)

    def set_params(self, params):
        """Tells them how many epochs there are in all."""
        super().set_params(params)
        self._callbacks.set_params({**(params or {}), "epochs": self._epochs})

    def on_train_begin(self, logs=None):
        """Tells them before the first phase only."""
        if not self._has_begun:
            self._has_begun = True
            self._tell("on_train_begin", logs)

    def on_epoch_end(self, epoch, logs=None):
        """Passes `on_epoch_end` on."""
        self.around_epoch_end()
        self._tell("on_epoch_end", epoch, logs)
        self.around_epoch_end()

    def _tell(self, name, *args, **kwargs):
        """Calls them, and notes whether they asked to stop: the phase may have set `stop_training` for itself."""
        had_stopped, self.model.stop_training = self.model.stop_training, False
        getattr(self._callbacks, name)(*args, **kwargs)
        self.has_stopped |= self.model.stop_training
        self.model.stop_training |= had_stopped

    def finish(self, logs=None):
        """Tells them that training is over."""
        if self._has_begun:
            self._callbacks.on_train_end(logs)


def _forward(name):
    def method(self, *args, **kwargs):
        self._tell(name, *args, **kwargs)

    method.__name__ = name
    method.__doc__ = f"Passes `{name}` on."
    return method


# Not `on_train_begin`, which comes once, nor `on_train_end`, which `finish` calls: Keras calls both in every phase.
for _name in (
    "on_epoch_begin",
    "on_train_batch_begin",
    "on_train_batch_end",
    "on_test_begin",
    "on_test_end",
    "on_test_batch_begin",
    "on_test_batch_end",
):
    setattr(AcrossPhases, _name, _forward(_name))


@dataclass
class TrainingAdvisor:
    """Comments on training as it goes: each kind of advice once.

    Args:
        largest_class: Share of the largest class in the training data: the accuracy of always guessing it.
        num_held_out: Number of validation images.
    """

    largest_class: float
    num_held_out: int = 1000
    _said: set[str] = field(default_factory=set)

    def comment(self, history, rate=None, input_rate=None):
        """Looks at the history so far.

        Args:
            history: That of the `Record`.
            rate: Images a second of training in the last epoch, or `None` if it does not matter.
            input_rate: Function that measures the images a second of the input stream on its own.
        """
        if rate is not None and history["seconds"][-1] >= _WORTH_PROBING and "rate" not in self._said:
            self._say_once("rate", _compare_rates(rate, input_rate()))
        accuracy, held_out = history["accuracy"], history["val_accuracy"]
        threshold = self.largest_class + _ABOVE_CHANCE * (1 - self.largest_class)
        chance = sqrt(0.25 / self.num_held_out)  # standard error of the validation accuracy, at most
        # With one dominant class, the loss of guessing is near 0, and a harmless loss would look exploded.
        if history["val_loss"][-1] > _EXPLODED * log(1 / min(self.largest_class, 0.5)):
            self._say_once("exploded", _describe_explosion(history["val_loss"][-1]))
        elif len(accuracy) < _EPOCHS_TO_JUDGE:
            return
        elif max(accuracy + held_out) < threshold:
            self._say_once("chance", _describe_chance(len(accuracy), held_out[-1], self.largest_class))
        elif accuracy[-1] > threshold and accuracy[-1] - held_out[-1] > _OVERFIT_GAP + 2 * chance:
            self._say_once("overfit", _describe_overfitting(accuracy[-1], held_out[-1]))

    def _say_once(self, topic, text):
        if topic not in self._said:
            self._said.add(topic)
            console.note(text)


def _describe_explosion(val_loss):
    return (
        f"The validation loss, {val_loss:.3g}, is far above that of guessing: the learning rate is too high. Try a "
        "tenth of it, or `find_learning_rate`."
    )


def _describe_chance(epochs, val_accuracy, largest_class):
    return (
        f"After {plural(epochs, 'epoch')} the accuracy, {val_accuracy:.2f}, is near what guessing the largest class "
        f"gives ({largest_class:.2f}). The likely causes: a learning rate that is far too high or low "
        "(`find_learning_rate` shows which), labels that do not belong to the images, or random weights."
    )


def _describe_overfitting(accuracy, val_accuracy):
    return (
        f"The training accuracy, {accuracy:.2f}, is far above the validation accuracy, {val_accuracy:.2f}: the model "
        "overfits. More images help most; then stronger `augmentation`, fewer stages to train, "
        "weight decay, or fewer epochs. The best epoch is kept in any case."
    )


def _compare_rates(together, alone):
    waits_for = "data" if alone < _AMPLE * together else "compute"
    advice = ": smaller image files or more CPU cores would help" if waits_for == "data" else ""
    return (
        f"Training takes {together:,.0f} images a second; reading and augmenting alone would give {alone:,.0f}. "
        f"The run waits for {waits_for}{advice}."
    )


def measure_rate(batches):
    """Returns the images a second of a stream of `(images, …)` batches, once it is running."""
    counted, start = 0, None
    for images, *_ in batches:
        if start is None:  # the first batch includes the start of the stream
            start = time.perf_counter()
            continue
        counted += len(images)
        if time.perf_counter() - start > _PROBE_SECONDS:
            break
    seconds = time.perf_counter() - start if start is not None else 0.0
    return counted / seconds if counted else float("inf")
