import keras
import numpy as np
import pytest
from keras import layers

from transferkit.frozen.precision import choose_precision, computing_in


def random(seed):
    return keras.initializers.RandomNormal(stddev=0.4, seed=seed)


@pytest.fixture
def network():
    """A convolution, one in float64 by itself, and one inside a nested model."""
    inner = keras.Input((6, 6, 4))
    nested = keras.Model(inner, layers.Conv2D(4, 3, kernel_initializer=random(1), name="inner")(inner), name="nested")
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, kernel_initializer=random(0), name="conv")(image)
    x = layers.BatchNormalization(name="bn")(nested(x))
    x = layers.Activation("relu", dtype="float64", name="wide")(x)
    return keras.Model(image, layers.Dense(3, kernel_initializer=random(2), name="dense")(x), name="backbone")


@pytest.fixture
def pixels():
    return np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")


def policies(network):
    return {layer.name: layer.dtype_policy.name for layer in network._flatten_layers()}


def traced_again(network):
    image = keras.Input(network.input_shape[1:])
    return keras.Model(image, network(image))


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_layers_compute_in_half_precision_and_keep_their_weights_in_float32(network, pixels, precision):
    expected = np.asarray(network(pixels), "float32")
    with computing_in(network, precision):
        assert {layer.compute_dtype for layer in network._flatten_layers()} == {precision}
        assert {weight.dtype for weight in network.weights} == {"float32"}
        output = traced_again(network)(pixels)
    assert output.dtype == precision
    difference = np.abs(keras.ops.cast(output, "float32") - expected).max()
    assert 0 < difference < 0.05 * np.abs(expected).max()


def test_float32_is_full_precision_for_all(network):
    with computing_in(network, "float32"):
        assert set(policies(network).values()) == {"float32"}


def test_every_policy_is_restored_and_the_global_one_is_never_touched(network, pixels):
    before, everywhere = policies(network), keras.config.dtype_policy()
    expected = np.asarray(traced_again(network)(pixels))
    with computing_in(network, "bfloat16"):
        traced_again(network)(pixels)
        assert keras.config.dtype_policy() is everywhere
    assert policies(network) == before
    assert before["wide"] == "float64"
    assert np.array_equal(traced_again(network)(pixels), expected)


def test_an_error_restores_the_policies_too(network):
    before = policies(network)
    with pytest.raises(RuntimeError, match="in between"), computing_in(network, "float16"):
        raise RuntimeError("in between")
    assert policies(network) == before


def test_a_precision_that_does_not_exist_changes_nothing(network):
    before = policies(network)
    with pytest.raises(ValueError, match="float13"), computing_in(network, "float13"):
        pass
    assert policies(network) == before


def test_a_step_in_bfloat16_changes_float32_weights_by_less_than_bfloat16_could_tell(network, pixels):
    kernel = network.get_layer("dense").kernel
    before = kernel.numpy()
    with computing_in(network, "bfloat16"):
        model = traced_again(network)
        model.compile(keras.optimizers.SGD(1e-5), "mse", run_eagerly=True)
        model.train_on_batch(pixels, np.ones((2, 4, 4, 3)))
    step = np.abs(kernel.numpy() - before)
    assert kernel.dtype == "float32"
    assert step.max() > 0
    assert step.max() < np.abs(before).max() / 1024  # eight bits of mantissa end at 1 / 256


# ---- the choice ----


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [
        ({"float32": 1.0, "bfloat16": 0.5}, "bfloat16"),
        ({"float32": 1.0, "bfloat16": 0.95}, "float32"),
        ({"float32": 1.0, "bfloat16": 2.0}, "float32"),
    ],
)
def test_half_precision_must_be_clearly_faster(network, monkeypatch, seconds, chosen):
    monkeypatch.setattr(keras.distribution, "list_devices", lambda kind=None: [])
    assert choose_precision(network, 8, lambda network, size, precision: seconds[precision]) == (chosen, seconds)


def test_float16_is_tried_on_accelerators_only(network, monkeypatch):
    seconds = {"float32": 1.0, "bfloat16": 0.5, "float16": 0.4}
    monkeypatch.setattr(keras.distribution, "list_devices", lambda kind=None: ["gpu:0"])
    assert choose_precision(network, 8, lambda network, size, precision: seconds[precision])[0] == "float16"


def test_timing_leaves_the_network_as_it_was(network, pixels):
    before, expected = policies(network), np.asarray(network(pixels))
    precision, seconds = choose_precision(network, 2)
    assert precision in seconds
    assert min(seconds.values()) > 0
    assert policies(network) == before
    assert np.array_equal(network(pixels), expected)
