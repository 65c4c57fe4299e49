import keras
import numpy as np
import pytest

from transferkit.backbones.stages import Stage, exact_cuts, find_stages, is_exact_cut, split_model, stage_layers

STAGES = (Stage("stem"), Stage("block1", "block1_conv"), Stage("block2", after="block1_add"), Stage("top", "top_conv"))


def build_residual_network():
    """A stem, a block that adds its input to its output, a block that halves the size inside a model, and a top."""
    layers = keras.layers
    image = keras.Input((16, 16, 3), name="image")
    x = layers.Conv2D(4, 3, strides=2, padding="same", name="stem_conv")(image)
    shortcut = x
    x = layers.Conv2D(4, 3, padding="same", name="block1_conv")(x)
    x = layers.BatchNormalization(name="block1_bn")(x)
    x = layers.Conv2D(4, 3, padding="same", name="block1_conv2")(x)
    x = layers.Add(name="block1_add")([x, shortcut])
    x = keras.Sequential([layers.Conv2D(6, 2, strides=2), layers.LayerNormalization()], name="block2")(x)
    x = layers.Conv2D(8, 1, name="top_conv")(x)
    return keras.Model(image, x, name="residual")


@pytest.fixture
def network():
    return build_residual_network()


@pytest.fixture
def images():
    return np.random.default_rng(0).normal(size=(2, 16, 16, 3)).astype("float32")


def names(layers):
    return [layer.name for layer in layers]


def test_every_layer_belongs_to_the_first_stage_that_needs_it(network):
    members = stage_layers(network, STAGES)
    assert {name: names(layers) for name, layers in members.items()} == {
        "stem": ["image", "stem_conv"],
        "block1": ["block1_conv", "block1_bn", "block1_conv2", "block1_add"],
        "block2": ["block2"],
        "top": ["top_conv"],
    }


def test_a_cut_is_exact_where_one_tensor_crosses(network):
    assert exact_cuts(network, STAGES) == ("block1", "block2", "top")


def test_a_cut_inside_a_residual_block_is_not_exact(network):
    assert not is_exact_cut(network, Stage("half", "block1_conv2"))


def test_the_image_is_no_cut(network):
    assert not is_exact_cut(network, STAGES[0])


@pytest.mark.parametrize("name", ["block1", "block2", "top"])
def test_front_and_back_compute_what_the_whole_does(network, images, name):
    front, back = split_model(network, STAGES, name)
    np.testing.assert_allclose(back(front(images)), network(images), rtol=1e-6, atol=1e-6)


def test_front_and_back_share_their_weights_with_the_whole(network, images):
    front, back = split_model(network, STAGES, "block2")
    assert {id(weight) for weight in front.weights + back.weights} == {id(weight) for weight in network.weights}
    network.get_layer("stem_conv").kernel.assign_add(keras.ops.ones((3, 3, 3, 4)))
    np.testing.assert_allclose(back(front(images)), network(images), rtol=1e-6, atol=1e-6)


def test_splitting_leaves_the_stages_of_the_whole_as_they_were(network):
    before = {name: names(layers) for name, layers in stage_layers(network, STAGES).items()}
    split_model(network, STAGES, "block1")
    split_model(network, STAGES, "top")
    assert {name: names(layers) for name, layers in stage_layers(network, STAGES).items()} == before
    assert exact_cuts(network, STAGES) == ("block1", "block2", "top")


def test_a_cut_that_is_not_exact_is_refused_and_the_exact_ones_are_named(network):
    stages = (Stage("first"), Stage("half", "block1_conv2"), Stage("top", "top_conv"))
    message = "'residual' cannot be cut exactly before stage 'half': more than one tensor .* Exact cuts: top"
    with pytest.raises(ValueError, match=message):
        split_model(network, stages, "half")


def test_a_network_without_exact_cuts_says_so(network):
    with pytest.raises(ValueError, match="Exact cuts: none"):
        split_model(network, (Stage("first"), Stage("half", "block1_conv2")), "half")


def test_stages_are_found_where_the_feature_maps_shrink(network):
    stages = find_stages(network)
    assert [stage.name for stage in stages] == ["stage1", "stage2"]
    assert stages[0] == Stage("stage1")
    assert len(exact_cuts(network, stages)) == 1


def test_found_stages_cover_every_weight_once(network):
    members = stage_layers(network, find_stages(network))
    weights = [id(weight) for layers in members.values() for layer in layers for weight in layer.weights]
    assert sorted(weights) == sorted(id(weight) for weight in network.weights)


def test_a_network_that_never_shrinks_is_one_stage():
    image = keras.Input((8, 8, 3))
    network = keras.Model(image, keras.layers.Conv2D(4, 3, padding="same")(image))
    assert find_stages(network) == (Stage("stage1"),)


def test_stages_are_found_in_a_network_for_images_of_any_size():
    image = keras.Input((None, None, 3))
    network = keras.Model(image, keras.layers.Conv2D(4, 3, strides=2)(image))
    assert find_stages(network) == (Stage("stage1"),)


def build_network_with_a_layer_that_is_used_twice():
    """The second stage begins at what `shared` makes of its own output; nothing later uses it again."""
    layers = keras.layers
    image = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(4, 3, padding="same", name="stem")(image)
    shared = layers.Conv2D(4, 3, padding="same", name="shared")
    x = shared(layers.Conv2D(4, 1, name="between")(shared(x)))
    x = layers.Conv2D(4, 3, padding="same", name="late")(x)
    return keras.Model(image, x)


@pytest.mark.parametrize("second", [Stage("second", "late"), Stage("second", after="shared")])
def test_a_stage_may_begin_at_the_later_output_of_a_layer_that_is_used_twice(second):
    network = build_network_with_a_layer_that_is_used_twice()
    stages = (Stage("first"), second)
    members = stage_layers(network, stages)
    assert names(members["first"]) == ["image", "stem", "shared", "between"]
    assert names(members["second"]) == ["late"]
    assert exact_cuts(network, stages) == ("second",)
    front, back = split_model(network, stages, "second")
    pixels = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    assert np.allclose(back(front(pixels)), network(pixels), atol=1e-6)


def test_where_a_layer_is_used_on_both_sides_there_is_no_cut_and_it_belongs_to_the_first():
    layers = keras.layers
    image = keras.Input((8, 8, 4), name="image")
    shared = layers.Conv2D(4, 3, padding="same", name="shared")
    x = layers.Conv2D(4, 1, name="between")(shared(image))
    network = keras.Model(image, shared(x))
    stages = (Stage("first"), Stage("second", "between"))
    members = stage_layers(network, stages)
    assert names(members["first"]) == ["image", "shared"]
    assert exact_cuts(network, stages) == ()


def test_layers_that_are_used_twice_do_not_hide_where_the_image_shrinks():
    layers = keras.layers
    image = keras.Input((16, 16, 3), name="image")
    shared = layers.Conv2D(3, 3, padding="same", name="shared")
    x = layers.Conv2D(4, 3, strides=2, padding="same", name="smaller")(shared(shared(image)))
    network = keras.Model(image, layers.Conv2D(4, 3, strides=2, padding="same", name="smallest")(x))
    found = find_stages(network)
    assert [stage.first_layer for stage in found] == [None, "smallest"]
    assert names(stage_layers(network, found)["stage2"]) == ["smallest"]


# ---- layers that are called more than once ----

REUSING = (Stage("first"), Stage("second", "conv2"), Stage("third", "conv3"))


@pytest.fixture
def reusing_network():
    """Three convolutions that halve the image, with one activation layer for the first two."""
    layers = keras.layers
    image = keras.Input((32, 32, 3), name="image")
    activation = layers.PReLU(alpha_initializer="ones", shared_axes=[1, 2, 3], name="activation")
    x = activation(layers.Conv2D(4, 3, strides=2, padding="same", name="conv1")(image))
    x = activation(layers.Conv2D(4, 3, strides=2, padding="same", name="conv2")(x))
    return keras.Model(image, layers.Conv2D(8, 3, strides=2, padding="same", name="conv3")(x), name="reusing")


def test_a_stage_may_begin_at_a_later_output_of_a_layer_that_is_called_again(reusing_network):
    members = stage_layers(reusing_network, REUSING)
    assert {name: names(layers) for name, layers in members.items()} == {
        "first": ["image", "conv1", "activation"],
        "second": ["conv2"],
        "third": ["conv3"],
    }
    assert exact_cuts(reusing_network, REUSING) == ("third",)  # before "second", the activation is on both sides


def test_a_network_can_be_cut_behind_the_last_call_of_a_layer(reusing_network):
    pixels = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    front, back = split_model(reusing_network, REUSING, "third")
    np.testing.assert_allclose(back(front(pixels)), reusing_network(pixels), rtol=1e-5, atol=1e-6)


def test_calls_in_the_graph_of_another_model_change_no_stage(network):
    image = keras.Input((16, 16, 3))
    keras.Model(image, network.get_layer("block1_conv")(keras.layers.Conv2D(4, 1)(image)))
    keras.models.clone_model(network, clone_function=lambda layer: layer)
    before = build_residual_network()
    members = stage_layers(network, STAGES)
    assert {name: names(layers) for name, layers in members.items()} == {
        name: names(layers) for name, layers in stage_layers(before, STAGES).items()
    }


def test_stages_are_found_around_layers_that_are_called_again(reusing_network):
    x = keras.layers.ReLU(name="last")(reusing_network.output)
    assert find_stages(keras.Model(reusing_network.input, x)) == (
        Stage("stage1"),
        Stage("stage2", "conv3"),
        Stage("stage3", "last"),
    )
    again = keras.Model(reusing_network.input, reusing_network.get_layer("conv2")(x[..., :4]))
    assert find_stages(again) == (Stage("stage1"),)  # nothing between the two calls can be cut off
