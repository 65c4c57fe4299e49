import numpy as np
import pytest

from transferkit.data.resizing import ImageFormat
from transferkit.models.assembly import assemble, build_components, build_trainee, components_of
from transferkit.models.freezing import build_trainable, select
from transferkit.models.heads import LOGISTIC, Head, build_dense, build_head, build_pooling


def assembled(backbone):
    network = backbone.build()
    pooling = build_pooling("avg", network.output_shape[1:])
    head = build_head(pooling, build_dense(LOGISTIC, network.output_shape[-1], 3))
    return assemble(backbone.build_preprocessing(), network, head)


def test_the_classifier_is_its_three_models_in_a_row(tiny_backbone, images):
    model = assembled(tiny_backbone)
    preprocessing, backbone, head = components_of(model)
    assert np.allclose(model(images), head(backbone(preprocessing(images))), atol=1e-6)


def test_only_the_head_can_be_trained(tiny_backbone, images, labels):
    model = assembled(tiny_backbone)
    _, backbone, head = components_of(model)
    assert len(model.trainable_variables) == len(head.variables) == 2
    before = backbone.get_weights()
    model.fit(images, np.unique(labels, return_inverse=True)[1], epochs=1, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, backbone.get_weights(), strict=True))


def test_images_of_any_size_are_welcome(tiny_backbone):
    model = assembled(tiny_backbone)
    for size in ((16, 16), (5, 70)):
        assert model(np.zeros((2, *size, 3), "uint8")).shape == (2, 3)


# ---- for training ----

HEAD = Head(units=(5,), dropout=0.5)


@pytest.fixture
def components(tiny_backbone):
    return build_components(tiny_backbone, tiny_backbone.build(), ImageFormat((16, 16)), HEAD, 3, seed=0)


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3)).astype("float32")


def view_of(components, backbone, train):
    selection = select(components.network, backbone.stages, train, rank=2)
    components.head.trainable = selection.head
    return build_trainable(components.network, selection)


def test_parts_share_the_weights_of_the_whole(components, images):
    ids = {id(weight) for weight in components.whole.weights}
    assert {id(weight) for model in components.models for weight in model.weights} == ids
    assert {id(weight) for weight in components.dense.weights} == {id(weight) for weight in components.head.weights}
    expected = components.dense(components.pooling(components.network(components.preprocessing(images))))
    assert np.allclose(components.whole(images), expected, atol=1e-6)


def test_the_seed_decides_the_first_weights_of_the_head(tiny_backbone):
    one, again, other = (
        build_components(
            tiny_backbone, tiny_backbone.build(), ImageFormat((16, 16)), HEAD, 3, seed
        ).dense.get_weights()[0]
        for seed in (0, 0, 1)
    )
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("train", ["head", "all", "lora"])
def test_what_trains_computes_what_the_whole_does(train, components, tiny_backbone, pixels):
    expected = np.asarray(components.whole(pixels))
    trainee = build_trainee(components, view_of(components, tiny_backbone, train))
    assert np.allclose(trainee(pixels), expected, atol=1e-5)
    assert np.allclose(build_trainee(components)(pixels), expected, atol=1e-6)


def test_pixels_are_scaled_as_the_backbone_expects(tiny_network, pixels):
    from transferkit import backbone_from_model

    backbone = backbone_from_model(tiny_network, scaling="caffe")
    components = build_components(backbone, backbone.build(), ImageFormat((16, 16)), HEAD, 3, seed=0)
    trainee = build_trainee(components, view_of(components, backbone, "head"))
    assert np.allclose(trainee(pixels), components.whole(pixels), atol=1e-5)


def test_without_a_view_the_head_trains_on_features(components, pixels):
    trainee = build_trainee(components, begin="features")
    features = components.pooling(components.network(components.scaling(pixels)))
    assert np.allclose(trainee(features), components.whole(pixels), atol=1e-6)
    assert {id(weight) for weight in trainee.trainable_weights} == {id(weight) for weight in components.head.weights}


@pytest.mark.parametrize(("train", "is_active"), [("all", True), (("stage1",), False)], ids=str)
def test_dropout_of_the_head_is_on_only_while_the_head_trains(train, is_active, components, tiny_backbone, pixels):
    trainee = build_trainee(components, view_of(components, tiny_backbone, train))
    changes = not np.allclose(trainee(pixels, training=True), trainee(pixels, training=False), atol=1e-5)
    assert changes == is_active
