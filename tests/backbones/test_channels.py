import keras
import numpy as np
import pytest
from keras import layers

from transferkit.backbones.channels import with_channels
from transferkit.backbones.custom import backbone_from_model
from transferkit.backbones.preprocessing import SCALINGS, build_preprocessing
from transferkit.backbones.registry import get_backbone

QUICK = ("efficientnet_lite0", "mobilenet_v3_small", "efficientnet_b0", "convnext_tiny")


# One of each family: its relatives begin in the same way.
OTHER_FAMILIES = (
    "vgg16",
    "resnet50",
    "resnet50_v2",
    "inception_v3",
    "xception",
    "mobilenet",
    "mobilenet_v2",
    "densenet121",
    "nasnet_mobile",
    "efficientnet_v2_b0",
)


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in OTHER_FAMILIES)])
def test_every_kind_of_backbone_sees_the_mean_of_the_channels_at_first(name):
    backbone = get_backbone(name)
    side = max(backbone.min_image_size, 32)
    network = backbone.build((side, side), None)
    scales_colours = any(isinstance(layer, layers.Normalization) for layer in network.layers)
    copy = with_channels(network, 5)
    assert {layer.name for layer in network.layers[1:]} <= {layer.name for layer in copy.layers}
    images = np.random.default_rng(1).uniform(0, 255, (2, side, side, 5)).astype("float32")
    if scales_colours:
        network = with_channels(network, 3)
    expected = network(np.repeat(images.mean(axis=-1, keepdims=True), 3, axis=-1))
    assert 0 < np.ptp(expected) < np.inf
    np.testing.assert_allclose(copy(images), expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


def test_kernels_are_the_mean_of_rgb_kernels_on_the_same_scale(tiny_network):
    copy = with_channels(tiny_network, 4)
    kernel, before = copy.get_layer("conv1").get_weights()[0], tiny_network.get_layer("conv1").get_weights()[0]
    assert kernel.shape == (3, 3, 4, 8)
    for channel in range(4):
        assert kernel[:, :, channel] == pytest.approx(before.sum(axis=2) / 4, abs=1e-6)
    for ours, theirs in zip(copy.get_weights()[1:], tiny_network.get_weights()[1:], strict=True):
        assert np.array_equal(ours, theirs)


def test_scaling_of_colours_becomes_their_mean():
    image = keras.Input((8, 8, 3))
    x = layers.Rescaling([0.1, 0.2, 0.3], [1.0, 2.0, 6.0], name="first")(image)
    x = layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[4.0, 4.0, 16.0], name="second")(x)
    copy = with_channels(keras.Model(image, layers.Conv2D(2, 3)(x)), 2)
    first, second = copy.get_layer("first"), copy.get_layer("second")
    assert (first.scale, first.offset) == pytest.approx((0.2, 3.0))
    assert (second.scale, second.offset) == pytest.approx(((0.5 + 0.5 + 0.25) / 3, -(0.5 + 1 + 0.75) / 3))


@pytest.mark.parametrize("layer", [layers.DepthwiseConv2D(3), layers.BatchNormalization(), layers.PReLU()])
def test_networks_that_begin_with_something_else_are_refused(layer):
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, layers.Conv2D(2, 3)(layer(image)), name="odd")
    with pytest.raises(ValueError, match="'odd' cannot be adapted to `channels=5`"):
        with_channels(model, 5)


@pytest.mark.parametrize("scaling", SCALINGS)
def test_the_scaling_of_other_channels_is_the_mean_of_that_of_the_colours(scaling):
    pixels = np.random.default_rng(0).uniform(0, 255, (1, 4, 4, 1)).astype("float32")
    in_rgb = np.asarray(build_preprocessing(scaling, None)(np.repeat(pixels, 3, axis=-1)))
    of_five = build_preprocessing(scaling, None, channels=5)(np.repeat(pixels, 5, axis=-1))
    assert np.asarray(of_five) == pytest.approx(np.repeat(in_rgb.mean(axis=-1, keepdims=True), 5, axis=-1), abs=1e-3)
    assert np.array_equal(build_preprocessing(scaling, None, channels=1)(pixels), in_rgb)


def test_a_network_of_many_channels_is_taken_as_it_is():
    image = keras.Input((8, 8, 5))
    backbone = backbone_from_model(keras.Model(image, layers.Conv2D(2, 3)(image)))
    assert backbone.channels == 5
    assert backbone.build(channels=5).input_shape == (None, 8, 8, 5)
    for channels in (1, 3):
        with pytest.raises(ValueError, match=f"takes images of 5 channels. Received: channels={channels}"):
            backbone.build(channels=channels)
