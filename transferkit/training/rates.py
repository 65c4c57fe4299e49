"""Learning-rate schedules over one phase of training, and the callback that follows them."""

import math
from dataclasses import dataclass
from numbers import Integral
from typing import Literal

import keras

_WARMUP_START = 0.04  # a twenty-fifth, as the one-cycle policy has it; from 0 the first step would be lost


@dataclass(frozen=True)
class Constant:
    """The same rate from the first step of the phase to the last.

    Example:
        >>> Constant()(7.5, 10)
        1.0
    """

    def __call__(self, epoch: float, epochs: int) -> float:
        """Returns 1, at any time."""
        return 1.0


@dataclass(frozen=True)
class ExponentialDecay:
    """Multiplies the rate by the same factor in every epoch, spread evenly over its steps.

    Args:
        factor: What is left of the rate after one epoch, in `(0, 1]`; default 0.9.

    Example:
        >>> ExponentialDecay(factor=0.25)(0.5, 10)
        0.5
    """

    factor: float = 0.9

    def __post_init__(self):
        _check(0 < self.factor <= 1, "factor", self.factor, "in (0, 1]")

    def __call__(self, epoch: float, epochs: int) -> float:
        """Returns the factor of the rate after `epoch` epochs."""
        return self.factor**epoch


@dataclass(frozen=True)
class StepDecay:
    """Multiplies the rate by a factor every few epochs, and keeps it constant in between.

    Args:
        every: Number of epochs at one rate, at least 1; default 5.
        factor: What each step down leaves of the rate, in `(0, 1]`; default 0.5.

    Example:
        >>> tuple(StepDecay(every=2)(epoch, 6) for epoch in range(6))
        (1.0, 1.0, 0.5, 0.5, 0.25, 0.25)
    """

    every: int = 5
    factor: float = 0.5

    def __post_init__(self):
        _check_count("every", self.every)
        _check(0 < self.factor <= 1, "factor", self.factor, "in (0, 1]")

    def __call__(self, epoch: float, epochs: int) -> float:
        """Returns the factor of the rate after `epoch` epochs."""
        return float(self.factor ** (epoch // self.every))


@dataclass(frozen=True)
class Cosine:
    """Warms up linearly, then lets the rate fall along half a cosine until the phase ends.

    The warm-up ([Goyal et al., 2017](https://arxiv.org/abs/1706.02677)) keeps the first steps, made while layers do not
    fit each other yet, from undoing what the network has learnt. It begins at 4 % of the rate and not at 0, which would
    waste a step. The cosine, without restarts, is that of [Loshchilov & Hutter, 2017](https://arxiv.org/abs/1608.03983).

    Args:
        warmup: Share of the phase that warms up, in `[0, 1)`; default 0.1.
        final: Factor of the rate that the phase ends with, in `[0, 1]`; default 0.

    Example:
        >>> tuple(round(Cosine()(epoch, 10), 3) for epoch in (0, 0.5, 1, 5.5, 10))
        (0.04, 0.52, 1.0, 0.5, 0.0)
    """

    warmup: float = 0.1
    final: float = 0.0

    def __post_init__(self):
        _check(0 <= self.warmup < 1, "warmup", self.warmup, "in [0, 1)")
        _check(0 <= self.final <= 1, "final", self.final, "in [0, 1]")

    def __call__(self, epoch: float, epochs: int) -> float:
        """Returns the factor of the rate after `epoch` of `epochs` epochs."""
        is_warming_up, share = _leg(epoch / epochs, self.warmup)
        if is_warming_up:
            return _WARMUP_START + (1 - _WARMUP_START) * share
        return _along_cosine(1.0, self.final, share)


@dataclass(frozen=True)
class OneCycle:
    """Raises the rate slowly and lets it fall to almost nothing, both along half a cosine.

    The one-cycle policy of [Smith & Topin, 2018](https://arxiv.org/abs/1708.07120): a high rate in the middle explores,
    and the long fall settles. Only the rate goes through the cycle; momentum stays as the optimizer has it.

    Args:
        warmup: Share of the phase that rises, in `[0, 1)`; default 0.3.
        start: Factor of the rate that the phase begins with, in `(0, 1]`; default 0.04.
        final: Factor of the rate that the phase ends with, in `[0, 1]`; default 0.0001.

    Example:
        >>> tuple(round(OneCycle()(epoch, 10), 4) for epoch in (0, 1.5, 3, 6.5, 10))
        (0.04, 0.52, 1.0, 0.5, 0.0001)
    """

    warmup: float = 0.3
    start: float = 0.04
    final: float = 1e-4

    def __post_init__(self):
        _check(0 <= self.warmup < 1, "warmup", self.warmup, "in [0, 1)")
        _check(0 < self.start <= 1, "start", self.start, "in (0, 1]")
        _check(0 <= self.final <= 1, "final", self.final, "in [0, 1]")

    def __call__(self, epoch: float, epochs: int) -> float:
        """Returns the factor of the rate after `epoch` of `epochs` epochs."""
        is_rising, share = _leg(epoch / epochs, self.warmup)
        return _along_cosine(self.start, 1.0, share) if is_rising else _along_cosine(1.0, self.final, share)


@dataclass(frozen=True)
class ReduceOnPlateau:
    """Reduces the rate whenever the validation loss has stopped falling.

    When to reduce depends on how training goes, so the schedule itself is always 1, and the callback that
    `build_callback` makes reduces the rate; a `RateSetter` keeps the reductions.

    Args:
        factor: What each reduction leaves of the rate, in `(0, 1)`; default 0.5.
        patience: Number of epochs without a better value before a reduction, at least 1; default 3.
        smallest: Factor of the phase's rate that it is not reduced below, in `[0, 1]`; default 0.01.
    """

    factor: float = 0.5
    patience: int = 3
    smallest: float = 0.01

    def __post_init__(self):
        _check(0 < self.factor < 1, "factor", self.factor, "in (0, 1)")
        _check_count("patience", self.patience)
        _check(0 <= self.smallest <= 1, "smallest", self.smallest, "in [0, 1]")

    def __call__(self, epoch: float, epochs: int) -> float:
        """Returns 1, at any time."""
        return 1.0

    def build_callback(self, learning_rate: float, monitor: str = "val_loss") -> keras.callbacks.ReduceLROnPlateau:
        """Builds Keras' own callback for one phase.

        Args:
            learning_rate: Rate of the phase, which `smallest` is a factor of.
            monitor: The metric to watch, as the history names it; default `"val_loss"`.

        Returns:
            A `keras.callbacks.ReduceLROnPlateau`.
        """
        return keras.callbacks.ReduceLROnPlateau(
            monitor, factor=self.factor, patience=self.patience, min_lr=self.smallest * learning_rate
        )


_SCHEDULES = {
    "constant": Constant,
    "exponential": ExponentialDecay,
    "step": StepDecay,
    "cosine": Cosine,
    "one_cycle": OneCycle,
    "plateau": ReduceOnPlateau,
}
SCHEDULES = tuple(_SCHEDULES.values())
RateName = Literal["constant", "exponential", "step", "cosine", "one_cycle", "plateau"]
RateSchedule = Constant | ExponentialDecay | StepDecay | Cosine | OneCycle | ReduceOnPlateau
"""`schedule(epoch, epochs)`: from the time in the phase, in epochs, to the factor that its rate is multiplied by."""


def as_rate_schedule(value: RateName | RateSchedule) -> RateSchedule:
    """Returns the schedule for a name, or the schedule itself.

    Args:
        value: `"constant"`, `"exponential"`, `"step"`, `"cosine"`, `"one_cycle"` or `"plateau"`, for the schedule with
            its defaults; or a schedule, such as `Cosine(warmup=0)`.

    Returns:
        The schedule.

    Raises:
        ValueError: If no schedule has that name.
        TypeError: For anything else.

    Example:
        >>> as_rate_schedule("cosine")
        Cosine(warmup=0.1, final=0.0)
    """
    names = ", ".join(repr(name) for name in _SCHEDULES)
    if isinstance(value, str):
        if value not in _SCHEDULES:
            raise ValueError(f"Unknown rate schedule. Received: {value!r}. Expected one of {names}.")
        return _SCHEDULES[value]()
    if isinstance(value, keras.optimizers.schedules.LearningRateSchedule):
        raise TypeError(
            "A rate schedule gives factors of the learning rate, and a Keras schedule gives rates. "
            f"Received: {value!r}. Pass it as `learning_rate` instead."
        )
    if not isinstance(value, SCHEDULES):
        raise TypeError(
            f"A rate schedule must be one of {names}, or an object such as `Cosine()`. "
            f"Received: {value!r} of type {type(value).__name__}."
        )
    return value


class RateSetter(keras.callbacks.Callback):
    """Sets the learning rate before every batch of one phase, and writes it into the history.

    Changes made by others last: if the rate is not what this callback set, another callback, such as Keras'
    `ReduceLROnPlateau` or `LearningRateScheduler`, has changed it, and all later rates of the phase are scaled by the
    same factor. Put it first among the callbacks: it does not see what others change in
    `on_train_begin` before it.

    It counts the epochs of its phase itself, because Keras counts over all phases. Use one for each phase.

    Args:
        learning_rate: Rate of the phase, positive; or a `keras.optimizers.schedules.LearningRateSchedule`, which is
            called with the number of the step in the phase, from 0; `schedule` is then ignored.
        schedule: Rate schedule of the phase, or its name; see `as_rate_schedule`.
        epochs: Number of epochs in the phase.
        steps_per_epoch: Number of batches in an epoch.

    Attributes:
        epochs_done: Number of epochs of the phase that are over. Set it to go on in the middle of a phase.
        correction: What others have multiplied the rate by so far. Set it to go on in the middle of a phase.

    Raises:
        ValueError: If a number is out of range or no schedule has that name.
        TypeError: If `schedule` is not a rate schedule.

    Example:
        ```python
        setter = RateSetter(1e-3, Cosine(), epochs=5, steps_per_epoch=len(dataset))
        history = model.fit(dataset, epochs=5, callbacks=[setter]).history["learning_rate"]
        ```
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule,
        schedule: RateName | RateSchedule,
        epochs: int,
        steps_per_epoch: int,
    ):
        super().__init__()
        if not isinstance(learning_rate, keras.optimizers.schedules.LearningRateSchedule):
            _check(0 < learning_rate < math.inf, "learning_rate", learning_rate, "positive and finite")
        _check_count("epochs", epochs)
        _check_count("steps_per_epoch", steps_per_epoch)
        self.learning_rate = learning_rate
        self.schedule = as_rate_schedule(schedule)
        self.epochs = epochs
        self.steps_per_epoch = steps_per_epoch
        self.epochs_done = 0
        self.correction = 1.0
        self._planned = self._assigned = 0.0

    def on_train_begin(self, logs=None):
        """Sets the first rate, so that a change of it before the first batch is seen as one."""
        self._set_rate(0)

    def on_train_batch_begin(self, batch, logs=None):
        """Sets the rate of a batch."""
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        # A planned rate of 0 cannot be scaled by any factor.
        if rate != self._assigned and self._planned > 0:
            self.correction = rate / self._planned
        self._set_rate(batch)

    def on_epoch_end(self, epoch, logs=None):
        """Writes down the rate of the last batch."""
        self.epochs_done += 1
        if logs is not None:
            # Not the optimizer's rate: another callback may already have changed it for the next epoch.
            logs["learning_rate"] = self._assigned

    def _set_rate(self, batch):
        self._planned = self._plan(batch)
        self.model.optimizer.learning_rate = self._planned * self.correction
        self._assigned = float(
            keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
        )  # as the optimizer rounds it

    def _plan(self, batch):
        """Returns the rate that the schedule has for a batch of this epoch."""
        if isinstance(self.learning_rate, keras.optimizers.schedules.LearningRateSchedule):
            return float(self.learning_rate(self.epochs_done * self.steps_per_epoch + batch))
        # More batches than planned must not run ahead of the schedule.
        epoch = self.epochs_done + min(batch / self.steps_per_epoch, 1.0)
        return self.learning_rate * self.schedule(min(epoch, self.epochs), self.epochs)


def _leg(time, warmup):
    """Tells whether `time`, a share of the phase, is in its warm-up, and what share of that leg is over."""
    # Strictly below, so that `warmup=0` never divides by 0.
    if time < warmup:
        return True, max(time, 0.0) / warmup
    return False, (min(time, 1.0) - warmup) / (1 - warmup)


def _along_cosine(start, end, share):
    """Goes from `start` to `end` along half a cosine."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def _check(is_right, name, value, expected):
    if not is_right:
        raise ValueError(f"`{name}` must be {expected}. Received: {name}={value!r}.")


def _check_count(name, value):
    # `True` is an Integral as well.
    is_count = isinstance(value, Integral) and not isinstance(value, bool) and value >= 1
    _check(is_count, name, value, "a whole number of at least 1")
