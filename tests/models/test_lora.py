import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from transferkit.models.lora import LowRank, can_adapt

LAYERS = {
    "conv": lambda **options: layers.Conv2D(6, 3, **options),
    "strided": lambda **options: layers.Conv2D(6, 3, strides=(2, 1), padding="same", **options),
    "dilated": lambda **options: layers.Conv2D(6, 3, dilation_rate=2, padding="same", **options),
    "grouped": lambda **options: layers.Conv2D(6, 3, groups=2, **options),
    "pointwise without bias": lambda **options: layers.Conv2D(6, 1, use_bias=False, **options),
    "relu": lambda **options: layers.Conv2D(6, (3, 2), activation="relu", **options),
    "dense": lambda **options: layers.Dense(6, activation="gelu", **options),
    "dense without bias": lambda **options: layers.Dense(6, use_bias=False, **options),
}


@pytest.fixture
def images():
    return np.random.default_rng(0).normal(size=(2, 9, 8, 4)).astype("float32")


@pytest.fixture
def network():
    """Convolutions around a BatchNorm, a depthwise one, a sum, and a Dense layer that is called twice."""
    image = keras.Input((9, 8, 4))
    x = layers.Conv2D(6, 3, padding="same", use_bias=False, kernel_initializer=random(0), name="conv1")(image)
    x = layers.BatchNormalization(name="bn1")(x)
    shortcut = x = layers.ReLU(name="relu1")(x)
    x = layers.DepthwiseConv2D(3, padding="same", depthwise_initializer=random(1), name="depthwise")(x)
    x = layers.Conv2D(6, 1, kernel_initializer=random(2), name="conv2")(x)
    x = ops.relu(layers.Add(name="add")([x, shortcut]))
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    dense = layers.Dense(6, activation="tanh", kernel_initializer=random(3), name="dense")
    network = keras.Model(image, dense(dense(x)), name="network")
    network.trainable = False
    return network


def random(seed):
    return keras.initializers.RandomNormal(stddev=0.5, seed=seed)


def built(name, images, **options):
    layer = LAYERS[name](kernel_initializer=random(0), bias_initializer=random(1), **options)
    layer.build(images.shape)
    layer.trainable = False
    return layer


def move(wrapper, seed=0):
    """Gives an adapter weights as if it had been trained."""
    wrapper.b.assign(np.random.default_rng(seed).normal(size=wrapper.b.shape))


def adapted_view(network, **options):
    """The network with all adapters that fit, as the caller of this module builds it."""
    wrappers = {layer.name: LowRank(layer, **options) for layer in network.layers if can_adapt(layer)}

    def call(layer, *args, **kwargs):
        return wrappers.get(layer.name, layer)(*args, **kwargs)

    view = keras.models.clone_model(network, clone_function=lambda layer: layer, call_function=call)
    return view, wrappers


def array(tensor):
    return np.asarray(ops.cast(tensor, "float32"))


@pytest.mark.parametrize("name", LAYERS)
def test_at_the_start_it_computes_exactly_what_the_layer_does(name, images):
    layer = built(name, images)
    wrapper = LowRank(layer, rank=3)
    assert np.array_equal(wrapper(images), layer(images))


@pytest.mark.parametrize("name", LAYERS)
def test_the_kernel_is_changed_by_the_scaled_product(name, images):
    layer, changed = built(name, images), built(name, images)
    wrapper = LowRank(layer, rank=3, alpha=6)
    move(wrapper)
    product = np.asarray(wrapper.a) @ np.asarray(wrapper.b)
    changed.kernel.assign(np.asarray(layer.kernel) + 2 * product.reshape(layer.kernel.shape))
    np.testing.assert_allclose(wrapper(images), changed(images), rtol=1e-5, atol=1e-5)
    assert np.abs(array(wrapper(images)) - layer(images)).max() > 0.1


@pytest.mark.parametrize("name", ["relu", "dense"])
def test_it_agrees_with_the_adaptation_that_keras_has(name, images):
    layer, keras_layer = built(name, images), built(name, images)
    wrapper = LowRank(layer, rank=3, alpha=6)
    move(wrapper)
    keras_layer.enable_lora(3, lora_alpha=6)
    keras_layer.lora_kernel_a.assign(np.reshape(wrapper.a, keras_layer.lora_kernel_a.shape))
    keras_layer.lora_kernel_b.assign(wrapper.b)
    np.testing.assert_allclose(wrapper(images), keras_layer(images), rtol=1e-5, atol=1e-5)


def test_channels_may_come_first(images):
    layer = built("relu", images)
    last = LowRank(layer)
    images = images.transpose(0, 3, 1, 2)
    turned = built("relu", images, data_format="channels_first")
    turned.set_weights(layer.get_weights())
    first = LowRank(turned)
    for wrapper in (last, first):
        wrapper.layer.bias.assign(np.arange(6) - 2)
        move(wrapper)
    # Whether TensorFlow convolves with channels first on a CPU depends on the machine. XLA does on all of them.
    run = tf.function(first, jit_compile=True)
    expected = array(last(images.transpose(0, 2, 3, 1))).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(run(tf.constant(images)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", LAYERS)
def test_merging_moves_the_change_into_the_layer(name, images):
    layer = built(name, images)
    wrapper = LowRank(layer, rank=3)
    move(wrapper)
    before = array(wrapper(images))
    wrapper.merge()
    assert not np.asarray(wrapper.b).any()
    np.testing.assert_allclose(wrapper(images), before, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(layer(images), before, rtol=1e-6, atol=1e-6)


def test_only_the_two_matrices_are_its_trainable_weights(images):
    layer = built("conv", images)
    wrapper = LowRank(layer, rank=3)
    assert [weight is own for weight, own in zip(wrapper.trainable_weights, (wrapper.a, wrapper.b), strict=True)]
    assert {id(weight) for weight in layer.weights} <= {id(weight) for weight in wrapper.weights}
    assert wrapper.a.shape == (36, 3)
    assert wrapper.b.shape == (3, 6)
    assert not layer.trainable


def test_a_bias_is_trained_if_its_flag_says_so(images):
    layer = built("conv", images)
    layer.bias.trainable = True
    assert LowRank(layer).trainable_weights[2:] == [layer.bias]


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_reach_the_two_matrices_and_not_the_kernel_even_if_it_is_trainable(name, images):
    layer = built(name, images)
    layer.trainable = True
    wrapper = LowRank(layer)
    move(wrapper)
    with tf.GradientTape() as tape:
        loss = ops.sum(wrapper(images) ** 2)
    of_a, of_b, of_kernel = tape.gradient(loss, [wrapper.a.value, wrapper.b.value, layer.kernel.value])
    assert np.abs(of_a).max() > 0
    assert np.abs(of_b).max() > 0
    assert of_kernel is None


def test_the_seed_decides_the_first_weights(images):
    layer = built("conv", images)
    one, again, other = (np.asarray(LowRank(layer, seed=seed).a) for seed in (0, 0, 1))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert one.std() == pytest.approx(1 / 6, rel=0.15)  # 36 rows


# ---- dtypes ----


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "bfloat16"])
@pytest.mark.parametrize("name", ["relu", "dense"])
def test_it_computes_in_the_dtype_of_the_layer_and_keeps_its_own_weights_in_float32(name, policy, images):
    layer = built(name, images, dtype=policy)
    wrapper = LowRank(layer)
    output = wrapper(images)
    assert output.dtype == layer(images).dtype == layer.compute_dtype
    assert np.array_equal(array(output), array(layer(images)))
    assert {wrapper.a.dtype, wrapper.b.dtype} == {"float32"}
    symbolic = wrapper(keras.Input(images.shape[1:]))
    assert symbolic.dtype == layer.compute_dtype


def test_a_change_below_the_rounding_of_the_kernel_counts(images):
    layer = built("dense without bias", images, dtype="mixed_bfloat16")
    kernel = np.full((4, 6), 1.0039, "float32")  # just below the middle between two bfloat16 numbers
    layer.kernel.assign(kernel)
    wrapper = LowRank(layer, rank=1)
    wrapper.a.assign(np.ones((4, 1)))
    wrapper.b.assign(np.full((1, 6), 0.001))
    ones = np.ones((1, 4), "float32")
    assert array(layer(ones))[0, 0] == 4.0
    assert array(wrapper(ones))[0, 0] == 4 * 1.0078125
    wrapper.merge()
    assert np.array_equal(array(wrapper(ones)), array(layer(ones)))
    np.testing.assert_allclose(layer.kernel, kernel + 0.001, rtol=1e-7)


# ---- in a network ----


def test_a_view_of_a_network_starts_as_the_network_and_shares_its_weights(network, images):
    view, wrappers = adapted_view(network)
    assert set(wrappers) == {"conv1", "conv2", "dense"}
    np.testing.assert_allclose(view(images), network(images), rtol=1e-6, atol=1e-6)
    ids = {id(weight) for weight in view.weights}
    assert {id(weight) for weight in network.weights} <= ids
    assert len(ids) == len(network.weights) + 6
    assert {id(weight) for weight in view.trainable_weights} == {
        id(weight) for wrapper in wrappers.values() for weight in (wrapper.a, wrapper.b)
    }


def test_a_layer_that_is_called_twice_is_adapted_at_both_places(network, images):
    view, wrappers = adapted_view(network)
    move(wrappers["dense"])
    expected = array(view(images))
    wrappers["dense"].merge()
    np.testing.assert_allclose(network(images), expected, rtol=1e-5, atol=1e-6)


def test_training_moves_the_adapters_and_nothing_else(network, images):
    view, wrappers = adapted_view(network, rank=2)
    before, first = network.get_weights(), {name: wrapper.get_weights()[0] for name, wrapper in wrappers.items()}
    view.compile(keras.optimizers.SGD(0.1), "mse")
    losses = view.fit(images, np.full((2, 6), 0.5), epochs=4, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert all(np.array_equal(a, b) for a, b in zip(before, network.get_weights(), strict=True))
    assert all(np.asarray(wrapper.b).any() for wrapper in wrappers.values())
    assert not any(np.array_equal(wrapper.a, first[name]) for name, wrapper in wrappers.items())


def test_the_merged_network_opens_in_plain_keras_and_computes_what_the_view_did(network, images, tmp_path):
    view, wrappers = adapted_view(network)
    for seed, wrapper in enumerate(wrappers.values()):
        move(wrapper, seed)
    expected = array(view(images))
    assert np.abs(expected - array(network(images))).max() > 0.01
    for wrapper in wrappers.values():
        wrapper.merge()
    network.save(tmp_path / "network.keras")
    opened = keras.saving.load_model(tmp_path / "network.keras")
    assert [layer.name for layer in opened.layers] == [layer.name for layer in network.layers]
    np.testing.assert_allclose(opened(images), expected, rtol=1e-5, atol=1e-5)


def test_a_view_with_adapters_cannot_be_saved(network, tmp_path):
    view, _ = adapted_view(network)
    with pytest.raises(NotImplementedError, match="for training only .* Call its `merge\\(\\)`"):
        view.save(tmp_path / "view.keras")


# ---- what fits ----


class OwnDense(layers.Dense):
    """May compute anything."""


@pytest.mark.parametrize(
    "layer",
    [
        layers.DepthwiseConv2D(3),
        layers.SeparableConv2D(4, 3),
        layers.Conv2DTranspose(4, 3),
        layers.BatchNormalization(),
        layers.Conv2D(4, 3, kernel_constraint="non_neg"),
        layers.Conv2D(4, 3, lora_rank=2),
        OwnDense(4),
    ],
    ids=lambda layer: layer.name,
)
def test_other_layers_do_not_fit(layer, images):
    layer.build(images.shape)
    assert not can_adapt(layer)
    with pytest.raises(TypeError, match="must be a built Conv2D or Dense layer, of exactly these classes"):
        LowRank(layer)


def test_a_layer_fits_once_it_is_built(images):
    layer = layers.Dense(4)
    assert not can_adapt(layer)
    layer.build(images.shape)
    assert can_adapt(layer)


def test_a_quantised_layer_does_not_fit(images):
    layer = built("dense", images)
    layer.quantize("int8")
    assert not can_adapt(layer)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rank": 0}, "`rank` must be a whole number of at least 1. Received: rank=0"),
        ({"rank": 2.5}, "`rank` must be a whole number"),
        ({"alpha": 0}, "`alpha` must be positive. Received: alpha=0"),
    ],
)
def test_values_out_of_range_are_refused(arguments, message, images):
    with pytest.raises(ValueError, match=message):
        LowRank(built("dense", images), **arguments)
