import keras
import numpy as np
import pytest

from transferkit.backbones.applications import APPLICATIONS
from transferkit.backbones.custom import backbone_from_model
from transferkit.backbones.efficientnet_lite import build_efficientnet_lite0
from transferkit.backbones.stages import Stage


def build_network(name="tiny", size=(8, 8), rescaling=False):
    image = keras.Input((*size, 3))
    x = keras.layers.Rescaling(1 / 255)(image) if rescaling else image
    x = keras.layers.Conv2D(4, 3, strides=2, padding="same", name="first")(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Conv2D(5, 3, strides=2, padding="same", name="second")(x)
    x = keras.layers.ReLU()(x)
    return keras.Model(image, x, name=name)


@pytest.fixture
def images():
    return np.random.default_rng(0).uniform(0, 255, (2, 8, 8, 3)).astype("float32")


def test_a_model_is_described_by_what_it_shows():
    backbone = backbone_from_model(build_network())
    assert backbone.name == "tiny"
    assert backbone.image_size == (8, 8)
    assert backbone.scaling == "none"
    assert backbone.num_parameters == 4 * 27 + 4 + 16 + 5 * 36 + 5  # kernels, biases and BatchNorm
    assert [stage.name for stage in backbone.stages] == ["stage1", "stage2"]


def test_what_is_said_about_a_model_goes_before():
    stages = (Stage("all"),)
    model = build_network(size=(None, None))
    backbone = backbone_from_model(model, scaling="torch", image_size=(12, 16), stages=stages)
    assert (backbone.scaling, backbone.image_size, backbone.stages) == ("torch", (12, 16), stages)


def test_a_model_for_any_size_is_taken_at_224_pixels():
    assert backbone_from_model(build_network(size=(None, None))).image_size == (224, 224)


@pytest.mark.parametrize("weights", ["imagenet", None])
def test_a_copy_is_built_that_keeps_the_weights(images, weights):
    model = build_network()
    copy = backbone_from_model(model).build(weights=weights)
    np.testing.assert_allclose(copy(images), model(images), rtol=1e-6, atol=1e-5)
    assert copy.name == "backbone"
    assert not {id(weight) for weight in copy.weights} & {id(weight) for weight in model.weights}


def test_training_the_copy_leaves_the_model_alone(images):
    model = build_network()
    before = keras.ops.convert_to_numpy(model(images))
    copy = backbone_from_model(model).build()
    for weight in copy.weights:
        weight.assign(keras.ops.zeros_like(weight))
    np.testing.assert_array_equal(model(images), before)
    assert model.name == "tiny"


def test_a_model_for_any_size_is_built_for_one(images):
    model = build_network(size=(None, None))
    copy = backbone_from_model(model).build((8, 8))
    assert copy.input_shape == (None, 8, 8, 3)
    np.testing.assert_allclose(copy(images), model(images), rtol=1e-6, atol=1e-5)


def test_a_model_for_one_size_is_not_built_for_another():
    backbone = backbone_from_model(build_network())
    with pytest.raises(ValueError, match=r"takes images of \(8, 8\) only. Received: image_size=\(16, 16\)"):
        backbone.build((16, 16))


class Subclassed(keras.Model):
    pass


@pytest.mark.parametrize("model", [Subclassed(), keras.Sequential([keras.Input((8, 8, 3))]), "resnet50"])
def test_what_is_not_a_functional_model_is_refused(model):
    with pytest.raises(ValueError, match=r"must be a functional keras.Model. Received: .*`list_backbones"):
        backbone_from_model(model)


@pytest.mark.parametrize("shape", [(8, 8, 1), (8,), (4, 8, 8, 3)])
def test_a_model_that_takes_no_image_of_colours_is_refused(shape):
    vector = keras.Input(shape)
    model = keras.Model(vector, keras.layers.Dense(2)(vector))
    with pytest.raises(ValueError, match=r"must take one image .* Received: input shape"):
        backbone_from_model(model)


def test_a_model_with_two_inputs_is_refused():
    left, right = keras.Input((8, 8, 3)), keras.Input((8, 8, 3))
    model = keras.Model([left, right], keras.layers.Add()([left, right]))
    with pytest.raises(ValueError, match="must take one image"):
        backbone_from_model(model)


@pytest.mark.parametrize(
    ("name", "scaling"),
    [
        ("vgg16", "caffe"),
        ("resnet50", "caffe"),
        ("resnet50v2", "tf"),
        ("densenet121", "torch"),
        ("mobilenet_1.00_224", "tf"),
        ("mobilenetv2_1.00_224", "tf"),
        ("mobilenetv2_0.35_None", "tf"),
        ("inception_resnet_v2", "tf"),
        ("nasnet_mobile", "tf"),
        ("efficientnet_lite0", "lite"),
        ("my_own", "none"),
        ("resnet50_of_mine", "none"),
    ],
)
def test_the_name_of_a_published_network_tells_its_scaling(name, scaling):
    assert backbone_from_model(build_network(name)).scaling == scaling


@pytest.mark.parametrize("name", ["efficientnetb0", "efficientnetv2-b0", "convnext_tiny", "MobileNetV3Small"])
def test_networks_that_scale_their_input_themselves_get_raw_pixels(name):
    assert backbone_from_model(build_network(name, rescaling=True)).scaling == "none"


def test_such_a_network_without_its_scaling_is_refused():
    with pytest.raises(ValueError, match=r"'convnext_tiny' was built with `include_preprocessing=False`.*`scaling`"):
        backbone_from_model(build_network("convnext_tiny"))


def test_such_a_network_without_its_scaling_is_taken_with_one():
    assert backbone_from_model(build_network("convnext_tiny"), scaling="torch").scaling == "torch"


@pytest.mark.parametrize("name", ["MobileNet", "MobileNetV2", "MobileNetV3Small"])
def test_a_network_that_keras_names_after_its_width_is_recognised(name):
    model = getattr(keras.applications, name)(include_top=False, weights=None, input_shape=(32, 32, 3))
    published = next(backbone for backbone in APPLICATIONS if backbone.builder.args == (name,))
    assert backbone_from_model(model).scaling == published.scaling


def test_our_efficientnet_lite0_is_recognised():
    assert backbone_from_model(build_efficientnet_lite0((32, 32, 3))).scaling == "lite"


def test_a_built_sequential_model_will_do(images):
    network = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3)])
    assert np.array_equal(backbone_from_model(network).build()(images), network(images))


def test_a_namesake_that_scales_its_own_input_is_not_scaled_twice():
    assert backbone_from_model(build_network("resnet50", rescaling=True)).scaling == "none"
    assert backbone_from_model(build_network("resnet50")).scaling == "caffe"
