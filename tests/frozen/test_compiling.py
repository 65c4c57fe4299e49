"""Compiled fronts compute what the plain models compute, from a snapshot of their weights, and leave them alone."""

import gc
import random
import sys
import tempfile
import weakref
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import layers

from transferkit.backbones.preprocessing import build_preprocessing
from transferkit.backbones.registry import get_backbone
from transferkit.data.resizing import ImageFormat
from transferkit.frozen import compiling as inference
from transferkit.frozen.compiling import available_engines, build_enlarging, compile_front, first_model
from transferkit.frozen.forward import join, run_model
from transferkit.models.heads import LOGISTIC, build_dense, build_pooling

ENGINES = [
    "keras",
    pytest.param("openvino", marks=pytest.mark.skipif("openvino" not in available_engines(), reason="not installed")),
]


class Spy(layers.Layer):
    """Notes every time that it is traced, and in which precision."""

    def __init__(self, **options):
        super().__init__(**options)
        self.seen = []

    def call(self, inputs):
        if not isinstance(inputs, keras.KerasTensor):
            self.seen.append(keras.backend.standardize_dtype(inputs.dtype))
        return 1 * inputs


def initializer(seed):
    return keras.initializers.RandomNormal(stddev=0.3, seed=seed)


@pytest.fixture
def models():
    """Scaling, a network with a BatchNorm and a Dropout, and a head."""
    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(8, 3, strides=2, kernel_initializer=initializer(0), name="conv")(image)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.Dropout(0.5)(layers.ReLU()(x))
    x = Spy(name="spy")(layers.Conv2D(12, 3, kernel_initializer=initializer(1))(x))
    network = keras.Model(image, x, name="backbone")
    network.get_layer("norm").moving_variance.assign(np.linspace(0.5, 2, 8))
    network.get_layer("spy").seen.clear()
    scaling = build_preprocessing("torch", None)
    pooling, dense = build_pooling("avg", network.output_shape[1:]), build_dense(LOGISTIC, 12, 4)
    return scaling, network, keras.Sequential([keras.Input(pooling.input_shape[1:]), pooling, dense])


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (7, 16, 16, 3)).astype("uint8")


def plain(models, images):
    return join(*models).predict_on_batch(images.astype("float32"))


def state(models):
    found = [layer for model in models for layer in model._flatten_layers()]
    return [(layer.name, layer.dtype_policy.name, layer.trainable, len(layer._inbound_nodes)) for layer in found]


# ---- the same numbers ----


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_front_computes_what_the_models_compute(models, images, engine, dtype):
    outputs = compile_front(models, engine=engine)(images.astype(dtype))
    assert outputs.dtype == "float32"
    assert np.allclose(outputs, plain(models, images), atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("count", [1, 4, 7])
def test_batches_of_any_size_are_computed_in_parts_of_one_size(models, images, engine, count):
    front = compile_front(models, engine=engine, batch_size=4)
    assert np.allclose(front(images[:count]), plain(models, images)[:count], atol=1e-5)
    assert front.batch_size == 4


def test_tensors_are_taken_too(models, images):
    front = compile_front(models, batch_size=4)
    assert np.allclose(front(keras.ops.convert_to_tensor(images)), plain(models, images), atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_half_precision_is_close_and_comes_back_as_float32(models, images, engine):
    front, expected = compile_front(models, precision="bfloat16", engine=engine), plain(models, images)
    outputs = front(images)
    assert (front.precision, front.engine) == ("bfloat16", engine)
    features = compile_front(models[:2], precision="bfloat16", engine=engine)(images)
    assert outputs.dtype == features.dtype == "float32"
    assert np.abs(outputs - expected).max() < 0.03
    if engine == "keras":  # OpenVINO computes in float32 on a processor that knows nothing else
        assert np.abs(outputs - expected).max() > 0


def test_only_models_with_kernels_compute_in_half_precision(models, images):
    _, network, head = models
    before, after = (keras.Sequential([keras.Input(shape), Spy()]) for shape in ((16, 16, 3), (4,)))
    for model in (before, after):
        model.layers[0].seen.clear()
    compile_front([before, network, head, after], precision="bfloat16")(images)
    assert before.layers[0].seen == after.layers[0].seen == ["float32"]
    assert network.get_layer("spy").seen == ["bfloat16"]


@pytest.mark.parametrize("engine", ENGINES)
def test_batch_norm_is_folded(models, images, engine, monkeypatch):
    expected = plain(models, images)
    monkeypatch.setattr(layers.BatchNormalization, "call", None)
    assert np.allclose(compile_front(models, engine=engine)(images), expected, atol=1e-5)


def test_a_front_runs_in_run_model(models, images):
    front, expected = compile_front(models, batch_size=4), plain(models, images)
    assert front.output_shape == (None, 4)
    assert np.allclose(run_model(front, [images[:4], images[4:]], 7), expected, atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_images_of_any_size_are_resized(models, engine):
    images = np.random.default_rng(0).integers(0, 256, (3, 20, 24, 3)).astype("uint8")
    resizing = (build_preprocessing("torch", (16, 16)), *models[1:])
    assert np.allclose(compile_front(resizing, engine=engine)(images), plain(resizing, images), atol=1e-5)


@pytest.fixture(
    scope="module",
    params=[
        "efficientnet_lite0",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("mobilenetv2", "resnet50", "convnexttiny")),
        pytest.param("efficientnetb0", marks=pytest.mark.slow),
    ],
)
def real(request):
    """Models around a real network, images, and what the models compute: the same for all engines."""
    backbone, size = get_backbone(request.param), 64
    network = backbone.build((size, size), "imagenet" if request.param == "efficientnet_lite0" else None)
    models = backbone.build_scaling(), network, build_pooling("avg", network.output_shape[1:])
    images = np.random.default_rng(0).integers(0, 256, (3, size, size, 3)).astype("uint8")
    return models, images, plain(models, images)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_front_of_a_real_network_computes_the_same(real, engine):
    models, images, expected = real
    difference = np.abs(compile_front(models, engine=engine)(images) - expected)
    assert difference.max() < 1e-4 * np.abs(expected).max()


# ---- a snapshot ----


@pytest.mark.parametrize("engine", ENGINES)
def test_later_weights_do_not_reach_a_front_even_if_it_is_compiled_only_then(models, images, engine):
    used, unused, expected = compile_front(models, engine=engine), compile_front(models, engine=engine), None
    expected = used(images)
    for weight in models[1].weights:
        weight.assign_add(np.full(weight.shape, 0.5))
    assert np.allclose(used(images), expected, atol=1e-5)
    assert np.allclose(used(images.astype("float32")[:3]), expected[:3], atol=1e-5)
    assert np.allclose(unused(images), expected, atol=1e-5)
    fresh = compile_front(models, engine=engine)(images)
    assert np.allclose(fresh, plain(models, images), atol=1e-5)
    assert np.abs(fresh - expected).max() > 0.01


def test_a_front_is_traced_once(models, images):
    front = compile_front(models, batch_size=4)
    for batch in (images[:4], images[4:], images, images[:1]):
        front(batch)
    assert len(models[1].get_layer("spy").seen) == 1


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_models_and_random_generators_are_as_they_were(models, images, precision, engine):
    models[1].get_layer("conv").trainable = False
    before, weights = state(models), [model.get_weights() for model in models]
    policy, generators = keras.config.dtype_policy(), (random.getstate(), np.random.get_state()[1].tolist())
    compile_front(models, precision=precision, engine=engine)(images)
    assert state(models) == before
    assert keras.config.dtype_policy() is policy
    assert (random.getstate(), np.random.get_state()[1].tolist()) == generators
    for model, values in zip(models, weights, strict=True):
        assert all(map(np.array_equal, model.get_weights(), values))


def test_a_front_is_freed_while_its_models_live(models, images):
    front = compile_front(models)
    front(images)
    watch = weakref.ref(front._compute._row)
    del front
    gc.collect()
    assert watch() is None


# ---- engines ----


def test_an_unknown_engine_is_refused(models):
    with pytest.raises(ValueError, match="`engine` must be one of 'keras', 'openvino'. Received: engine='onnx'"):
        compile_front(models, engine="onnx")


def test_a_missing_engine_is_named_with_the_line_that_installs_it(models, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ImportError, match=r'pip install "transferkit\[openvino\]"'):
        compile_front(models, engine="openvino")


@pytest.mark.parametrize(("precision", "hint"), [("float32", "f32"), ("bfloat16", "bf16"), ("float16", "f16")])
def test_openvino_is_asked_for_the_precision(models, images, monkeypatch, precision, hint):
    class Core:
        def compile_model(self, model, device, hints):
            assert (device, hints["INFERENCE_PRECISION_HINT"]) == ("CPU", hint)
            return lambda inputs: [np.zeros((len(inputs[0]), 4), "float32")]

    monkeypatch.setattr(inference, "import_openvino", lambda: SimpleNamespace(Core=Core, convert_model=lambda x: x))
    assert compile_front(models, engine="openvino", precision=precision)(images).shape == (7, 4)


@pytest.mark.parametrize("engine", ENGINES)
def test_no_file_stays(models, images, engine, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    compile_front(models, engine=engine)(images)
    assert list(tmp_path.iterdir()) == []


# ---- enlarging ----


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])  # all that an `ImageFormat` can have
@pytest.mark.parametrize(("size", "image_size"), [((7, 5), (19, 32)), ((32, 32), (96, 96)), ((8, 20), (24, 20))])
def test_enlarging_is_what_keras_makes_of_it(interpolation, size, image_size):
    images = np.random.default_rng(0).integers(0, 256, (2, *size, 3)).astype("float32")
    expected = keras.ops.image.resize(images, image_size, interpolation=interpolation, antialias=True)
    enlarging = build_enlarging(
        build_preprocessing("none", None), size, ImageFormat(image_size, interpolation=interpolation)
    )
    assert np.abs(enlarging(images) - expected).max() < 1e-3


@pytest.mark.parametrize(("resize", "size"), [("crop", (24, 9)), ("crop", (7, 30)), ("pad", (6, 17)), ("pad", (12, 5))])
def test_enlarging_crops_and_pads_as_the_preprocessing_does(resize, size):
    images = np.random.default_rng(0).integers(0, 256, (2, *size, 3)).astype("float32")
    image_format = ImageFormat((22, 19), resize=resize, background="orange")
    expected = build_preprocessing("none", (22, 19), resize, image_format.background_levels)(images)
    enlarging = build_enlarging(build_preprocessing("none", None), size, image_format)
    assert np.abs(enlarging(images) - expected).max() < 1e-3


def test_enlarged_images_are_scaled():
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 6, 3)).astype("float32")
    preprocessing = build_preprocessing("torch", (20, 20))
    enlarging = build_enlarging(build_preprocessing("torch", None), (8, 6), ImageFormat((20, 20)))
    assert enlarging.output_shape == (None, 20, 20, 3)
    assert np.allclose(enlarging(images), preprocessing(images), atol=1e-4)


def test_the_first_model_is_the_one_with_the_least_to_do():
    scaling, preprocessing = build_preprocessing("tf", None), build_preprocessing("tf", (20, 20))

    def chosen(size):
        return first_model(scaling, preprocessing, size, ImageFormat((20, 20)))

    assert chosen((20, 20)) is scaling
    cropping = first_model(scaling, preprocessing, (30, 12), ImageFormat((20, 20), resize="crop"))
    assert cropping.input_shape == (None, 30, 12, 3)
    assert first_model(scaling, preprocessing, (8, 18), ImageFormat((20, 20), resize="pad")) is preprocessing
    assert chosen((8, 10)).input_shape == (None, 8, 10, 3)
    assert all(chosen(size) is preprocessing for size in [(30, 30), (5, 24), (19, 20)])
