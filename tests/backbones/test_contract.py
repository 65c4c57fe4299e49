"""What every registered backbone promises, at the smallest image size it takes and with random weights."""

import gc
import json
import subprocess
import sys
from contextlib import contextmanager
from itertools import chain
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras.src.utils import file_utils

from transferkit.backbones.applications import APPLICATIONS
from transferkit.backbones.registry import get_backbone, list_backbones
from transferkit.backbones.stages import exact_cuts, split_model, stage_layers
from transferkit.models.freezing import build_trainable, select

# Those that take up to about six seconds on two cores; the others take up to a minute.
FAST = {
    "efficientnet_b0",
    "efficientnet_lite0",
    "mobilenet",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "resnet50",
    "vgg16",
}

PLAIN_KERAS = """
import gc, json, os, sys
import keras
import numpy as np
for line in sys.stdin:
    folder = line.strip()
    model = keras.saving.load_model(os.path.join(folder, "model.keras"), safe_mode=True)
    outputs = model(np.load(os.path.join(folder, "pixels.npy")), training=False)
    np.save(os.path.join(folder, "predictions.npy"), keras.ops.convert_to_numpy(outputs))
    print("answer", json.dumps({"layers": [layer.name for layer in model.layers],
                                "knows_transferkit": "transferkit" in sys.modules}), flush=True)
    del model, outputs
    keras.backend.clear_session()
    gc.collect()
"""


@pytest.fixture(scope="module")
def ask_plain_keras(tmp_path_factory):
    """A process that has Keras only: predicts with the model and the pixels in a folder."""
    log = tmp_path_factory.mktemp("plain_keras") / "log.txt"
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [sys.executable, "-c", PLAIN_KERAS],
            cwd=log.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):

        def ask(folder):
            print(folder, file=process.stdin, flush=True)
            answer = next((line for line in process.stdout if line.startswith("answer ")), None)
            assert answer is not None, f"plain Keras cannot load the model:\n{log.read_text()}"
            return json.loads(answer.removeprefix("answer ")), np.load(folder / "predictions.npy")

        yield ask


def backbone_parameters():
    return [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in list_backbones()]


@pytest.fixture(params=backbone_parameters())
def built(request, monkeypatch):
    """A backbone with random weights, and what `keras.applications` builds of the same name, with the same weights."""
    backbone = get_backbone(request.param)
    size = (backbone.min_image_size, backbone.min_image_size)
    keras.utils.set_random_seed(0)
    model, preprocessing, images = backbone.build(size, weights=None), backbone.build_preprocessing(size), draw(size)
    randomise(model, preprocessing(images))
    plain, requested_files = build_plain(backbone, size, monkeypatch)
    if plain is not None:
        plain.set_weights(model.get_weights())
    built = SimpleNamespace(
        backbone=backbone,
        preprocessing=preprocessing,
        model=model,
        plain=plain,
        requested_files=requested_files,
        images=images,
        features=features_of(model, preprocessing, images),
    )
    yield built
    vars(built).clear()
    del model, plain
    keras.backend.clear_session()
    gc.collect()


def draw(size, count=4):
    """Random images that differ much: coarse colours under fine noise."""
    rng = np.random.default_rng(0)
    colours = rng.uniform(0, 255, (count, 4, 4, 3))
    coarse = np.kron(colours, np.ones((1, -(-size[0] // 4), -(-size[1] // 4), 1)))[:, : size[0], : size[1]]
    return np.clip(coarse + rng.normal(0, 25, coarse.shape), 0, 255).astype("uint8")


def randomise(model, scaled_images):
    """Draws what Keras initialises as constants, and has BatchNorm divide by what its inputs really measure.

    Otherwise the features of deep networks fade into constants, and comparing them would prove nothing.
    """
    rng = np.random.default_rng(1)
    for weight in model.trainable_weights:
        if np.ptp(weight) == 0:
            is_offset = to_numpy(weight).flat[0] == 0
            weight.assign(rng.normal(0, 0.1, weight.shape) if is_offset else rng.uniform(0.7, 1.3, weight.shape))
    norms = layers_of_type(model, keras.layers.BatchNormalization)
    dropouts = layers_of_type(model, keras.layers.Dropout)
    with replaced(norms, "momentum", 0.0), replaced(dropouts, "rate", 0.0):
        model(scaled_images, training=True)
    for norm in norms:
        mean, variance = to_numpy(norm.moving_mean), to_numpy(norm.moving_variance)
        norm.moving_mean.assign(0.1 * mean)
        norm.moving_variance.assign(variance + mean**2 + 0.1 * variance.mean())


def layers_of_type(model, kind):
    return [layer for layer in model._flatten_layers() if isinstance(layer, kind)]


@contextmanager
def replaced(layers, attribute, value):
    before = [getattr(layer, attribute) for layer in layers]
    for layer in layers:
        setattr(layer, attribute, value)
    yield
    for layer, old in zip(layers, before, strict=True):
        setattr(layer, attribute, old)


def build_plain(backbone, size, monkeypatch):
    """Builds what `keras.applications` builds for its ImageNet weights, and tells which files it asks for."""
    requested_files = []

    def get_file(fname, origin=None, file_hash=None, **kwargs):
        requested_files.append((fname, file_hash))
        return fname

    if backbone not in APPLICATIONS:
        return None, requested_files
    network = getattr(keras.applications, *backbone.builder.args)
    with monkeypatch.context() as patch:
        patch.setattr(file_utils, "get_file", get_file)
        patch.setattr(keras.Model, "load_weights", lambda model, path: None)
        return network(include_top=False, weights="imagenet", input_shape=(*size, 3)), requested_files


def preprocess_input_of(backbone):
    """The function that stands beside the network in `keras.applications`, as in `resnet_v2.preprocess_input`."""
    (class_name,) = backbone.builder.args
    network = getattr(keras.applications, class_name)
    module = network.__module__.rsplit(".", 1)[-1]
    return getattr(keras.applications, module).preprocess_input


def features_of(model, preprocessing, images):
    return to_numpy(model(preprocessing(images), training=False))


def to_numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def assert_equal(actual, expected, tolerance):
    """Asserts equality up to `tolerance` times the largest magnitude of `expected`."""
    assert actual.shape == expected.shape
    assert np.max(np.abs(actual - expected)) <= tolerance * np.max(np.abs(expected))


def assert_features_depend_on_the_image(built):
    scale = np.max(np.abs(built.features))
    assert np.isfinite(scale)
    assert np.max(np.ptp(built.features, axis=0)) > 0.02 * scale
    bgr = features_of(built.model, built.preprocessing, built.images[..., ::-1])
    assert np.max(np.abs(built.features - bgr)) > 0.02 * scale


def assert_features_are_those_of_keras(built):
    pixels = built.images.astype("float32")
    if built.plain is None:
        assert built.backbone.name.startswith("efficientnet_lite")
        expected = built.model((pixels - 127) / 128, training=False)
    else:
        expected = built.plain(preprocess_input_of(built.backbone)(pixels), training=False)
    assert_equal(built.features, to_numpy(expected), 1e-4)


def assert_stages_cover_every_weight_once(built):
    members = stage_layers(built.model, built.backbone.stages)
    weights = {name: [id(weight) for layer in layers for weight in layer.weights] for name, layers in members.items()}
    assert all(weights.values()), f"stages without weights: {[name for name in weights if not weights[name]]}"
    assert sorted(chain.from_iterable(weights.values())) == sorted(id(weight) for weight in built.model.weights)


def assert_exact_cuts_are_exact(built):
    cuts = exact_cuts(built.model, built.backbone.stages)
    assert cuts
    scaled = built.preprocessing(built.images)
    for cut in cuts:
        front, back = split_model(built.model, built.backbone.stages, cut)
        assert_equal(to_numpy(back(front(scaled))), built.features, 1e-5)


def assert_arrays_stay_as_they_are(built):
    for images in (built.images, built.images.astype("float32")):
        before = images.copy()
        features = to_numpy(built.model(built.preprocessing(images)))
        assert_equal(features, built.features, 1e-6)
        np.testing.assert_array_equal(images, before)


def assert_training_leaves_frozen_layers_and_statistics_alone(built):
    scaled = built.preprocessing(built.images)
    before = [to_numpy(weight) for weight in built.model.weights]
    frozen = build_trainable(built.model, select(built.model, built.backbone.stages, "head")).model
    assert not frozen.trainable_variables
    assert_equal(to_numpy(frozen(scaled, training=True)), built.features, 1e-5)
    everything = build_trainable(built.model, select(built.model, built.backbone.stages, "all")).model
    everything(scaled, training=True)
    is_statistic = {
        id(weight)
        for norm in layers_of_type(built.model, keras.layers.BatchNormalization)
        for weight in (norm.moving_mean, norm.moving_variance)
    }
    trained = {id(weight) for weight in everything.trainable_variables}
    normalizations = layers_of_type(built.model, keras.layers.Normalization)
    constants = {id(weight) for layer in normalizations for weight in layer.weights}
    assert trained == {id(weight) for weight in built.model.weights} - is_statistic - constants
    assert all(np.array_equal(old, to_numpy(new)) for old, new in zip(before, built.model.weights, strict=True))


def assert_plain_keras_predicts_the_same(built, ask_plain_keras, folder):
    head = keras.Sequential(
        [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3, activation="softmax")], name="head"
    )
    pixels = keras.Input((None, None, 3), name="pixels")
    whole = keras.Model(pixels, head(built.model(built.preprocessing(pixels))))
    kernel = head.layers[-1].kernel
    kernel.assign(kernel / np.max(np.abs(built.features)))  # no probability is as good as 0 or 1
    expected = to_numpy(whole(built.images))  # without `training=False`, as users call it
    assert np.max(np.ptp(expected, axis=0)) > 1e-3
    whole.save(folder / "model.keras")
    np.save(folder / "pixels.npy", built.images)
    answer, predictions = ask_plain_keras(folder)
    (folder / "model.keras").unlink()
    assert not answer["knows_transferkit"]
    assert answer["layers"] == ["pixels", "preprocessing", "backbone", "head"]
    assert_equal(predictions, expected, 1e-5)


@pytest.mark.filterwarnings("ignore:`input_shape` is undefined or non-square")
def test_a_backbone_keeps_its_promises(built, ask_plain_keras, tmp_path):
    assert built.model.count_params() == built.backbone.num_parameters
    assert_features_depend_on_the_image(built)
    assert_features_are_those_of_keras(built)
    assert_stages_cover_every_weight_once(built)
    assert_exact_cuts_are_exact(built)
    assert_arrays_stay_as_they_are(built)
    assert_training_leaves_frozen_layers_and_statistics_alone(built)
    assert_plain_keras_predicts_the_same(built, ask_plain_keras, tmp_path)
    if built.plain is not None:
        assert built.requested_files == [(built.backbone.weights_file, built.backbone.weights_hash)]


def test_names_are_unique():
    assert len(set(list_backbones())) == len(list_backbones()) == 2 + len(APPLICATIONS)


def test_every_network_of_keras_is_registered():
    classes = {name for name in dir(keras.applications) if name[0].isupper()}
    assert {class_name for backbone in APPLICATIONS for class_name in backbone.builder.args} == classes


@pytest.mark.parametrize("name", list_backbones())
def test_a_record_is_complete(name):
    backbone = get_backbone(name)
    assert backbone.license in {"Apache-2.0", "BSD-3-Clause", "CC-BY-4.0", "MIT"}
    assert "arXiv:" in backbone.paper
    assert backbone.weights_origin
    assert backbone.weights_file
    assert backbone.min_image_size <= min(backbone.image_size)
    assert 60 < backbone.imagenet_top1 < 90
    stage_names = [stage.name for stage in backbone.stages]
    assert len(set(stage_names)) == len(stage_names) >= 4
