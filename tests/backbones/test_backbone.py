import dataclasses
import hashlib
import io
import urllib.request
from functools import partial

import keras
import numpy as np
import pytest
from keras.src.backend import config
from keras.src.utils import file_utils

from transferkit import TransferClassifier
from transferkit.backbones.backbone import Backbone
from transferkit.backbones.converted import ConvertedWeights
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


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """Downloads fail for real: all of them are sent to a port where nobody listens, and Keras has no file yet."""
    monkeypatch.setattr(config, "_KERAS_DIR", str(tmp_path / "keras"))
    proxy = urllib.request.ProxyHandler(dict.fromkeys(("http", "https"), "http://127.0.0.1:9"))
    monkeypatch.setattr(urllib.request, "_opener", urllib.request.build_opener(proxy))
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("TRANSFERKIT_CACHE_DIR", str(tmp_path / "cache"))


def build_downloaded_tiny(input_shape, weights=None):
    """Builds the tiny network as Keras builds one that has weights to download."""
    model = build_tiny(input_shape)
    if weights == "imagenet":
        model.load_weights(keras.utils.get_file("tiny.weights.h5", "https://example.com/tiny.weights.h5"))
    return model


@pytest.fixture
def converted_tiny(tiny, no_network):
    """A network whose download fails, and whose weights we have made: all are 0.5 in float16."""
    arrays = {}
    for layer in build_tiny((12, 10, 3)).layers:
        arrays |= {f"{layer.name}/{weight.name}": np.full(weight.shape, 0.5, "float16") for weight in layer.weights}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    converted = ConvertedWeights("tiny.npz", hashlib.sha256(buffer.getvalue()).hexdigest(), "make tiny-weights")
    converted.path.parent.mkdir(parents=True)
    converted.path.write_bytes(buffer.getvalue())
    return dataclasses.replace(tiny, builder=build_downloaded_tiny, converted=converted)


def test_what_was_made_on_this_machine_is_used_if_the_download_fails(converted_tiny, caplog):
    with caplog.at_level("INFO", logger="transferkit"):
        model = converted_tiny.build()
    assert all(np.all(np.asarray(weight) == 0.5) for weight in model.weights)
    assert model.name == "backbone"
    (note,) = caplog.messages
    assert note.startswith("Keras could not download its ImageNet weights of 'tiny', so those that `make tiny-weights`")
    assert note.endswith(str(converted_tiny.converted.path))


def test_it_takes_images_of_other_sizes_and_channels_too(converted_tiny):
    model = converted_tiny.build((9, 8), channels=5)
    assert model.input_shape == (None, 9, 8, 5)
    np.testing.assert_allclose(model.get_layer("conv").kernel, np.full((3, 3, 5, 4), 0.5 * 3 / 5), rtol=1e-6)


def test_the_file_that_keras_keeps_goes_first(converted_tiny, tmp_path, caplog):
    model = build_tiny((12, 10, 3))
    (tmp_path / "keras" / "datasets").mkdir(parents=True)
    model.save_weights(tmp_path / "keras" / "datasets" / "tiny.weights.h5")
    with caplog.at_level("INFO", logger="transferkit"):
        built = converted_tiny.build()
    np.testing.assert_array_equal(built.get_layer("conv").kernel, model.get_layer("conv").kernel)
    assert not caplog.messages


def test_a_damaged_file_of_ours_is_refused_and_not_passed_over(converted_tiny):
    converted_tiny.converted.path.write_bytes(b"half of it")
    with pytest.raises(OSError, match="damaged, or not the file that `make tiny-weights` makes") as caught:
        converted_tiny.build()
    assert not isinstance(caught.value, WeightsUnavailableError)


def test_without_either_file_both_ways_are_named(no_network):
    with pytest.raises(WeightsUnavailableError) as caught:
        get_backbone("vgg16").build((32, 32))
    message = str(caught.value)
    assert "'vgg16' could not be downloaded: URL fetch failure on https://" in message
    assert "expected hash: 6d6bbae143d832006294945121d1f1fc" in message
    assert "`make vgg16-weights` in a checkout of transferkit makes them here" in message
    with pytest.raises(WeightsUnavailableError) as caught:
        get_backbone("vgg19").build((32, 32))
    assert "make " not in str(caught.value)


def test_the_note_is_said_once_by_a_classifier_and_never_in_silence(converted_tiny, capsys):
    labels = ["a", "b"] * 4
    pixels = np.random.default_rng(0).integers(0, 256, (8, 12, 10, 3), dtype="uint8")
    TransferClassifier(converted_tiny, verbose=2).fit(pixels, labels)
    assert capsys.readouterr().out.count("so those that `make tiny-weights` made are used") == 1
    TransferClassifier(converted_tiny, verbose=0).fit(pixels, labels)
    assert "make tiny-weights" not in capsys.readouterr().out
