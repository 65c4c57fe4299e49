from fractions import Fraction

import keras
import numpy as np
import pytest
from keras.optimizers import schedules

from transferkit.training.rates import (
    Constant,
    Cosine,
    ExponentialDecay,
    OneCycle,
    RateSetter,
    ReduceOnPlateau,
    StepDecay,
    as_rate_schedule,
)

NAMES = ("constant", "exponential", "step", "cosine", "one_cycle", "plateau")
STEPS = 4  # batches in an epoch


def at_steps(schedule, epochs):
    """Factors of the rate at all steps of a phase."""
    return [schedule(float(Fraction(step, STEPS)), epochs) for step in range(epochs * STEPS)]


# ---- schedules ----


def test_a_constant_rate_stays():
    assert set(at_steps(Constant(), 3)) == {1.0}


def test_exponential_decay_is_that_of_keras():
    keras_schedule = schedules.ExponentialDecay(1.0, STEPS, 0.8)
    expected = [float(keras_schedule(step)) for step in range(3 * STEPS)]
    assert at_steps(ExponentialDecay(0.8), 3) == pytest.approx(expected, rel=1e-5)


def test_step_decay_is_the_staircase_of_keras():
    keras_schedule = schedules.ExponentialDecay(1.0, 2 * STEPS, 0.3, staircase=True)
    expected = [float(keras_schedule(step)) for step in range(5 * STEPS)]
    assert at_steps(StepDecay(every=2, factor=0.3), 5) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("final", [0.0, 0.1])
def test_the_cosine_is_that_of_keras(final):
    warmup, rest = 2 * STEPS, 6 * STEPS
    keras_schedule = schedules.CosineDecay(0.04, rest, final, warmup_target=1.0, warmup_steps=warmup)
    expected = [float(keras_schedule(step)) for step in range(warmup + rest)]
    assert at_steps(Cosine(warmup=0.25, final=final), 8) == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_a_cosine_without_warmup_is_that_of_keras():
    keras_schedule = schedules.CosineDecay(1.0, 3 * STEPS)
    expected = [float(keras_schedule(step)) for step in range(3 * STEPS)]
    assert at_steps(Cosine(warmup=0), 3) == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_one_cycle_rises_and_falls_along_cosines():
    schedule = OneCycle(warmup=0.25, start=0.2, final=0.02)
    times = [0, 0.5, 1, 2.5, 4]
    assert [schedule(time, 4) for time in times] == pytest.approx([0.2, 0.6, 1, 0.51, 0.02])
    factors = at_steps(schedule, 4)
    assert np.argmax(factors) == STEPS
    assert (np.diff(factors[: STEPS + 1]) > 0).all()
    assert (np.diff(factors[STEPS:]) < 0).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("epochs", [1, 2, 30])
def test_no_step_is_lost(name, epochs):
    factors = np.array(at_steps(as_rate_schedule(name), epochs))
    assert (factors > 0).all()
    assert (factors <= 1).all()


@pytest.mark.parametrize("schedule", [Cosine(), OneCycle()])
def test_time_beyond_the_phase_counts_as_its_end(schedule):
    assert schedule(2.5, 2) == schedule(2, 2) == pytest.approx(schedule.final)


# ---- names ----


def test_every_schedule_has_a_name():
    expected = [Constant(), ExponentialDecay(), StepDecay(), Cosine(), OneCycle(), ReduceOnPlateau()]
    assert [as_rate_schedule(name) for name in NAMES] == expected


def test_a_schedule_passes_as_it_is():
    schedule = Cosine(warmup=0)
    assert as_rate_schedule(schedule) is schedule


def test_an_unknown_name_lists_all():
    with pytest.raises(ValueError, match="Received: 'cosin'. Expected one of 'constant', .* 'plateau'"):
        as_rate_schedule("cosin")


@pytest.mark.parametrize("value", [None, 0.1, Cosine, lambda epoch, epochs: 0.5])
def test_what_is_no_schedule_is_refused(value):
    with pytest.raises(TypeError, match="must be one of 'constant', .* or an object such as `Cosine\\(\\)`. Received:"):
        as_rate_schedule(value)


def test_a_schedule_of_keras_belongs_elsewhere():
    with pytest.raises(TypeError, match="Pass it as `learning_rate` instead"):
        as_rate_schedule(schedules.CosineDecay(0.1, 10))


@pytest.mark.parametrize(
    ("schedule", "arguments", "message"),
    [
        (ExponentialDecay, {"factor": 0}, r"`factor` must be in \(0, 1\]. Received: factor=0"),
        (ExponentialDecay, {"factor": 1.1}, r"`factor` must be in \(0, 1\]"),
        (StepDecay, {"every": True}, "`every` must be a whole number of at least 1. Received: every=True"),
        (StepDecay, {"every": 0}, "`every` must be a whole number of at least 1. Received: every=0"),
        (StepDecay, {"every": 1.5}, "`every` must be a whole number"),
        (StepDecay, {"factor": 0}, r"`factor` must be in \(0, 1\]"),
        (StepDecay, {"factor": 2}, r"`factor` must be in \(0, 1\]"),
        (Cosine, {"warmup": 1}, r"`warmup` must be in \[0, 1\)"),
        (Cosine, {"warmup": -0.1}, r"`warmup` must be in \[0, 1\)"),
        (Cosine, {"final": 1.1}, r"`final` must be in \[0, 1\]"),
        (Cosine, {"final": -0.1}, r"`final` must be in \[0, 1\]"),
        (OneCycle, {"warmup": -0.1}, r"`warmup` must be in \[0, 1\)"),
        (OneCycle, {"warmup": 1}, r"`warmup` must be in \[0, 1\)"),
        (OneCycle, {"start": 1.1}, r"`start` must be in \(0, 1\]"),
        (OneCycle, {"final": -0.1}, r"`final` must be in \[0, 1\]"),
        (OneCycle, {"final": 1.1}, r"`final` must be in \[0, 1\]"),
        (OneCycle, {"start": 0}, r"`start` must be in \(0, 1\]"),
        (OneCycle, {"final": float("nan")}, r"`final` must be in \[0, 1\]"),
        (ReduceOnPlateau, {"factor": 0}, r"`factor` must be in \(0, 1\)"),
        (ReduceOnPlateau, {"smallest": -0.1}, r"`smallest` must be in \[0, 1\]"),
        (ReduceOnPlateau, {"factor": 1}, r"`factor` must be in \(0, 1\)"),
        (ReduceOnPlateau, {"patience": 0}, "`patience` must be a whole number"),
        (ReduceOnPlateau, {"smallest": 2}, r"`smallest` must be in \[0, 1\]"),
    ],
)
def test_values_out_of_range_are_refused(schedule, arguments, message):
    with pytest.raises(ValueError, match=message):
        schedule(**arguments)


@pytest.mark.parametrize(
    ("schedule", "arguments"),
    [
        (ExponentialDecay, {"factor": 1}),
        (StepDecay, {"every": 1, "factor": 1}),
        (Cosine, {"warmup": 0, "final": 1}),
        (OneCycle, {"warmup": 0, "start": 1, "final": 0}),
        (OneCycle, {"final": 1}),
        (ReduceOnPlateau, {"patience": 1, "smallest": 0}),
        (ReduceOnPlateau, {"smallest": 1}),
    ],
)
def test_values_at_the_ends_of_their_ranges_are_taken(schedule, arguments):
    made = schedule(**arguments)
    assert {name: getattr(made, name) for name in arguments} == arguments
    assert all(0 <= made(time, 2) <= 1 for time in (0, 1, 2))


def test_defaults_are_those_that_the_documentation_states():
    assert ExponentialDecay() == ExponentialDecay(factor=0.9)
    assert StepDecay() == StepDecay(every=5, factor=0.5)
    assert Cosine() == Cosine(warmup=0.1, final=0.0)
    assert OneCycle() == OneCycle(warmup=0.3, start=0.04, final=1e-4)
    assert ReduceOnPlateau() == ReduceOnPlateau(factor=0.5, patience=3, smallest=0.01)


# ---- the callback ----


class Recorder(keras.callbacks.Callback):
    """Reads the rate after every batch."""

    def __init__(self):
        super().__init__()
        self.rates = []

    def on_train_batch_end(self, batch, logs=None):
        self.rates.append(float(self.model.optimizer.learning_rate))


def build(optimizer=None, **options):
    """One weight that cannot learn, since all inputs are 0: its validation loss never gets better."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.compile(optimizer or keras.optimizers.SGD(0.7), "mse", **options)
    return model


def fit(model, epochs, *callbacks, initial_epoch=0):
    """Trains it for some epochs; returns the rates of all steps and the history."""
    recorder, data = Recorder(), (np.zeros((2 * STEPS, 1)), np.ones((2 * STEPS, 1)))
    history = model.fit(
        *data,
        batch_size=2,
        epochs=initial_epoch + epochs,
        initial_epoch=initial_epoch,
        validation_data=data,
        callbacks=[*callbacks, recorder],
        verbose=0,
    ).history
    return recorder.rates, history


def test_every_batch_has_the_rate_of_the_schedule():
    rates, _ = fit(build(), 3, RateSetter(0.2, "cosine", 3, STEPS))
    assert rates == pytest.approx([0.2 * factor for factor in at_steps(Cosine(), 3)])


def test_the_history_has_the_rate_of_the_last_batch_of_every_epoch():
    rates, history = fit(build(), 3, RateSetter(0.2, Cosine(), 3, STEPS))
    assert history["learning_rate"] == rates[STEPS - 1 :: STEPS]


def test_a_phase_begins_anew_whatever_epoch_keras_counts():
    model = build()
    first, _ = fit(model, 2, RateSetter(0.2, Cosine(), 2, STEPS))
    second, _ = fit(model, 3, RateSetter(0.02, OneCycle(), 3, STEPS), initial_epoch=2)
    assert first == pytest.approx([0.2 * factor for factor in at_steps(Cosine(), 2)])
    assert second == pytest.approx([0.02 * factor for factor in at_steps(OneCycle(), 3)])


def test_a_phase_can_go_on_from_its_middle():
    whole, _ = fit(build(), 4, RateSetter(0.2, Cosine(), 4, STEPS))
    setter = RateSetter(0.2, Cosine(), 4, STEPS)
    setter.epochs_done, setter.correction = 3, 0.5
    rest, _ = fit(build(), 1, setter, initial_epoch=3)
    assert rest == pytest.approx([0.5 * rate for rate in whole[-STEPS:]])


def test_steps_that_run_in_one_execution_have_the_rate_of_the_first():
    rates, _ = fit(build(steps_per_execution=2), 2, RateSetter(0.2, Cosine(), 2, STEPS))
    assert rates == pytest.approx([0.2 * factor for factor in at_steps(Cosine(), 2)[::2]])


def test_a_keras_schedule_is_followed_from_the_first_step_of_the_phase():
    model = build()
    fit(model, 2)
    schedule = schedules.CosineDecay(0.1, 3 * STEPS)
    rates, _ = fit(model, 3, RateSetter(schedule, Constant(), 3, STEPS), initial_epoch=2)
    assert rates == pytest.approx([float(schedule(step)) for step in range(3 * STEPS)])


def test_what_reduce_lr_on_plateau_does_lasts_and_the_cosine_goes_on():
    user = keras.callbacks.ReduceLROnPlateau(factor=0.5, patience=1)
    rates, history = fit(build(), 4, RateSetter(0.2, Cosine(warmup=0), 4, STEPS), user)
    # The first epoch sets the mark, and each of the others ends with a reduction.
    reductions = np.repeat([1, 1, 0.5, 0.25], STEPS)
    expected = 0.2 * np.array(at_steps(Cosine(warmup=0), 4)) * reductions
    assert rates == pytest.approx(expected.tolist(), rel=1e-5)
    assert history["learning_rate"] == pytest.approx(expected[STEPS - 1 :: STEPS].tolist(), rel=1e-5)


def test_the_history_does_not_depend_on_the_place_among_the_callbacks():
    def history(order):
        callbacks = [RateSetter(0.2, Cosine(), 4, STEPS), keras.callbacks.ReduceLROnPlateau(factor=0.5, patience=1)]
        return fit(build(), 4, *callbacks[::order])[1]["learning_rate"]

    assert history(1) == history(-1)


def test_a_rate_that_a_scheduler_sets_holds_from_the_first_epoch_on():
    user = keras.callbacks.LearningRateScheduler(lambda epoch, rate: [0.01, 0.0, 0.03][epoch])
    rates, _ = fit(build(), 3, RateSetter(0.2, Constant(), 3, STEPS), user)
    assert rates == pytest.approx(np.repeat([0.01, 0.0, 0.03], STEPS).tolist())


def test_plateaus_reduce_the_rate_of_the_phase_down_to_the_smallest():
    schedule = ReduceOnPlateau(factor=0.5, patience=1, smallest=0.2)
    rates, _ = fit(build(), 5, RateSetter(0.2, schedule, 5, STEPS), schedule.build_callback(0.2))
    assert rates[::STEPS] == pytest.approx([0.2, 0.2, 0.1, 0.05, 0.04])


def test_a_rate_of_zero_stays_where_no_factor_could_change_it():
    zero_first = schedules.PiecewiseConstantDecay([STEPS - 1], [0.0, 0.1])
    user = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate + 1.0 if epoch == 0 else rate)
    rates, _ = fit(build(), 2, RateSetter(zero_first, Constant(), 2, STEPS), user)
    assert rates == pytest.approx(np.repeat([0.0, 0.1], STEPS).tolist())


def test_an_optimizer_that_scales_the_loss_has_its_rate_set():
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.7))
    user = keras.callbacks.ReduceLROnPlateau(factor=0.5, patience=1)
    rates, _ = fit(build(optimizer), 3, RateSetter(0.2, Constant(), 3, STEPS), user)
    assert rates == pytest.approx(np.repeat([0.2, 0.2, 0.1], STEPS).tolist())
    assert float(optimizer.inner_optimizer.learning_rate) == pytest.approx(0.05)


def test_the_rate_is_what_the_step_is_taken_with():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    model.compile(keras.optimizers.SGD(0.7), lambda y, output: -output)  # its gradient is -1
    setter = RateSetter(0.2, Cosine(), 2, STEPS)
    model.fit(np.ones((STEPS, 1)), np.ones((STEPS, 1)), batch_size=1, epochs=2, callbacks=[setter], verbose=0)
    assert model.get_weights()[0].item() == pytest.approx(0.2 * sum(at_steps(Cosine(), 2)), rel=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, "cosine", 2, 3), "`learning_rate` must be positive and finite. Received: learning_rate=0.0"),
        ((float("nan"), "cosine", 2, 3), "`learning_rate` must be positive and finite"),
        ((0.1, "cosin", 2, 3), "Unknown rate schedule"),
        ((0.1, "cosine", 0, 3), "`epochs` must be a whole number of at least 1. Received: epochs=0"),
        ((0.1, "cosine", 2, None), "`steps_per_epoch` must be a whole number of at least 1. Received: .*=None"),
    ],
)
def test_a_setter_refuses_values_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        RateSetter(*arguments)
