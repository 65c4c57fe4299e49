"""Folding: exact where it is done, not done where it would not be exact, and nothing else changed."""

import gc
import random
import weakref

import keras
import numpy as np
import pytest
from keras import layers

from transferkit.backbones.registry import get_backbone
from transferkit.frozen.folding import Folded, fold_batch_norm

SIZE = (9, 8)


def randomise(model, seed=0):
    """Gives every weight of BatchNorm, and every bias, a value that shows in the output."""
    rng = np.random.default_rng(seed)
    for layer in model._flatten_layers():
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, weight.shape) for weight in layer.weights])
            layer.moving_mean.assign(rng.normal(0, 0.3, layer.moving_mean.shape))
        elif getattr(layer, "bias", None) is not None:
            layer.bias.assign(rng.normal(0, 0.3, layer.bias.shape))
    return model


def pixels_for(model, seed=0):
    return np.random.default_rng(seed).normal(0, 1, (2, *model.input_shape[1:])).astype("float32")


def batch_norms(model):
    return [layer for layer in model._flatten_layers() if isinstance(layer, layers.BatchNormalization)]


def difference(model, other):
    """Largest difference of what two models compute in prediction, relative to the largest output."""
    x = pixels_for(model)
    expected, computed = (np.asarray(m(x, training=False)) for m in (model, other))
    return np.abs(computed - expected).max() / np.abs(expected).max()


def functional(*steps, shape=(*SIZE, 4)):
    """A model of layers in a row with random weights."""
    x = inputs = keras.Input(shape)
    for step in steps:
        x = step(x)
    return randomise(keras.Model(inputs, x))


# ---- what is folded ----


@pytest.mark.parametrize(
    "layer",
    [
        layers.Conv2D(5, 3, strides=2, padding="same"),
        layers.Conv2D(6, 3, use_bias=False, groups=1, dilation_rate=2),
        layers.DepthwiseConv2D(3, depth_multiplier=2, strides=2),
        layers.DepthwiseConv2D(3, use_bias=False),
        layers.SeparableConv2D(5, 3, depth_multiplier=2, use_bias=False),
        layers.Dense(5),
    ],
    ids=lambda layer: layer.name,
)
@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False}, {"epsilon": 0.1}], ids=str)
def test_a_linear_layer_takes_the_batch_norm_after_it_in(layer, options):
    model = functional(type(layer).from_config(layer.get_config()), layers.BatchNormalization(**options), layers.ReLU())
    folded = fold_batch_norm(model)
    assert batch_norms(folded) == []
    assert difference(model, folded) < 1e-5


def test_the_folded_weights_are_those_of_the_formula():
    model = functional(layers.Dense(1, name="dense"), layers.BatchNormalization(epsilon=0.25), shape=(1,))
    model.layers[1].set_weights([np.array([[3.0]]), np.array([1.0])])
    model.layers[2].set_weights([np.array([value]) for value in (2.0, 0.5, 4.0, 0.75)])  # scale, shift, mean, variance
    dense = next(layer for layer in fold_batch_norm(model).components if layer.name == "dense")
    assert dense.kernel.numpy().item() == 3 * 2 / 1
    assert dense.bias.numpy().item() == (1 - 4) * 2 / 1 + 0.5


def test_models_inside_are_folded_even_if_they_are_called_twice():
    inner = functional(layers.Conv2D(4, 3, padding="same"), layers.BatchNormalization(), layers.ReLU())
    model = functional(inner, inner, layers.Conv2D(3, 1), layers.BatchNormalization())
    folded = fold_batch_norm(model)
    assert batch_norms(folded) == []
    assert difference(model, folded) < 1e-5


def test_sequential_models_are_folded():
    steps = layers.Conv2D(4, 3), layers.BatchNormalization(), layers.ReLU()
    model = randomise(keras.Sequential([keras.Input((*SIZE, 3)), *steps]))
    inside = functional(model, shape=(*SIZE, 3))
    for whole in (model, inside):
        assert batch_norms(fold_batch_norm(whole)) == []
        assert difference(whole, fold_batch_norm(whole)) < 1e-5


def test_several_inputs_and_outputs_are_kept_as_they_are():
    first, second = keras.Input((*SIZE, 3)), keras.Input((*SIZE, 3))
    x = layers.BatchNormalization()(layers.Conv2D(4, 3)(first))
    y = layers.BatchNormalization()(layers.Conv2D(4, 3)(second))
    model = randomise(keras.Model([first, second], {"sum": x + y, "first": x}))
    data = [np.ones((1, *SIZE, 3)), np.zeros((1, *SIZE, 3))]
    expected, computed = model(data), fold_batch_norm(model)(data)
    assert batch_norms(fold_batch_norm(model)) == []
    assert expected.keys() == computed.keys()
    assert all(np.allclose(expected[name], computed[name], atol=1e-5) for name in expected)


def test_a_layer_that_other_models_use_as_well_is_folded():
    """What counts is how often this model calls it."""
    model = functional(layers.Conv2D(4, 3), layers.BatchNormalization())
    image = keras.Input((*SIZE, 4))
    keras.Model(image, model.layers[1](image))
    assert batch_norms(fold_batch_norm(model)) == []
    assert difference(model, fold_batch_norm(model)) < 1e-5


def test_a_front_of_a_network_is_folded_up_to_its_end():
    whole = functional(
        layers.Conv2D(4, 3), layers.BatchNormalization(), layers.Conv2D(4, 3), layers.BatchNormalization()
    )
    front = keras.Model(whole.input, whole.layers[3].output)
    assert len(batch_norms(front)) == 1
    assert batch_norms(fold_batch_norm(front)) == []
    assert difference(front, fold_batch_norm(front)) < 1e-5


def test_the_kernel_that_low_rank_adapters_have_changed_is_the_one_that_is_folded():
    model = functional(layers.Dense(5, name="dense"), layers.BatchNormalization(), shape=(4,))
    dense = model.get_layer("dense")
    dense.enable_lora(2)
    dense.lora_kernel_b.assign(np.ones((2, 5)))
    assert difference(model, fold_batch_norm(model)) < 1e-5


def test_layers_stay_at_rest_even_if_they_were_called_as_in_training():
    model = functional(layers.Conv2D(4, 3), layers.BatchNormalization())
    restless = keras.Model(model.input, layers.Dropout(0.9)(model.output, training=True))
    x = pixels_for(model)
    assert np.allclose(fold_batch_norm(restless)(x, training=True), model(x, training=False), atol=1e-5)


# ---- what is not folded ----


def conv_used_twice():
    conv, inputs = layers.Conv2D(4, 3, padding="same"), keras.Input((*SIZE, 4))
    return keras.Model(inputs, layers.BatchNormalization()(conv(inputs)) + conv(inputs * 2))


def batch_norm_used_twice():
    norm, inputs = layers.BatchNormalization(), keras.Input((*SIZE, 4))
    return keras.Model(inputs, norm(layers.Conv2D(4, 3)(inputs)) + norm(layers.Conv2D(4, 3)(inputs)))


def output_used_twice():
    inputs = keras.Input((*SIZE, 4))
    x = layers.Conv2D(4, 3)(inputs)
    return keras.Model(inputs, layers.BatchNormalization()(x) * x)


def output_of_the_model():
    inputs = keras.Input((*SIZE, 4))
    x = layers.Conv2D(4, 3)(inputs)
    return keras.Model(inputs, [layers.BatchNormalization()(x), x])


def with_a_padding_between():
    return functional(layers.Conv2D(4, 3), layers.ZeroPadding2D(), layers.BatchNormalization())


class MyConv(layers.Conv2D):
    def call(self, inputs):
        return 2 * super().call(inputs)


class MyModel(keras.Model):
    def call(self, inputs):
        return 3 * super().call(inputs)


def subclass_of_a_model():
    inputs = keras.Input((*SIZE, 4))
    return MyModel(inputs, layers.BatchNormalization()(layers.Conv2D(4, 3)(inputs)))


@pytest.mark.parametrize(
    "build",
    [
        conv_used_twice,
        batch_norm_used_twice,
        output_used_twice,
        output_of_the_model,
        with_a_padding_between,
        subclass_of_a_model,
        lambda: functional(layers.Conv2D(4, 3, activation="relu"), layers.BatchNormalization()),
        lambda: functional(layers.Conv2D(4, 3), layers.ReLU(), layers.BatchNormalization()),
        lambda: functional(layers.BatchNormalization(), layers.Conv2D(4, 3)),
        lambda: functional(layers.Conv2D(4, 3), layers.BatchNormalization(axis=1)),
        lambda: functional(layers.Conv2D(4, 3), layers.BatchNormalization(dtype="float64")),
        lambda: functional(MyConv(4, 3), layers.BatchNormalization()),
        lambda: functional(layers.Conv2DTranspose(4, 3), layers.BatchNormalization()),
    ],
)
def test_what_cannot_be_folded_exactly_is_left_as_it_is(build):
    model = randomise(build())
    assert fold_batch_norm(model) is model


def test_what_can_be_folded_is_folded_beside_what_cannot():
    inputs = keras.Input((*SIZE, 4))
    x = layers.Conv2D(4, 3)(inputs)
    x = layers.BatchNormalization(name="stays")(x) * x
    x = layers.BatchNormalization(name="goes")(layers.Conv2D(4, 3)(x))
    model = randomise(keras.Model(inputs, x))
    folded = fold_batch_norm(model)
    assert [layer.name for layer in batch_norms(folded)] == ["stays"]
    assert difference(model, folded) < 1e-5


def test_a_custom_layer_is_shared_and_not_copied():
    class Uncopyable(layers.Layer):
        def __init__(self, factor):
            super().__init__()
            self.factor = factor

        def call(self, inputs):
            return self.factor * inputs

        def get_config(self):
            raise NotImplementedError

    custom = Uncopyable(3.0)
    model = functional(layers.Conv2D(4, 3), layers.BatchNormalization(), custom)
    assert any(layer is custom for layer in fold_batch_norm(model).components)
    assert difference(model, fold_batch_norm(model)) < 1e-5


# ---- nothing else changes ----


def test_the_original_is_not_changed(tiny_network):
    layers_ = list(tiny_network._flatten_layers())
    flags = [(layer.trainable, layer.dtype_policy.name, len(layer._inbound_nodes)) for layer in layers_]
    weights, outputs = tiny_network.get_weights(), np.asarray(tiny_network(pixels_for(tiny_network)))
    folded = fold_batch_norm(tiny_network)
    folded(pixels_for(tiny_network))
    assert isinstance(folded, Folded)
    assert [(layer.trainable, layer.dtype_policy.name, len(layer._inbound_nodes)) for layer in layers_] == flags
    assert all(map(np.array_equal, tiny_network.get_weights(), weights))
    assert np.array_equal(tiny_network(pixels_for(tiny_network)), outputs)


def test_no_random_generator_moves():
    model = functional(layers.Conv2D(4, 3), layers.BatchNormalization())  # Keras draws the seed of its first weights
    states = random.getstate(), np.random.get_state()[1].tolist()
    assert fold_batch_norm(model) is not model
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states


def test_folded_weights_are_freed_while_the_original_lives(tiny_network):
    folded = fold_batch_norm(tiny_network)
    folded(pixels_for(tiny_network))
    watch = weakref.ref(folded)
    del folded
    gc.collect()
    assert watch() is None


# ---- real networks ----


@pytest.mark.parametrize(
    ("name", "size", "num_left"),
    [
        ("efficientnet_lite0", 64, 0),
        ("mobilenetv3small", 32, 0),
        pytest.param("mobilenetv2", 32, 0, marks=pytest.mark.slow),
        pytest.param("resnet50", 32, 0, marks=pytest.mark.slow),
        pytest.param("efficientnetb0", 32, 0, marks=pytest.mark.slow),
        pytest.param("xception", 75, 0, marks=pytest.mark.slow),
        pytest.param("densenet121", 32, 62, marks=pytest.mark.slow),  # those before a convolution, of 121
        pytest.param("resnet50v2", 32, 17, marks=pytest.mark.slow),  # likewise, of 49
        pytest.param("convnexttiny", 32, 0, marks=pytest.mark.slow),  # it has none
    ],
)
def test_a_folded_network_computes_the_same(name, size, num_left):
    network = get_backbone(name).build((size, size), "imagenet" if name == "efficientnet_lite0" else None)
    if name != "efficientnet_lite0":
        randomise(network)
    num_batch_norms, folded = len(batch_norms(network)), fold_batch_norm(network)
    assert len(batch_norms(folded)) == num_left
    assert (folded is network) == (num_batch_norms == 0)
    assert difference(network, folded) < 1e-4
