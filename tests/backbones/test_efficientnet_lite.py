from importlib import resources

import keras
import numpy as np
import pytest
from sklearn.datasets import load_sample_image

from transferkit.backbones import efficientnet_lite
from transferkit.backbones.efficientnet_lite import (
    EFFICIENTNET_LITE0,
    EFFICIENTNET_LITE2,
    LITE2_WEIGHTS,
    WEIGHTS_FILE,
    build_efficientnet_lite0,
    build_efficientnet_lite2,
    imagenet_weights,
    load_named_weights,
)
from transferkit.exceptions import WeightsUnavailableError


@pytest.fixture(scope="module")
def classifier():
    return build_efficientnet_lite0(weights="imagenet", include_top=True)


@pytest.mark.parametrize(("file", "expected"), [("china.jpg", 442), ("flower.jpg", 985)])
def test_it_recognises_a_pagoda_roof_and_a_daisy(classifier, file, expected):
    """ImageNet classes 442 "bell cote" and 985 "daisy"."""
    pixels = load_sample_image(file)[np.newaxis]
    probabilities = classifier(EFFICIENTNET_LITE0.build_preprocessing()(pixels))
    assert int(np.argmax(probabilities)) == expected
    np.testing.assert_allclose(np.sum(probabilities), 1, rtol=1e-5)


@pytest.mark.parametrize(("file", "expected"), [("china.jpg", {442, 663, 698}), ("flower.jpg", {985})])
def test_the_middle_of_a_photograph_is_what_it_shows(classifier, file, expected):
    """ImageNet classes 442 "bell cote", 663 "monastery", 698 "palace" before all others; 985 "daisy"."""
    pixels = load_sample_image(file)
    side, top, left = min(pixels.shape[:2]), *((n - min(pixels.shape[:2])) // 2 for n in pixels.shape[:2])
    square = pixels[top : top + side, left : left + side][np.newaxis]
    order = np.argsort(-np.asarray(classifier(EFFICIENTNET_LITE0.build_preprocessing()(square)))[0])
    assert set(order[: len(expected)].tolist()) == expected


def test_it_has_the_published_number_of_parameters(classifier):
    assert sum(np.prod(weight.shape) for weight in classifier.trainable_weights) == 4_652_008


def test_its_features_are_one_32nd_of_the_image():
    assert build_efficientnet_lite0((64, 96, 3)).output_shape == (None, 2, 3, 1280)


def test_the_weights_file_is_small_enough_to_ship():
    assert len(resources.files("transferkit.backbones").joinpath("weights", WEIGHTS_FILE).read_bytes()) <= 10_000_000


def test_every_weight_in_the_file_is_used_and_finite(classifier):
    used = {f"{layer.name}/{weight.name}" for layer in classifier.layers for weight in layer.weights}
    assert used == set(imagenet_weights())
    assert all(np.isfinite(array).all() for array in imagenet_weights().values())


def test_pretrained_features_are_what_the_classifier_classifies(classifier):
    pixels = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3), dtype="uint8")
    features = EFFICIENTNET_LITE0.build()(EFFICIENTNET_LITE0.build_preprocessing()(pixels))
    assert features.shape == (1, 7, 7, 1280)
    classifier_features = keras.Model(classifier.input, classifier.get_layer("top_activation").output)
    expected = classifier_features((pixels.astype("float32") - 127) / 128)
    np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-4)


def test_a_damaged_file_is_detected(monkeypatch):
    monkeypatch.setattr(efficientnet_lite, "WEIGHTS_SHA256", "0" * 64)
    imagenet_weights.cache_clear()
    with pytest.raises(OSError, match=f"{WEIGHTS_FILE} are damaged: .* expected 0000.* Install transferkit again"):
        EFFICIENTNET_LITE0.build((32, 32))
    monkeypatch.undo()
    assert imagenet_weights()


def test_lite2_has_the_published_number_of_parameters_and_depth():
    """6.1 million, with the classifier: https://github.com/tensorflow/tpu, models/official/efficientnet/lite."""
    network = build_efficientnet_lite2((32, 32, 3), include_top=True)
    assert sum(np.prod(weight.shape) for weight in network.trainable_weights) == 6_092_072
    blocks = [layer.name[:-7] for layer in network.layers if layer.name.endswith("_dwconv")]
    assert [sum(block.startswith(f"block{stage}") for block in blocks) for stage in range(1, 8)] == [
        1,
        3,
        3,
        4,
        4,
        5,
        1,
    ]
    outputs = [network.get_layer(f"block{stage}a_project_conv").filters for stage in range(1, 8)]
    assert outputs == [16, 24, 48, 88, 120, 208, 352]


def test_missing_weights_of_lite2_say_what_makes_them(monkeypatch, tmp_path):
    monkeypatch.setenv("TRANSFERKIT_CACHE_DIR", str(tmp_path))
    with pytest.raises(WeightsUnavailableError, match="`make lite2-weights` in a checkout of transferkit makes"):
        EFFICIENTNET_LITE2.build((32, 32))


def test_a_damaged_file_of_lite2_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("TRANSFERKIT_CACHE_DIR", str(tmp_path))
    LITE2_WEIGHTS.path.parent.mkdir()
    LITE2_WEIGHTS.path.write_bytes(b"no weights")
    with pytest.raises(OSError, match="damaged, or not the file that `make lite2-weights` makes"):
        EFFICIENTNET_LITE2.build((32, 32))


@pytest.mark.slow
@pytest.mark.skipif(not LITE2_WEIGHTS.path.is_file(), reason="no weights of EfficientNet-Lite2: run make lite2-weights")
def test_lite2_recognises_a_palace():
    """ImageNet class 698 "palace", before 442 "bell cote"; every array of the file has its place."""
    arrays = LITE2_WEIGHTS.read()
    network = build_efficientnet_lite2(include_top=True)
    load_named_weights(network, arrays)
    assert {f"{layer.name}/{weight.name}" for layer in network.layers for weight in layer.weights} == set(arrays)
    probabilities = network(EFFICIENTNET_LITE2.build_preprocessing()(load_sample_image("china.jpg")[np.newaxis]))
    assert np.argsort(-np.asarray(probabilities)[0])[:2].tolist() == [698, 442]
    pixels = np.random.default_rng(0).uniform(-1, 1, (1, 64, 64, 3)).astype("float32")
    features = EFFICIENTNET_LITE2.build((64, 64))(pixels)
    without = build_efficientnet_lite2((64, 64, 3))
    load_named_weights(without, arrays)
    np.testing.assert_array_equal(features, without(pixels))
