import keras
import numpy as np
import pytest

from transferkit.training.optimizers import (
    Tuning,
    accumulation_steps_of,
    build_optimizer,
    fresh_optimizer,
    is_spared_from_decay,
    own_rate,
    weigh_batches,
)

SHAPES = {"kernel": (4, 3), "bias": (3,), "convolution": (2, 2, 3, 4), "gamma": (4,)}
OPTIMIZERS = ["sgd", "adam", "adamw", "rmsprop", "lion", "nadam", "adagrad", "adadelta", "adamax", "ftrl", "adafactor"]
if keras.version() >= "3.15":
    OPTIMIZERS.append("muon")  # that of Keras 3.12 fails on TensorFlow


@pytest.fixture(params=OPTIMIZERS)
def kind(request):
    return request.param


def values(seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype("float32") for shape in SHAPES.values()]


def make_variables(seed=0):
    return [keras.Variable(value, name=name) for name, value in zip(SHAPES, values(seed), strict=True)]


def gradients(step):
    return [keras.ops.convert_to_tensor(value) for value in values(100 + step)]


def arrays(variables):
    return [variable.numpy() for variable in variables]


def gathering(optimizer, steps):
    """The same optimizer, which averages the gradients of some batches for one step."""
    original = fresh_optimizer(optimizer)
    return type(original).from_config(original.get_config() | {"gradient_accumulation_steps": steps})


def prepared(optimizer, variables, *, tuning=None, momentum=None, accumulation_steps=None, anchored=(), rate=0.1):
    """The optimizer of all phases, in a phase that treats all variables alike."""
    tuned, _, _ = build_optimizer(gathering(optimizer, accumulation_steps) if accumulation_steps else optimizer)
    tuned.prepare(variables, anchored=anchored, averaged=momentum is not None)
    tuned.begin_phase(lambda variable: tuning or Tuning(), momentum)
    tuned.learning_rate = rate
    return tuned


def run(optimizer, variables, steps=3, first=0):
    for step in range(first, first + steps):
        optimizer.apply(gradients(step), variables)
    return arrays(variables)


def assert_close(found, expected, **tolerance):
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, **({"abs": 1e-6} | tolerance))


# ---- what the user gives ----


def test_an_optimizer_is_copied_with_its_settings():
    given = keras.optimizers.SGD(0.3, momentum=0.5)
    copy = fresh_optimizer(given, learning_rate=1.0)
    assert copy is not given
    assert float(copy.learning_rate) == pytest.approx(0.3)
    assert copy.momentum == 0.5


def test_a_name_gets_the_rate():
    optimizer = fresh_optimizer("RMSprop", 0.02)
    assert isinstance(optimizer, keras.optimizers.RMSprop)
    assert float(optimizer.learning_rate) == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("optimizer", "error", "message"),
    [
        ("adamm", ValueError, "Unknown optimizer. Received: optimizer='adamm'"),
        (None, TypeError, "must be a name or a keras.optimizers.Optimizer. Received: None"),
        (keras.optimizers.Adam, TypeError, "must be a name or a keras.optimizers.Optimizer"),
    ],
)
def test_unusable_optimizers_are_refused(optimizer, error, message):
    with pytest.raises(error, match=message):
        fresh_optimizer(optimizer)


def test_loss_scaling_is_taken_off():
    given = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.3))
    assert type(fresh_optimizer(given)) is keras.optimizers.SGD


@pytest.mark.skipif(not hasattr(keras.optimizers, "MultiOptimizer"), reason="this Keras has none")
def test_rates_by_layer_are_asked_for_by_layer_decay():
    components = [(keras.optimizers.SGD(0.1), []), (keras.optimizers.SGD(0.2), [])]
    with pytest.raises(TypeError, match=r"For rates by depth use `Phase\(layer_decay=...\)`"):
        fresh_optimizer(keras.optimizers.MultiOptimizer(components))


def test_the_rate_of_an_object_is_its_own_and_that_of_a_name_is_open():
    assert own_rate("adam") is None
    assert own_rate(keras.optimizers.Adam(0.02)) == pytest.approx(0.02)
    schedule = own_rate(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.1, 8)))
    assert float(schedule(4)) == pytest.approx(0.05)


# ---- one step after another ----


def test_untuned_it_does_what_the_optimizer_of_keras_does(kind):
    expected, found = make_variables(), make_variables()
    plain = fresh_optimizer(kind)
    plain.learning_rate = 0.1
    plain.weight_decay = None
    if hasattr(plain, "adam_weight_decay"):
        plain.adam_weight_decay = None
    plain.build(expected)
    tuned = prepared(kind, found)
    assert_close(run(tuned, found), run(plain, expected))
    assert not np.array_equal(found[0], values()[0])


def test_weight_decay_is_that_of_keras_with_biases_excluded(kind):
    expected, found = make_variables(), make_variables()
    plain = fresh_optimizer(kind)
    plain.learning_rate = 0.1
    plain.weight_decay = 0.3
    if hasattr(plain, "adam_weight_decay"):
        plain.adam_weight_decay = 0.3
    plain.exclude_from_weight_decay(var_list=[expected[1], expected[3]])
    plain.build(expected)
    tuned = prepared(kind, found)
    tuned.begin_phase(lambda variable: Tuning(weight_decay=0.0 if is_spared_from_decay(variable) else 0.3))
    assert_close(run(tuned, found), run(plain, expected))
    without = make_variables()
    run(prepared(kind, without), without)
    same = [np.array_equal(one, other) for one, other in zip(arrays(found), arrays(without), strict=True)]
    assert same == [False, True, False, True]


def test_what_trains_in_two_phases_of_which_one_has_more_keeps_its_state(kind):
    """The middle phase trains two of four variables; their moments go on, those of the others wait."""
    variables = make_variables()
    tuned = prepared(kind, variables, rate=0.01)
    run(tuned, variables, steps=2)
    waiting, states = arrays(variables[2:]), {id(state): state.numpy() for state in tuned.variables}
    tuned.begin_phase(lambda variable: Tuning())
    assert all(np.array_equal(states[id(state)], state) for state in tuned.variables)
    tuned.apply(gradients(2)[:2], variables[:2])
    assert_close(arrays(variables[2:]), waiting, abs=0)
    assert not np.array_equal(variables[0], values()[0])
    tuned.begin_phase(lambda variable: Tuning())
    run(tuned, variables, steps=1, first=3)
    assert not np.array_equal(variables[2], waiting[0])


def test_a_phase_change_is_no_interruption_for_what_trains_on():
    whole, halves = make_variables(), make_variables()
    expected = run(prepared("adam", whole), whole, steps=4)
    tuned = prepared("adam", halves)
    run(tuned, halves, steps=2)
    tuned.begin_phase(lambda variable: Tuning())
    assert_close(run(tuned, halves, steps=2, first=2), expected, abs=0)


def test_each_variable_has_its_factor_on_the_rate():
    variables, before = make_variables(), values()
    factors = dict(zip(map(id, variables), (1.0, 0.5, 0.25, 0.1), strict=True))
    tuned = prepared("sgd", variables)
    tuned.begin_phase(lambda variable: Tuning(rate=factors[id(variable)]))
    expected = [
        value - 0.1 * factor * np.asarray(gradient)
        for value, factor, gradient in zip(before, factors.values(), gradients(0), strict=True)
    ]
    assert_close(run(tuned, variables, steps=1), expected)


def test_decay_goes_with_the_rate_of_the_variable():
    variables, before = make_variables(), values()
    tuned = prepared("sgd", variables, tuning=Tuning(rate=0.5, weight_decay=0.2))
    expected = [
        value - 0.05 * np.asarray(gradient) - 0.05 * 0.2 * value
        for value, gradient in zip(before, gradients(0), strict=True)
    ]
    assert_close(run(tuned, variables, steps=1), expected)


def test_l2_sp_pulls_towards_the_values_that_were_there_first():
    variables, anchors = make_variables(), values()
    tuned = prepared("sgd", variables, anchored=variables[:2])
    run(tuned, variables, steps=1)
    tuned.begin_phase(lambda variable: Tuning(l2_sp=0.7))  # of another phase: the anchors stay
    moved = arrays(variables)
    for index, found in enumerate(run(tuned, variables, steps=1, first=1)):
        gradient = np.asarray(gradients(1)[index])
        pull = 0.7 * (moved[index] - anchors[index]) if index < 2 else 0
        assert found == pytest.approx(moved[index] - 0.1 * (gradient + pull), abs=1e-6)


def test_biases_scales_and_shifts_are_spared_from_decay():
    assert [is_spared_from_decay(variable) for variable in make_variables()] == [False, True, False, True]


# ---- running means ----


def test_the_running_mean_follows_by_hand_from_the_beginning_of_its_phase():
    variables = make_variables()
    tuned = prepared("sgd", variables, momentum=0.25)
    tuned.begin_phase(lambda variable: Tuning())  # without
    run(tuned, variables, steps=2)
    tuned.begin_phase(lambda variable: Tuning(), 0.25)
    means, momenta = arrays(variables), []
    for step in range(4):
        now = run(tuned, variables, steps=1, first=2 + step)
        momenta.append(min(0.25, (1 + step) / (10 + step)))
        means = [momenta[-1] * mean + (1 - momenta[-1]) * value for mean, value in zip(means, now, strict=True)]
    assert momenta == pytest.approx([0.1, 2 / 11, 0.25, 0.25])
    tuned.swap_means()
    assert_close(arrays(variables), means)
    tuned.swap_means()
    assert_close(arrays(variables), now, abs=0)


def test_without_means_there_is_nothing_to_swap():
    variables = make_variables()
    tuned = prepared("sgd", variables)
    tuned.swap_means()
    assert_close(arrays(variables), values(), abs=0)


def test_what_does_not_train_is_the_same_in_the_means():
    variables = make_variables()
    tuned = prepared("sgd", variables, momentum=0.5)
    tuned.apply(gradients(0)[:1], variables[:1])
    tuned.swap_means()
    assert_close(arrays(variables[1:]), values()[1:], abs=0)


def test_decay_and_means_of_the_given_optimizer_are_handed_over():
    tuned, decay, momentum = build_optimizer(
        keras.optimizers.AdamW(0.1, weight_decay=0.07, use_ema=True, ema_momentum=0.9)
    )
    assert (decay, momentum) == (0.07, 0.9)
    assert isinstance(tuned, keras.optimizers.AdamW)
    assert not tuned.weight_decay
    assert not tuned.use_ema
    assert build_optimizer("sgd")[1:] == (None, None)


def test_settings_and_clipping_of_the_given_optimizer_stay():
    given = keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True, global_clipnorm=0.5)
    expected, found = make_variables(), make_variables()
    given.build(expected)
    assert_close(run(prepared(given, found), found), run(given, expected))


# ---- accumulation ----


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_gradients_of_many_batches_are_averaged_for_one_step(name):
    expected, found = make_variables(), make_variables()
    plain = prepared(name, expected)
    for first in (0, 3):
        batches = zip(*(gradients(step) for step in range(first, first + 3)), strict=True)
        plain.apply([sum(batch) / 3 for batch in batches], expected)
    tuned = prepared(name, found, accumulation_steps=3)
    run(tuned, found, steps=2)
    assert_close(arrays(found), values(), abs=0)
    assert_close(run(tuned, found, steps=4, first=2), arrays(expected))


def test_a_phase_forgets_gradients_that_made_no_step():
    expected, found = make_variables(), make_variables()
    run(prepared("adam", expected, accumulation_steps=2), expected, steps=2)
    tuned = prepared("adam", found, accumulation_steps=2)
    tuned.apply(gradients(7), found)
    tuned.begin_phase(lambda variable: Tuning())
    tuned.apply(gradients(0), found)
    assert_close(arrays(found), values(), abs=0)
    tuned.apply(gradients(1), found)
    assert_close(arrays(found), arrays(expected), abs=0)


def test_batches_that_make_one_step_are_those_of_the_optimizer():
    optimizer = keras.optimizers.Adam(gradient_accumulation_steps=4)
    scaled = keras.optimizers.LossScaleOptimizer(optimizer)
    assert [accumulation_steps_of(each) for each in ("adam", keras.optimizers.Adam(), optimizer, scaled)] == [
        1,
        1,
        4,
        4,
    ]
    assert build_optimizer(optimizer)[0].gradient_accumulation_steps == 4


def test_gradients_are_gathered_as_keras_does_and_not_twice():
    expected, found = make_variables(), make_variables()
    given = keras.optimizers.Adam(0.1, gradient_accumulation_steps=2)
    given.build(expected)
    tuned = prepared(given, found)
    for first in range(0, 6, 2):
        run(tuned, found, steps=2, first=first)
        assert_close(arrays(found), run(given, expected, steps=2, first=first))


def test_variables_that_the_user_excludes_from_decay_are_not_decayed():
    kernel, other = (keras.Variable(np.ones((2, 2)), name=name) for name in ("kernel", "other"))
    original = keras.optimizers.AdamW(weight_decay=0.5)
    original.exclude_from_weight_decay(var_names=["ker"])
    tuned, decay, _ = build_optimizer(keras.optimizers.LossScaleOptimizer(original))
    tuned.prepare([kernel, other])
    assert decay == 0.5
    assert [tuned.is_decayed(variable) for variable in (kernel, other)] == [False, True]
    assert not tuned.is_decayed(keras.Variable(np.ones(2), name="other"))


def test_excluding_variables_of_another_network_from_decay_is_refused():
    own, foreign = (keras.Variable(np.ones((2, 2))) for _ in range(2))
    original = keras.optimizers.AdamW(weight_decay=0.5)
    original.exclude_from_weight_decay(var_list=[own])
    tuned, *_ = build_optimizer(original)
    tuned.check_exclusions([own, foreign])
    assert not tuned.is_decayed(own)
    with pytest.raises(ValueError, match="Name them by `var_names`"):
        tuned.check_exclusions([foreign])


@pytest.mark.parametrize("clipnorm", [None, 0.5])
def test_images_of_a_small_batch_count_like_others_in_a_step(clipnorm):
    sizes = (4, 4, 1)  # of the batches of one step, and of the next
    expected, found = make_variables(), make_variables()
    plain, tuned = (prepared(keras.optimizers.SGD(0.1, clipnorm=clipnorm), expected), None)
    tuned = prepared(keras.optimizers.SGD(0.1, clipnorm=clipnorm), found, accumulation_steps=3)
    for first in (0, 3):
        batches = [gradients(first + number) for number in range(3)]
        mean = [
            sum(size * part for size, part in zip(sizes, components, strict=True)) / 9
            for components in zip(*batches, strict=True)
        ]
        plain.apply(mean, expected)
        for size, batch in zip(sizes, batches, strict=True):
            tuned.fullness.assign(size / 4)
            tuned.apply(batch, found)
    assert_close(arrays(found), arrays(expected))


def test_gradients_that_made_no_step_do_not_count_in_the_next_phase():
    expected, found = make_variables(), make_variables()
    run(prepared("sgd", expected, accumulation_steps=2), expected, steps=2)
    tuned = prepared("sgd", found, accumulation_steps=2)
    tuned.fullness.assign(0.25)
    tuned.apply(gradients(7), found)
    tuned.begin_phase(lambda variable: Tuning())
    tuned.fullness.assign(1.0)
    run(tuned, found, steps=2)
    assert_close(arrays(found), arrays(expected))


def linear_model(l2=0.0):
    image = keras.Input((3,))
    dense = keras.layers.Dense(2, kernel_initializer="ones", kernel_regularizer=keras.regularizers.L2(l2))
    return keras.Model(image, dense(image))


def test_a_model_that_gathers_gradients_steps_along_the_mean_over_all_images():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(9, 3)).astype("float32"), rng.normal(size=(9, 2)).astype("float32")
    trained, losses = [], []
    for batch_size, together in ((9, None), (4, 3)):
        model = linear_model(l2=0.1)
        optimizer = prepared("sgd", model.trainable_variables, accumulation_steps=together)
        weigh_batches(model, optimizer, batch_size)
        model.compile(optimizer, "mse", jit_compile=False)
        losses.append(model.fit(x, y, batch_size=batch_size, epochs=2, shuffle=False, verbose=0).history["loss"])
        trained.append(arrays(model.weights))
    assert_close(*trained)
    assert losses[0] == pytest.approx(losses[1])


@pytest.mark.slow
def test_images_count_alike_on_uneven_replicas(in_fresh_process):
    code = """
import keras, numpy as np, tensorflow as tf
from contextlib import nullcontext
from transferkit.training.optimizers import Tuning, build_optimizer, weigh_batches
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
rng = np.random.default_rng(0)
x, y = rng.normal(size=(11, 3)).astype("float32"), rng.normal(size=(11, 2)).astype("float32")
for count in (11, 9):  # the last batch of the former is divided into two and one, that of the latter into one and none
    found = []
    for strategy in (None, tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])):
        with nullcontext() if strategy is None else strategy.scope():
            image = keras.Input((3,))
            dense = keras.layers.Dense(2, kernel_initializer="ones", kernel_regularizer=keras.regularizers.L2(0.1))
            model = keras.Model(image, dense(image))
            optimizer, _, _ = build_optimizer("sgd")
            optimizer.prepare(model.trainable_variables)
            optimizer.learning_rate = 0.1
            weigh_batches(model, optimizer, 4)
            model.compile(optimizer, "mse", jit_compile=False)
        data = tf.data.Dataset.from_tensor_slices((x[:count], y[:count])).batch(4)
        history = model.fit(data, epochs=2, verbose=0).history["loss"]
        found.append(np.concatenate([*(weight.numpy().ravel() for weight in model.weights), history]))
    print(np.abs(found[0] - found[1]).max())
"""
    assert [float(line) < 1e-5 for line in in_fresh_process(code).split()[-2:]] == [True, True]
