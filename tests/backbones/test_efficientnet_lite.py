from importlib import resources

import keras
import numpy as np
import pytest
from sklearn.datasets import load_sample_image

from transferkit.backbones import efficientnet_lite
from transferkit.backbones.efficientnet_lite import (
    EFFICIENTNET_LITE0,
    WEIGHTS_FILE,
    build_efficientnet_lite0,
    imagenet_weights,
)


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
