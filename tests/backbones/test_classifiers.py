import keras
import pytest
from keras import layers

from transferkit import TransferClassifier, backbone_from_model
from transferkit.backbones.classifiers import find_classifier


def build(*end, image_size=(8, 8)):
    """A model of one convolution and what is to follow it."""
    image = keras.Input((*image_size, 3))
    x = layers.Conv2D(4, 3, name="conv")(image)
    for layer in end:
        x = layer(x)
    return keras.Model(image, x, name="mine")


def pool():
    return layers.GlobalAveragePooling2D(name="pool")


ENDS = {
    "softmax": lambda: (pool(), layers.Dense(5, "softmax", name="top")),
    "softmax after logits": lambda: (pool(), layers.Dense(5, name="top"), layers.Softmax()),
    "activation after logits": lambda: (pool(), layers.Dense(5, name="top"), layers.Activation("softmax")),
    "operation after logits": lambda: (pool(), layers.Dense(5, name="top"), keras.ops.softmax),
    "logits of ImageNet": lambda: (pool(), layers.Dense(1000, name="top")),
    "logits of ImageNet, passed on": lambda: (pool(), layers.Dense(1001, name="top"), layers.Activation("linear")),
    "one output": lambda: (pool(), layers.Dense(1, "sigmoid", name="top")),
}


@pytest.mark.parametrize("end", ENDS)
def test_a_model_with_its_classifier_is_refused_with_the_layer_to_cut_at(end):
    model = build(*ENDS[end]())
    with pytest.raises(ValueError, match="with its classifier, layer 'top'.*include_top=False.*get_layer..pool"):
        backbone_from_model(model)
    backbone_from_model(keras.Model(model.input, model.get_layer("pool").output))


def test_logits_of_a_convolution_are_found_behind_flatten():
    model = build(
        layers.GlobalAveragePooling2D(keepdims=True, name="pool"), layers.Conv2D(1000, 1, name="top"), layers.Flatten()
    )
    assert find_classifier(model)[:2] == ("top", "pool")


def test_the_layer_before_is_one_that_the_model_knows():
    model = build(pool(), lambda x: x * 2.0, layers.Dense(3, "softmax", name="top"))
    assert find_classifier(model)[:2] == ("top", "pool")


def test_a_classifier_in_a_model_in_a_model_is_found():
    inner = build(pool(), layers.Dense(5, "softmax", name="top"))
    image = keras.Input((8, 8, 3))
    outer = keras.Model(image, inner(layers.Rescaling(1 / 255)(image)), name="outer")
    with pytest.raises(ValueError, match="'top' of the model 'mine' in it.* Build 'mine' with `include_top=False`.$"):
        backbone_from_model(outer)


@pytest.mark.parametrize(
    "end",
    [
        (),
        (pool(),),
        (layers.Flatten(),),
        (pool(), layers.Dense(5)),
        (pool(), layers.Dense(1000, "relu")),
        (layers.Conv2D(1000, 1),),
        (layers.Conv2D(1, 1),),
        (pool(), layers.Dense(5, "sigmoid")),
    ],
)
def test_features_and_embeddings_are_welcome(end):
    assert find_classifier(build(*end)) is None


def test_attention_by_softmax_inside_is_no_classifier():
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3)(image)
    x = layers.Multiply()([x, layers.Softmax()(layers.Dense(4)(x))])
    assert find_classifier(keras.Model(image, x)) is None


@pytest.mark.parametrize(("name", "activation"), [("MobileNet", "softmax"), ("MobileNetV3Small", None)])
def test_published_networks_with_their_classifier_are_recognised(name, activation):
    model = getattr(keras.applications, name)(weights=None, classifier_activation=activation, input_shape=(224, 224, 3))
    found = find_classifier(model)
    features = keras.Model(model.input, model.get_layer(found.before).output)
    assert find_classifier(features) is None


def test_the_classifier_refuses_it_before_it_looks_at_images():
    model = build(*ENDS["softmax"](), image_size=(32, 32))
    with pytest.raises(ValueError, match="A backbone must end in features"):
        TransferClassifier(model, verbose=0).fit("no such folder")
