import dataclasses
from functools import partial

import keras
import numpy as np
import pytest
from keras.src.utils import file_utils

from transferkit.backbones.backbone import Backbone
from transferkit.backbones.registry import get_backbone
from transferkit.backbones.stages import Stage
from transferkit.exceptions import WeightsUnavailableError


def build_tiny(input_shape, weights=None, filters=4):
    image = keras.Input(input_shape)
    x = keras.layers.Conv2D(filters, 3, name="conv")(image)
    return keras.Model(image, keras.layers.BatchNormalization(name="bn")(x), name="tiny_network")


@pytest.fixture
def tiny():
    return Backbone(
        "tiny", builder=build_tiny, image_size=(12, 10), scaling="tf", stages=(Stage("all"),), min_image_size=8
    )


@pytest.fixture
def images():
    return np.random.default_rng(0).uniform(-1, 1, (2, 12, 10, 3)).astype("float32")


@pytest.fixture
def weights_file(tiny, tmp_path):
    path = tmp_path / "tiny.weights.h5"
    tiny.build(weights=None).save_weights(path)
    return path


def fail_to_download(fname, origin=None, **kwargs):
    raise Exception(f"URL fetch failure on {origin}: None -- [Errno -2] Name or service not known")


def test_it_is_built_at_its_own_size_under_the_name_backbone(tiny):
    model = tiny.build(weights=None)
    assert model.name == "backbone"
    assert model.input_shape == (None, 12, 10, 3)


def test_it_is_built_at_the_size_asked_for(tiny):
    assert tiny.build((8, 9), weights=None).input_shape == (None, 8, 9, 3)


@pytest.mark.parametrize("weights", ["imagenet", None])
def test_too_small_images_are_refused(tiny, weights):
    message = r"too small for backbone 'tiny'. Received: \(8, 7\). Expected at least 8 pixels on each side"
    with pytest.raises(ValueError, match=message):
        tiny.build((8, 7), weights=weights)


def test_its_preprocessing_has_its_scaling_and_size(tiny, images):
    preprocessing = tiny.build_preprocessing()
    pixels = np.full((1, 12, 10, 3), 255, "uint8")
    np.testing.assert_allclose(preprocessing(pixels), np.ones((1, 12, 10, 3)), rtol=1e-6)
    assert tiny.build_preprocessing((5, 6)).output_shape == (None, 5, 6, 3)


def test_an_unknown_scaling_is_refused_at_once():
    with pytest.raises(ValueError, match=r"Unknown input scaling. Received: scaling='bgr'"):
        Backbone("tiny", builder=build_tiny, image_size=(8, 8), scaling="bgr", stages=(Stage("all"),))


def test_a_record_does_not_change(tiny):
    with pytest.raises(dataclasses.FrozenInstanceError):
        tiny.image_size = (224, 224)


def test_weights_come_from_a_file(tiny, weights_file, images):
    first, second = (tiny.build(weights=path) for path in (weights_file, str(weights_file)))
    np.testing.assert_array_equal(first(images), second(images))
    assert not np.allclose(first(images), tiny.build(weights=None)(images))


def test_weights_of_the_bundled_network_survive_a_file(tmp_path):
    backbone = get_backbone("efficientnet_lite0")
    model = backbone.build((32, 32))
    model.save_weights(tmp_path / "lite0.weights.h5")
    pixels = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3))
    loaded = backbone.build((32, 32), weights=tmp_path / "lite0.weights.h5")
    np.testing.assert_array_equal(loaded(pixels), model(pixels))


def test_the_file_that_keras_downloads_gives_what_keras_computes(tmp_path, monkeypatch):
    """Keras scales the input of EfficientNet B0 to B7 otherwise when it fetches the weights itself."""
    with monkeypatch.context() as patch:
        patch.setattr(file_utils, "get_file", lambda fname, *args, **kwargs: fname)
        patch.setattr(keras.Model, "load_weights", lambda model, path: None)
        downloaded = keras.applications.EfficientNetB0(include_top=False, input_shape=(32, 32, 3))
    downloaded.save(tmp_path / "efficientnetb0_notop.h5")
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3))
    model = get_backbone("efficientnet_b0").build((32, 32), weights=tmp_path / "efficientnetb0_notop.h5")
    np.testing.assert_allclose(model(pixels), downloaded(pixels), rtol=1e-5, atol=1e-6)
    without = keras.applications.EfficientNetB0(include_top=False, input_shape=(32, 32, 3), weights=None)
    without.set_weights(downloaded.get_weights())
    assert not np.allclose(without(pixels), downloaded(pixels), rtol=1e-2)


def test_a_missing_file_is_named(tiny):
    with pytest.raises(FileNotFoundError, match=r"Received: weights='nowhere.h5'. Expected 'imagenet', None"):
        tiny.build(weights="nowhere.h5")


def test_weights_of_another_network_do_not_fit(tiny, weights_file):
    wider = dataclasses.replace(tiny, builder=partial(build_tiny, filters=5))
    with pytest.raises(ValueError, match=r"tiny.weights.h5' do not fit backbone 'tiny' .* \(160 parameters\)"):
        wider.build(weights=weights_file)


def test_a_file_that_holds_no_weights_does_not_fit(tiny, tmp_path):
    path = tmp_path / "notes.weights.h5"
    path.write_text("no weights")
    with pytest.raises(ValueError, match=r"notes.weights.h5' do not fit backbone 'tiny'"):
        tiny.build(weights=path)


def test_a_failed_download_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(file_utils, "get_file", fail_to_download)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(WeightsUnavailableError) as caught:
        get_backbone("resnet50").build((32, 32), weights="imagenet")
    message = str(caught.value)
    assert "'resnet50' could not be downloaded: URL fetch failure on https://" in message
    assert "file:          resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5" in message
    assert "expected hash: 4d473c1dd8becc155b73f8504c6f6626" in message
    assert f"put it into {tmp_path / 'models'}, or pass its path as `weights=`" in message
    assert "'efficientnet_lite0' has its ImageNet weights in the package" in message
    assert isinstance(caught.value, OSError)


def test_a_failed_download_says_where_keras_publishes_no_hash(monkeypatch):
    monkeypatch.setattr(file_utils, "get_file", fail_to_download)
    with pytest.raises(WeightsUnavailableError, match=r"Keras publishes none for this file"):
        get_backbone("mobilenet").build((32, 32), weights="imagenet")


def test_a_failed_download_names_the_file_for_the_size_asked_for(monkeypatch):
    monkeypatch.setattr(file_utils, "get_file", fail_to_download)
    with pytest.raises(WeightsUnavailableError, match=r"file:          mobilenet_1_0_128_tf_no_top.h5\n"):
        get_backbone("mobilenet").build((128, 128), weights="imagenet")


def test_other_failures_are_passed_on(monkeypatch):
    def fail(*args, **kwargs):
        raise ValueError("Something else")

    monkeypatch.setattr(file_utils, "get_file", fail)
    with pytest.raises(ValueError, match="Something else"):
        get_backbone("mobilenet").build((32, 32), weights="imagenet")


def test_a_corrupted_download_says_what_to_do(monkeypatch):
    def corrupt(*args, **kwargs):
        raise ValueError("Incomplete or corrupted file detected.")

    monkeypatch.setattr(file_utils, "get_file", corrupt)
    with pytest.raises(
        WeightsUnavailableError, match=r"corrupted(.|\n)*expected hash: 4d473c1dd8becc155b73f8504c6f6626"
    ):
        get_backbone("resnet50").build((32, 32), weights="imagenet")
