import types
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from transferkit.frozen.signatures import architecture_of, signature_of, weights_of


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


def test_a_value_that_is_equal_to_the_name_of_its_layer_counts():
    def activated(name):
        image = keras.Input((4, 4, 3), name="image")
        return keras.Model(image, layers.Activation(name, name=name)(image), name="model")

    assert architecture_of(activated("relu")) != architecture_of(activated("tanh"))
    assert architecture_of(activated("relu")) == architecture_of(activated("relu"))


def test_a_class_that_is_equal_to_the_name_of_its_layer_counts():
    def pooled(kind):
        image = keras.Input((4, 4, 3), name="image")
        return keras.Model(image, kind(name=kind.__name__)(image), name="model")

    assert architecture_of(pooled(layers.GlobalMaxPooling2D)) != architecture_of(pooled(layers.GlobalAveragePooling2D))


@pytest.mark.parametrize("around", ["model", "sequential", "wrapper", "shared"])
def test_names_inside_of_layers_do_not_matter_and_values_do(around):
    def build(activation, name):
        image = keras.Input((4, 3))
        dense = layers.Dense(3, activation=activation, name=name)
        if around == "model":
            inner = keras.Input((4, 3))
            dense = keras.Model(inner, dense(inner))
        elif around == "sequential":
            dense = keras.Sequential([dense])
        elif around == "wrapper":
            dense = layers.TimeDistributed(dense)
        x = dense(image)
        return keras.Model(image, layers.Add()([dense(x), x]) if around == "shared" else x)

    assert architecture_of(build("relu", "relu")) == architecture_of(build("relu", "another"))
    assert architecture_of(build("relu", "relu")) != architecture_of(build("tanh", "tanh"))


# ---- code ----

LIBRARY = """
import math
import numpy as np
import keras
from keras import layers, ops

FACTOR = 2.0
TABLE = {"shift": [1.0, 2.0], "array": np.arange(3.0)}

def helper(x):
    return x * FACTOR

def activation(x):
    return helper(x) + TABLE["shift"][0]

def closure(factor):
    return lambda x: x * factor

class Base(layers.Layer):
    offset = 1.0

    def call(self, x):
        return self.finish(x) + self.offset

    def finish(self, x):
        return ops.relu(x)

class Own(Base):
    def __init__(self, scale=3.0, **options):
        super().__init__(**options)
        self.secret = scale

    def get_config(self):
        return super(Base, self).get_config()

class Composite(layers.Layer):
    def build(self, shape):
        self.inner = layers.Activation("relu")

    def call(self, x):
        return [self.inner(part) for part in [x]][0]

class Step(keras.Operation):
    def call(self, x):
        return x * FACTOR

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape)
"""


def library(*changes):
    """A module of a user, some of whose code was changed."""
    code = LIBRARY
    for old, new in changes:
        assert old in code
        code = code.replace(old, new)
    module = types.ModuleType("library")
    exec(code, vars(module))
    return module


def with_layer(layer):
    image = keras.Input((4, 4, 3))
    return keras.Model(image, layer(image))


BUILDS = {
    "own layer": lambda code: code.Own(),
    "own layers of keras' layers": lambda code: code.Composite(),
    "operation": lambda code: code.Step(),
    "activation": lambda code: layers.Activation(code.activation),
    "activation of a dense layer": lambda code: layers.Dense(3, activation=code.activation),
    "lambda": lambda code: layers.Lambda(code.activation),
    "closure": lambda code: layers.Lambda(code.closure(2.0)),
}


@pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS)
def test_the_same_code_is_recognised(build):
    assert architecture_of(with_layer(build(library()))) == architecture_of(with_layer(build(library())))


@pytest.mark.parametrize(
    ("build", "change"),
    [
        ("own layer", ("ops.relu", "ops.tanh")),  # of the base class
        ("own layer", ("offset = 1.0", "offset = 2.0")),
        ("own layer", ("scale=3.0", "scale=4.0")),
        ("own layers of keras' layers", ('"relu"', '"tanh"')),
        ("own layers of keras' layers", ("part in [x]", "part in [-x]")),
        ("operation", ("FACTOR = 2.0", "FACTOR = 2.5")),
        ("activation", ("x * FACTOR", "x / FACTOR")),
        ("activation", ("FACTOR = 2.0", "FACTOR = 2.5")),
        ("activation", ("[1.0, 2.0]", "[1.5, 2.0]")),
        ("activation", ("arange(3.0)", "arange(4.0)")),
        ("activation of a dense layer", ("FACTOR = 2.0", "FACTOR = 2.5")),
        ("lambda", ("FACTOR = 2.0", "FACTOR = 2.5")),
        ("closure", ("lambda x: x * factor", "lambda x: x * factor * factor")),
    ],
)
def test_code_that_changed_is_another_architecture(build, change):
    before, after = (with_layer(BUILDS[build](code)) for code in (library(), library(change)))
    assert architecture_of(before) != architecture_of(after)


def test_what_a_closure_holds_counts():
    one, other = (with_layer(layers.Lambda(library().closure(factor))) for factor in (2.0, 3.0))
    assert architecture_of(one) != architecture_of(other)


def test_attributes_that_no_configuration_mentions_count():
    one, other = (with_layer(library().Own(scale)) for scale in (2.0, 3.0))
    assert architecture_of(one) != architecture_of(other)


def test_functions_of_an_own_module_count_and_its_others_do_not(monkeypatch):
    def build(*changes):
        user = types.ModuleType("user")
        user.module = library(*changes)
        exec("def activation(x): return module.helper(x)", vars(user))
        return architecture_of(with_layer(layers.Activation(user.activation)))

    assert build() == build(('TABLE["shift"][0]', 'TABLE["shift"][1]'))
    assert build() != build(("FACTOR = 2.0", "FACTOR = 2.5"))


@pytest.mark.parametrize(
    "change",
    [
        ("FACTOR = 2.0", "FACTOR = iter([2.0])"),
        ("x * FACTOR", "x * eval('FACTOR')"),
        ("x * FACTOR", "x * __import__('module').FACTOR"),
        ("return x * FACTOR", "import nowhere; return x"),
    ],
)
def test_code_that_cannot_be_told_for_certain_is_never_recognised(change):
    def build():
        image = keras.Input((4, 4, 3))
        layer = layers.Identity()
        layer.function = library(change).activation
        return keras.Model(image, layer(image))

    assert architecture_of(build()) != architecture_of(build())
    code = library()
    one, other = build(), build()
    one.layers[1].function = other.layers[1].function = code.activation
    assert architecture_of(one) == architecture_of(other)


CODE_ACROSS_PROCESSES = """
import sys
sys.path.insert(0, sys.argv[1])
import keras
import test_signatures as tests
from transferkit.frozen.signatures import architecture_of
code = tests.library(("x * FACTOR", "x * FACTOR if 'a' not in {'a', 'b', 'c'} else x"))
print(*(architecture_of(tests.with_layer(build(code))) for build in tests.BUILDS.values()))
"""


@pytest.mark.slow
def test_other_processes_recognise_the_same_code(in_fresh_process):
    first, second = (in_fresh_process(CODE_ACROSS_PROCESSES, Path(__file__).parent) for _ in range(2))
    assert first == second
