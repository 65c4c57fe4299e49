import keras
import numpy as np
import pytest
from keras import layers

from transferkit.models.signatures import architecture_of, signature_of, weights_of


def network(filters=4, stride=1, bias=0.0, kind=layers.ReLU):
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(filters, 3, strides=stride, kernel_initializer="ones")(image)
    x = kind()(x)
    model = keras.Model(image, layers.Conv2D(2, 1, kernel_initializer="ones")(x))
    model.layers[1].bias.assign(np.full(filters, bias, "float32"))
    return model


class Doubling(layers.Layer):
    def call(self, x):
        return 2 * x


def test_two_models_that_were_built_alike_have_one_signature_whatever_keras_calls_their_layers():
    one, other = network(), network()
    assert one.layers[1].name != other.layers[1].name
    assert signature_of(one) == signature_of(other)


@pytest.mark.parametrize("change", [{"filters": 5}, {"stride": 2}, {"kind": layers.LeakyReLU}])
def test_another_layer_is_another_architecture(change):
    assert architecture_of(network()) != architecture_of(network(**change))


def test_another_weight_is_another_signature_of_the_same_architecture():
    one, other = network(), network(bias=0.001)
    assert architecture_of(one) == architecture_of(other)
    assert weights_of(one) != weights_of(other)
    assert signature_of(one) != signature_of(other)


def test_the_way_layers_are_connected_counts():
    def model(swap):
        image = keras.Input((4, 4, 3))
        one, other = layers.ReLU()(image), layers.Dropout(0.5)(image)
        return keras.Model(image, layers.Subtract()([other, one] if swap else [one, other]))

    assert architecture_of(model(False)) == architecture_of(model(False))
    assert architecture_of(model(False)) != architecture_of(model(True))


def test_what_trains_and_in_which_precision_does_not_count():
    model = network()
    before = signature_of(model)
    model.trainable = False
    model.layers[1].dtype_policy = "mixed_bfloat16"
    assert signature_of(model) == before


def test_models_in_a_row_are_not_one_model_in_another_order():
    one, other = network(), network(filters=5)
    assert signature_of(one, other) != signature_of(other, one)


def test_the_code_of_foreign_layers_counts(monkeypatch):
    before = architecture_of(network(kind=Doubling))
    assert architecture_of(network(kind=Doubling)) == before
    monkeypatch.setattr("inspect.getsource", lambda kind: "def call(self, x): return 3 * x")
    assert architecture_of(network(kind=Doubling)) != before


def test_a_foreign_layer_without_source_code_is_never_recognised(monkeypatch):
    def fail(kind):
        raise OSError("could not get source code")

    monkeypatch.setattr("inspect.getsource", fail)
    assert architecture_of(network(kind=Doubling)) != architecture_of(network(kind=Doubling))
