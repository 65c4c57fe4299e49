import keras
import numpy as np
import pytest
from keras import layers, ops

from transferkit.backbones.stages import Stage
from transferkit.models.freezing import (
    build_trainable,
    check_stages,
    depths_below_head,
    select,
    set_flags,
    weighted_stages,
)

STAGES = (Stage("stage1"), Stage("stage2", "conv2"), Stage("stage3", "conv3"))

# What each `train` is to change, by the names of layers.
DECLARED = {
    "head": {"head"},
    "logistic": {"head"},
    "stage2": {"conv2", "bn2", "conv3", "bn3", "head"},
    ("stage2",): {"conv2", "bn2"},
    ("stage3", "stage1", "head"): {"conv1", "bn1", "conv3", "bn3", "head"},
    "all": {"conv1", "bn1", "conv2", "bn2", "conv3", "bn3", "head"},
    "batch_norm": {"bn1", "bn2", "bn3", "head"},
    "lora": {"conv1_low_rank", "conv2_low_rank", "conv3_low_rank", "head"},
}


def random(seed):
    return keras.initializers.RandomNormal(stddev=0.4, seed=seed)


@keras.saving.register_keras_serializable("tests")
class Witness(layers.Layer):
    """Writes down whether it was called to train."""

    def __init__(self, **options):
        super().__init__(**options)
        self.seen = []

    def call(self, x, training=False):
        self.seen.append(training)
        return x

    def compute_output_shape(self, shape):
        return shape


class Composite(layers.Layer):
    """Passes `training` on to what is inside without knowing of it."""

    def __init__(self, *inner, **options):
        super().__init__(**options)
        self.inner = list(inner)

    def build(self, shape):
        for layer in self.inner:
            layer.build(shape)

    def call(self, x):
        for layer in self.inner:
            x = layer(x)
        return x

    def compute_output_shape(self, shape):
        return shape


def build_network(batch_norm, wrap=lambda number: []):
    """Three convolutions, with BatchNorm, ReLU and whatever `wrap` gives after each."""
    image = x = keras.Input((16, 16, 3))
    for number, filters in enumerate((6, 8, 10), 1):
        x = layers.Conv2D(
            filters, 3, strides=2, use_bias=not batch_norm, kernel_initializer=random(number), name=f"conv{number}"
        )(x)
        if batch_norm:
            x = layers.BatchNormalization(name=f"bn{number}", momentum=0.5)(x)
        x = layers.LeakyReLU(name=f"relu{number}")(x)
        for layer in wrap(number):
            x = layer(x)
    return keras.Model(image, x, name="backbone")


@pytest.fixture(params=["with BatchNorm", "without BatchNorm"])
def network(request):
    return build_network(request.param == "with BatchNorm")


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).normal(size=(4, 16, 16, 3)).astype("float32")


def one_step(network, selection, view, pixels):
    """Trains a view of the network, and a head on it, for one step. Returns names of layers whose weights changed."""
    image = keras.Input(network.input_shape[1:])
    head = layers.Dense(2, kernel_initializer=random(9), name="head")
    output = head(layers.Flatten()(view.model(image)))
    head.trainable = selection.head
    model = keras.Model(image, output)
    model.compile(keras.optimizers.SGD(0.1), "mse", run_eagerly=True)
    before = {weight.path: weight.numpy() for weight in model.weights}
    model.train_on_batch(pixels, np.ones((len(pixels), 2)))
    return {weight.path for weight in model.weights if not np.array_equal(weight, before[weight.path])}


def expected_changes(model, names):
    """Paths of all weights of these layers but the statistics of BatchNorm, and the first matrix of adapters.

    That one has no gradient yet while the second one is zero.
    """
    return {
        weight.path
        for weight in model.weights
        if set(weight.path.split("/")) & names
        and weight.name not in ("moving_mean", "moving_variance")
        and not weight.path.endswith("_low_rank/a")
    }


# ---- what trains ----


@pytest.mark.parametrize("train", [train for train in DECLARED if train != "batch_norm"], ids=str)
def test_one_step_changes_exactly_what_was_declared(train, network, pixels):
    selection = select(network, STAGES, train, rank=2)
    view = build_trainable(network, selection)
    changed = one_step(network, selection, view, pixels)
    expected = expected_changes(view.model, DECLARED[train])
    assert {path for path in changed if not path.startswith("head/")} == expected
    assert ("head/kernel" in changed) == ("head" in DECLARED[train])
    assert len(expected) >= 2 or train in ("head", "logistic")


def test_batch_norm_changes_scales_and_shifts_and_the_head(pixels):
    network = build_network(batch_norm=True)
    selection = select(network, STAGES, "batch_norm")
    changed = one_step(network, selection, build_trainable(network, selection), pixels)
    assert changed == {f"bn{i}/{name}" for i in (1, 2, 3) for name in ("gamma", "beta")} | {"head/kernel", "head/bias"}


def test_batch_norm_needs_some():
    with pytest.raises(ValueError, match="train='batch_norm': this backbone has no BatchNorm layers"):
        select(build_network(batch_norm=False), STAGES, "batch_norm")


def test_lora_needs_a_layer_that_can_be_adapted():
    image = keras.Input((8, 8, 3))
    network = keras.Model(image, layers.DepthwiseConv2D(3)(image))
    with pytest.raises(ValueError, match="train='lora': this backbone has no Conv2D or Dense layers"):
        select(network, (Stage("stage1"),), "lora")


def test_flags_of_one_phase_leave_no_trace_in_the_next(network, pixels):
    for train in ("head", "stage3", "lora", "all", ("stage1",), "all"):
        selection = select(network, STAGES, train, rank=2)
        view = build_trainable(network, selection)
    changed = one_step(network, selection, view, pixels)
    assert {path for path in changed if "head" not in path} == expected_changes(network, DECLARED["all"])


def test_a_network_frozen_as_a_whole_trains_all_the_same(network, pixels):
    network.trainable = False
    network.get_layer("conv2").trainable = False
    selection = select(network, STAGES, "stage2")
    changed = one_step(network, selection, build_trainable(network, selection), pixels)
    assert {path for path in changed if "head" not in path} == expected_changes(network, DECLARED["stage2"])


# ---- statistics of BatchNorm ----


@pytest.mark.parametrize(
    ("train", "moving"),
    [
        ("all", {"bn1", "bn2", "bn3"}),
        ("stage2", {"bn2", "bn3"}),
        (("stage2",), {"bn2"}),
        ("batch_norm", {"bn1", "bn2", "bn3"}),
        ("head", set()),
    ],
    ids=["all", "a stage", "one stage only", "batch_norm", "head"],
)
def test_adapted_statistics_move_in_what_trains_only(train, moving, pixels):
    network = build_network(batch_norm=True)
    selection = select(network, STAGES, train)
    changed = one_step(network, selection, build_trainable(network, selection, adapt_batch_norm=True), pixels)
    statistics = {path for path in changed if "moving" in path}
    assert statistics == {f"{name}/moving_{which}" for name in moving for which in ("mean", "variance")}


def test_adapted_layers_use_the_statistics_of_the_batch(pixels):
    network = build_network(batch_norm=True)
    network.get_layer("bn3").set_weights([np.ones(10), np.zeros(10), np.full(10, 50.0), np.full(10, 9.0)])
    selection = select(network, STAGES, "stage3")
    fixed = build_trainable(network, selection).model(pixels, training=True)
    assert np.array_equal(fixed, network(pixels, training=False))
    adapted = np.asarray(build_trainable(network, selection, adapt_batch_norm=True).model(pixels, training=True))
    normalised = np.where(adapted > 0, adapted, adapted / 0.3)  # without LeakyReLU
    assert normalised.mean(axis=(0, 1, 2)) == pytest.approx(np.zeros(10), abs=1e-4)
    assert normalised.std(axis=(0, 1, 2)) == pytest.approx(np.ones(10), abs=1e-2)


# ---- what is off in frozen layers ----


@pytest.mark.parametrize(
    ("train", "awake"),
    [
        ("head", []),
        ("stage2", [2, 3]),
        (("stage1",), [1]),
        ("all", [1, 2, 3]),
        ("batch_norm", []),
        ("lora", []),
    ],
    ids=str,
)
def test_layers_with_modes_rest_in_frozen_stages_and_work_in_those_that_train(train, awake, pixels):
    nested, composite, plain = Witness(), Witness(), Witness()
    inner = keras.Input((3, 3, 8))
    wraps = {
        1: [Composite(composite, name="composite")],
        2: [keras.Model(inner, nested(inner), name="nested")],
        3: [plain],
    }
    network = build_network(batch_norm=True, wrap=wraps.get)
    view = build_trainable(network, select(network, STAGES, train, rank=2)).model
    for training in (True, False):
        for witness in (composite, nested, plain):
            witness.seen.clear()
        view(pixels, training=training)
        found = [witness.seen for witness in (composite, nested, plain)]
        assert found == [[training and number in awake] for number in (1, 2, 3)]


@pytest.mark.parametrize("where", ["plain", "nested", "composite", "in a composite of a nested model"])
def test_dropout_is_off_in_frozen_stages_wherever_it_is(where, pixels):
    def dropout(shape):
        layer, inner = layers.Dropout(0.5, seed=1), keras.Input(shape)
        if where in ("plain", "composite"):
            return layer if where == "plain" else Composite(layer)
        nested = keras.Model(inner, layer(inner))
        return nested if where == "nested" else Composite(nested)

    wraps = {1: [dropout((7, 7, 6))], 2: [dropout((3, 3, 8))], 3: []}
    network = build_network(batch_norm=False, wrap=wraps.get)
    at_rest = build_trainable(network, select(network, STAGES, "stage3")).model
    expected = np.asarray(network(pixels, training=False))
    assert np.array_equal(at_rest(pixels, training=True), expected)
    working = build_trainable(network, select(network, STAGES, "stage2")).model
    assert not np.array_equal(working(pixels, training=True), expected)
    assert np.array_equal(working(pixels, training=False), expected)


def test_a_frozen_layer_does_not_put_a_trained_one_after_it_to_rest(pixels):
    witness, later = Witness(), Witness()
    wraps = {1: [layers.Dropout(0.5)], 2: [layers.Dropout(0.5), Composite(witness)], 3: [Composite(later)]}
    network = build_network(batch_norm=True, wrap=wraps.get)
    view = build_trainable(network, select(network, STAGES, "stage2")).model
    witness.seen.clear(), later.seen.clear()
    view(pixels, training=True)
    assert witness.seen == later.seen == [True]


def test_training_through_fit_keeps_frozen_layers_at_rest(pixels):
    """`fit` overrides what a functional model recorded: Keras' own `training=False` would not do."""
    dropout = layers.Dropout(0.9, seed=1)
    network = build_network(batch_norm=True, wrap=lambda number: [dropout] if number == 3 else [])
    selection = select(network, STAGES, "head")
    image = keras.Input((16, 16, 3))
    features = build_trainable(network, selection).model(image)
    model = keras.Model(image, layers.Dense(10, kernel_initializer="identity", name="head")(features))
    expected = network.predict(pixels, verbose=0)
    model.compile(keras.optimizers.SGD(0.0), "mse")
    assert model.fit(pixels, expected, verbose=0).history["loss"] == pytest.approx([0.0], abs=1e-9)


# ---- networks of many shapes ----


def nested_batch_norm():
    """BatchNorm and Dropout inside a model inside the network."""
    inner = keras.Input((7, 7, 6))
    x = layers.Conv2D(5, 3, kernel_initializer=random(4), name="inner_conv")(inner)
    x = layers.BatchNormalization(name="inner_bn", momentum=0.5)(x)
    nested = keras.Model(inner, layers.Dropout(0.5, seed=3)(x), name="nested")
    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(6, 3, strides=2, kernel_initializer=random(1), name="conv1")(image)
    x = layers.Conv2D(4, 3, kernel_initializer=random(2), name="conv2")(nested(x))
    return keras.Model(image, x, name="backbone"), (
        Stage("stage1"),
        Stage("stage2", "nested"),
        Stage("stage3", "conv2"),
    )


@pytest.mark.parametrize(
    ("train", "changing"),
    [
        ("all", {"conv1", "inner_conv", "inner_bn", "conv2"}),
        ("stage3", {"conv2"}),
        ("stage2", {"inner_conv", "inner_bn", "conv2"}),
        ("batch_norm", {"inner_bn"}),
    ],
)
def test_batch_norm_inside_a_nested_model_trains_with_its_stage_and_keeps_its_statistics(train, changing, pixels):
    network, stages = nested_batch_norm()
    selection = select(network, stages, train)
    changed = one_step(network, selection, build_trainable(network, selection), pixels)
    assert {path for path in changed if "head" not in path} == expected_changes(network, changing)


def test_statistics_inside_a_nested_model_move_when_asked_to(pixels):
    network, stages = nested_batch_norm()
    selection = select(network, stages, "stage2")
    changed = one_step(network, selection, build_trainable(network, selection, adapt_batch_norm=True), pixels)
    assert {path for path in changed if "moving" in path} == {
        weight.path for weight in network.weights if "moving" in weight.path
    }


def test_layers_that_take_more_than_one_tensor_or_are_called_twice_can_rest(pixels):
    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(4, 3, strides=4, kernel_initializer=random(0), name="conv1")(image)
    dropout = layers.Dropout(0.5, seed=1)
    tokens = layers.Reshape((16, 4))(dropout(dropout(x)))
    attention = layers.MultiHeadAttention(2, 4, dropout=0.5, seed=2, name="attention")
    attended = attention(tokens, tokens, key=tokens)
    network = keras.Model(image, ops.relu(layers.Add()([attended, tokens])))
    stages = (Stage("stage1"), Stage("stage2", "attention"))
    expected = np.asarray(network(pixels, training=False))
    at_rest = build_trainable(network, select(network, stages, "head")).model
    assert np.array_equal(at_rest(pixels, training=True), expected)
    working = build_trainable(network, select(network, stages, "all")).model
    assert not np.array_equal(working(pixels, training=True), expected)


def test_a_mode_that_the_network_recorded_for_good_gives_way_in_frozen_stages(pixels):
    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(4, 3, kernel_initializer=random(0))(image)
    network = keras.Model(image, layers.Dropout(0.5, seed=1)(x, training=True))
    plain = keras.Model(image, x)
    view = build_trainable(network, select(network, (Stage("stage1"),), "head")).model
    assert np.array_equal(view(pixels, training=True), plain(pixels))


def test_a_view_shares_the_weights_of_the_network(network):
    view = build_trainable(network, select(network, STAGES, "stage2")).model
    assert {id(weight) for weight in view.weights} == {id(weight) for weight in network.weights}


def test_adapters_are_used_again_and_those_of_another_rank_are_not(network):
    first = build_trainable(network, select(network, STAGES, "lora", rank=2))
    again = build_trainable(network, select(network, STAGES, "lora", rank=2), adapters=first.adapters)
    other = build_trainable(network, select(network, STAGES, "lora", rank=3), adapters=first.adapters)
    assert first.adapters.keys() == again.adapters.keys() == other.adapters.keys() == {"conv1", "conv2", "conv3"}
    assert all(again.adapters[name] is adapter for name, adapter in first.adapters.items())
    assert {adapter.rank for adapter in other.adapters.values()} == {3}
    assert build_trainable(network, select(network, STAGES, "all"), adapters=first.adapters).adapters == {}


# ---- names and depths ----


@pytest.mark.parametrize("train", ["stage4", ("stage1", "stage4"), "Head"], ids=str)
def test_an_unknown_stage_lists_the_stages(train):
    with pytest.raises(ValueError, match="Unknown stage '.*The stages of this backbone are: stage1, stage2, stage3"):
        select(build_network(batch_norm=False), STAGES, train)


def test_stages_without_weights_train_nothing():
    network = build_network(batch_norm=False)
    stages = (Stage("stage1"), Stage("relu", "relu1"), Stage("stage2", "conv2"))
    with pytest.raises(ValueError, match=r"train=\('relu',\) trains nothing: these stages have no weights"):
        select(network, stages, ("relu",))
    assert select(network, stages, ("relu", "head")).head
    assert weighted_stages(network, stages) == ("stage1", "stage2")


def test_a_name_means_all_stages_from_there_on_and_a_list_exactly_those():
    assert check_stages("stage2", ["stage1", "stage2", "stage3"]) == ["stage2", "stage3"]
    assert check_stages(("stage2", "head"), ["stage1", "stage2", "stage3"]) == ["stage2"]
    assert check_stages("all", ["stage1", "stage2"]) == ["stage1", "stage2"]


def test_depth_counts_stages_from_the_head(network):
    adapters = build_trainable(network, select(network, STAGES, "lora", rank=2)).adapters
    depths = depths_below_head(network, STAGES, adapters)
    for weight in network.weights:
        assert depths[id(weight)] == 4 - int(weight.path.split("/")[0][-1])
    for name, adapter in adapters.items():
        assert depths[id(adapter.a)] == depths[id(adapter.b)] == 4 - int(name[-1])
    assert len(depths) == len(network.weights) + 6


def test_flags_alone_can_be_set_for_a_selection(network):
    set_flags(network, select(network, STAGES, ("stage3",)))
    assert {weight.path for weight in network.trainable_weights} == expected_changes(network, {"conv3", "bn3"})


def test_a_kind_of_training_must_stand_alone():
    with pytest.raises(ValueError, match="'all' must stand alone, as train='all', not in a list"):
        select(build_network(batch_norm=False), STAGES, ("all",))


def test_batch_norm_inside_a_model_adapts_after_a_phase_that_held_it():
    inner = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(3, 3), layers.BatchNormalization()], name="inner")
    image = keras.Input((8, 8, 3))
    network = keras.Model(image, inner(image))
    norm, stages = inner.layers[-1], (Stage("all_of_it"),)
    set_flags(network, select(network, stages, "head"))
    set_flags(network, select(network, stages, "all"), adapt_batch_norm=True)
    assert norm.trainable
    assert len(network.trainable_variables) == 4
    view = build_trainable(network, select(network, stages, "all"), adapt_batch_norm=True)
    mean = norm.moving_mean.numpy()
    view.model(np.random.default_rng(0).normal(size=(4, 8, 8, 3)), training=True)
    assert np.abs(norm.moving_mean.numpy() - mean).max() > 1e-4
    set_flags(network, select(network, stages, "all"))  # and back: scale and shift train, statistics stay
    assert not norm.trainable
    assert norm.gamma.trainable


@pytest.mark.parametrize("first", ["head", "all", "stage2", "batch_norm"])
@pytest.mark.parametrize(
    ("train", "changing"),
    [("stage3", {"conv2"}), ("stage2", {"inner_conv", "inner_bn", "conv2"}), ("batch_norm", {"inner_bn"})],
)
@pytest.mark.parametrize("adapts", [True, False], ids=["adapt", "fixed"])
def test_a_phase_before_leaves_no_trace_inside_a_nested_model(first, train, changing, adapts, pixels):
    network, stages = nested_batch_norm()
    for adapts_before in (True, False):
        build_trainable(network, select(network, stages, first), adapt_batch_norm=adapts_before)
    selection = select(network, stages, train)
    changed = one_step(network, selection, build_trainable(network, selection, adapt_batch_norm=adapts), pixels)
    statistics = {path for path in changed if "moving" in path}
    assert len(statistics) == (2 if adapts and train == "stage2" else 0)
    assert {path for path in changed - statistics if "head" not in path} == expected_changes(network, changing)
