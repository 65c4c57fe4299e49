import keras
import pytest
from keras import layers

from transferkit.backbones.registry import get_backbone
from transferkit.frozen.costs import multiply_adds, training_cost


def cost_of(layer, shape=(12, 10, 4)):
    """Multiply-adds of one layer on an image of that shape."""
    image = keras.Input(shape)
    return multiply_adds(keras.Model(image, layer(image)))[layer.name]


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (layers.Conv2D(6, 3), 9 * 4 * 6 * 10 * 8),
        (layers.Conv2D(6, (3, 5), strides=2, padding="same", use_bias=False), 15 * 4 * 6 * 6 * 5),
        (layers.Conv2D(6, 3, groups=2), 9 * 2 * 6 * 10 * 8),
        (layers.Conv2D(6, 3, dilation_rate=2), 9 * 4 * 6 * 8 * 6),
        (layers.DepthwiseConv2D(3, depth_multiplier=2), 9 * 4 * 2 * 10 * 8),
        (layers.SeparableConv2D(6, 3, strides=2, padding="same"), (9 * 4 + 4 * 6) * 6 * 5),
        (layers.Conv2DTranspose(6, 2, strides=2), 4 * 4 * 6 * 12 * 10),
        (layers.Dense(6), 4 * 6 * 12 * 10),
        (layers.BatchNormalization(), 0),
        (layers.ReLU(), 0),
        (layers.GlobalAveragePooling2D(), 0),
    ],
    ids=lambda value: value.name if isinstance(value, layers.Layer) else "",
)
def test_every_weight_of_a_kernel_is_multiplied_once_at_every_position(layer, expected):
    assert cost_of(layer) == expected


def test_channels_may_come_first():
    image = keras.Input((4, 12, 10))
    layer = layers.DepthwiseConv2D(3, data_format="channels_first", name="depthwise")
    assert multiply_adds(keras.Model(image, layer(image)))["depthwise"] == 9 * 4 * 10 * 8


def test_a_dense_layer_on_vectors_has_one_position_and_on_tokens_one_for_each():
    assert cost_of(layers.Dense(5), shape=(7,)) == 35
    assert cost_of(layers.Dense(5), shape=(3, 7)) == 105


@pytest.mark.parametrize("is_sequential", [True, False])
def test_a_model_inside_the_network_counts_as_the_sum_of_its_layers(is_sequential):
    inner = keras.Sequential([keras.Input((12, 10, 4)), layers.Conv2D(6, 3, strides=2), layers.Conv2D(3, 1)])
    if not is_sequential:
        inner = keras.Model(inner.inputs[0], inner.outputs[0])
    image, inner.name = keras.Input((12, 10, 4)), "inner"
    costs = multiply_adds(keras.Model(image, layers.Dense(2, name="dense")(inner(image))))
    assert costs["inner"] == 9 * 4 * 6 * 5 * 4 + 6 * 3 * 5 * 4
    assert costs["dense"] == 3 * 2 * 5 * 4


def test_a_layer_that_is_called_twice_counts_once():
    features, layer = keras.Input((5,)), layers.Dense(5, name="dense")
    assert multiply_adds(keras.Model(features, layer(layer(features))))["dense"] == 25


def test_the_order_is_that_of_the_network(tiny_network):
    costs = multiply_adds(tiny_network)
    assert list(costs) == [layer.name for layer in tiny_network.layers]
    assert costs["conv1"] == 27 * 8 * 7 * 7
    assert costs["conv2"] == 72 * 12 * 3 * 3
    assert sum(costs.values()) == costs["conv1"] + costs["conv2"]


def test_images_of_any_size_have_no_count():
    image = keras.Input((None, None, 3))
    network = keras.Model(image, layers.Conv2D(4, 3, name="conv")(layers.ReLU()(image)))
    with pytest.raises(ValueError, match="layer 'conv' depend on the size .* Build the network for one size"):
        multiply_adds(network)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("efficientnet_lite0", 0.38e9, 0.41e9),
        ("mobilenet_v2", 0.29e9, 0.31e9),
        ("vgg16", 15.3e9, 15.4e9),
        ("resnet50", 3.85e9, 4.1e9),
    ],
)
def test_published_networks_cost_what_was_published(name, low, high):
    assert low < sum(multiply_adds(get_backbone(name).build(weights=None)).values()) < high


# ---- training ----

COSTS = {"input": 0, "conv1": 100, "bn1": 0, "conv2": 50, "dense": 5}


def test_a_step_that_trains_nothing_is_a_forward_pass():
    assert training_cost(COSTS, list(COSTS), set()) == 155


def test_a_step_that_trains_everything_is_three_forward_passes_but_for_the_first_layer():
    assert training_cost(COSTS, list(COSTS), set(COSTS) - {"input"}) == 3 * 155 - 100


def test_a_step_on_the_last_layer_adds_its_weights_only():
    assert training_cost(COSTS, list(COSTS), {"dense"}) == 155 + 5


def test_frozen_layers_behind_a_trained_one_pass_the_gradient_on():
    assert training_cost(COSTS, list(COSTS), {"bn1"}) == 155 + 55
    assert training_cost(COSTS, list(COSTS), {"conv1", "dense"}) == 155 + 55 + 105


def test_names_that_are_not_there_are_refused():
    with pytest.raises(ValueError, match="`trained` must hold names from `layer_names` only. Received also: conv3"):
        training_cost(COSTS, list(COSTS), {"conv1", "conv3"})
    with pytest.raises(ValueError, match="`layer_names` must hold names from `costs` only. Received also: head"):
        training_cost(COSTS, ["conv1", "head"], {"conv1"})
