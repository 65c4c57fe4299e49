"""Runs models in a row as fast as the machine allows, for prediction only."""

import importlib.util
from typing import Literal, get_args

import keras
import numpy as np
from keras import ops

from transferkit._utils.openvino import import_openvino, without_telemetry
from transferkit._utils.tensorflow import without_retracing_warnings
from transferkit.frozen.folding import fold_batch_norm
from transferkit.frozen.precision import computing_in

Engine = Literal["keras", "openvino"]
ENGINES = get_args(Engine)

_OPENVINO_PRECISIONS = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
_WORTH_ENLARGING = 0.5  # part of the pixels up to which matrix products are faster than TensorFlow's resizing


def available_engines():
    """Returns the names of the engines that are installed. OpenVINO takes the graphs of TensorFlow."""
    is_usable = keras.config.backend() == "tensorflow" and importlib.util.find_spec("openvino")
    return ENGINES if is_usable else ENGINES[:1]


def compile_front(models, *, precision="float32", engine="keras", batch_size=None):
    """Compiles models in a row for computing many batches with the weights that they have now.

    Later changes of the weights do not reach the front: build another one then. The models are not changed.

    Args:
        models: Sequence of `keras.Model`, each of which takes what the one before gives. BatchNorm in them is folded
            into the layers before it (see `fold_batch_norm`).
        precision: What models with convolutions or attention compute in: `"float32"`, `"bfloat16"` or `"float16"`.
            Scaling, pooling and dense heads always compute in float32.
        engine: `"keras"` or `"openvino"`, an optional package that is faster on CPUs and runs on CPUs only.
        batch_size: Images a batch. Smaller batches are filled up and larger ones divided: compiling for another size
            takes longer. Default: the size of the first batch.

    Returns:
        A `Front`. It is compiled when it is called first.

    Raises:
        ImportError: If `engine` is not installed.
        ValueError: If `engine` is unknown.
    """
    if engine not in ENGINES:
        raise ValueError(f"`engine` must be one of {', '.join(map(repr, ENGINES))}. Received: engine={engine!r}.")
    build = _KerasEngine if engine == "keras" else _OpenVinoEngine
    return Front(build(models, precision), models[-1].output_shape, precision, engine, batch_size)


class Front:
    """Models in a row, compiled. `compile_front` makes it.

    Args:
        compute: Function from a full batch to its outputs.
        output_shape: Shape of the outputs of a batch, as Keras writes it.
        precision: What the network computes in.
        engine: What runs it.
        batch_size: Images in a full batch; `None`: as many as come first.
    """

    def __init__(self, compute, output_shape, precision, engine, batch_size):
        self.output_shape = output_shape
        self.precision = precision
        self.engine = engine
        self.batch_size = batch_size
        self._compute = compute

    def __call__(self, batch):
        """Computes the outputs of a batch of images, uint8 or float32: float32 `(batch, …)`."""
        size = self.batch_size = self.batch_size or len(batch)
        if len(batch) == size:
            return self._compute(batch)
        parts = [self._compute_part(batch[start : start + size], size) for start in range(0, len(batch), size)]
        return np.concatenate(parts)

    def _compute_part(self, batch, size):
        count = len(batch)
        if count < size:
            batch = np.asarray(batch)
            batch = np.concatenate([batch, np.repeat(batch[-1:], size - count, axis=0)])
        return self._compute(batch)[:count]


class _Row(keras.Model):
    """Models in a row, with the weights that they have at construction.

    Tensors stand for the variables while the row is traced. As constants of the graph they would be no faster, but
    would take seconds to compile, and there could be no more than 2 GB of them.
    """

    def __init__(self, models, precision):
        super().__init__(name="front")
        models = [fold_batch_norm(model) for model in models]
        weights = list({id(weight): weight for model in models for weight in model.weights}.values())
        values = [ops.convert_to_tensor(ops.convert_to_numpy(weight)) for weight in weights]
        # Inside a function, Keras does not find the models: their weights are no weights of the row.
        mapping = list(zip(weights, values, strict=True))
        self._compute = lambda inputs: _run_in_a_row(models, precision, mapping, inputs)
        self.built = True
        self.compile(jit_compile=False)  # TensorFlow resizes with antialiasing on the CPU only

    def call(self, inputs):
        return self._compute(inputs)


def _run_in_a_row(models, precision, mapping, x):
    x = ops.cast(x, "float32")
    with keras.StatelessScope(state_mapping=mapping):
        for model in models:
            # Only tracing runs through here, so the layers are as they were right after it.
            with computing_in(model, precision if _has_kernels(model) else "float32"):
                x = model(x, training=False)
    return ops.cast(x, "float32")


def _has_kernels(model):
    return any(len(weight.shape) > 2 for weight in model.weights)


class _KerasEngine:
    def __init__(self, models, precision):
        self._row = _Row(models, precision)

    def __call__(self, batch):
        with without_retracing_warnings():
            return np.asarray(self._row.predict_on_batch(batch))


class _OpenVinoEngine:
    """Runs models by OpenVINO; the first one by Keras if it resizes: OpenVINO knows no antialiasing."""

    def __init__(self, models, precision):
        self._openvino = import_openvino()
        self._core = self._openvino.Core()
        self._precision = precision
        resizes = None in models[0].input_shape[1:] and None not in models[0].output_shape[1:]
        self._resize = _KerasEngine(models[:1], "float32") if resizes else None
        self._row = _Row(models[1:] if resizes else models, "float32")
        self._compiled = {}

    def __call__(self, batch):
        batch = np.asarray(batch if self._resize is None else self._resize(batch), "float32")
        if batch.shape not in self._compiled:
            self._compiled[batch.shape] = self._compile(batch.shape)
        return self._compiled[batch.shape]([batch])[0]

    def _compile(self, shape):
        hints = {"INFERENCE_PRECISION_HINT": _OPENVINO_PRECISIONS[self._precision], "PERFORMANCE_HINT": "LATENCY"}
        # Handed over in memory: written to disk and read again, it would take twice as long.
        with without_telemetry():
            model = self._openvino.convert_model(_trace(self._row, shape))
        return self._core.compile_model(model, "CPU", hints)


def _trace(row, shape):
    from transferkit._utils.tracing import trace  # TensorFlow is there wherever this engine is (`available_engines`)

    return trace(row, shape)


def first_model(scaling, preprocessing, size, image_format):
    """Chooses the first model of a front for images of one size: the one that has the least to do.

    Args:
        scaling: The backbone's input scaling, for images of the right size.
        preprocessing: The same after resizing.
        size: `(height, width)` of the images.
        image_format: The `ImageFormat` that the network takes.

    Returns:
        A `keras.Model`. All of them give the same, up to rounding.
    """
    (height, width), (new_height, new_width) = image_format.frame(size)[2:], image_format.image_size
    if tuple(size) == (new_height, new_width):
        return scaling
    is_small = height * width <= _WORTH_ENLARGING * new_height * new_width
    if is_small and height <= new_height and width <= new_width:
        return build_enlarging(scaling, size, image_format)
    return preprocessing


def build_enlarging(scaling, size, image_format):
    """Builds the model that enlarges images of one size by two matrix products, and scales them.

    The matrices are what `keras.ops.image.resize` makes of images with a single one in them, so the rule is the same,
    at its edges too. For small images the products are up to ten times faster than TensorFlow's resizing.

    Args:
        scaling: `keras.Model` for images of any size, which is called on the enlarged ones.
        size: `(height, width)` of the images, in pixels.
        image_format: The `ImageFormat` to bring them into.

    Returns:
        A `keras.Model`: `(batch, *size, channels)` to what `scaling` makes of `(batch, *image_format.shape)`.
    """
    (height, width), (new_height, new_width) = size, image_format.image_size
    top, left, framed_height, framed_width = image_format.frame(size)
    rows = _interpolation_matrix(height, top, framed_height, new_height, image_format.interpolation)
    columns = _interpolation_matrix(width, left, framed_width, new_width, image_format.interpolation)
    channels = image_format.channels
    # The channels of a pixel lie side by side, and each is resized in the same way.
    columns = np.kron(columns, np.eye(channels, dtype="float32"))
    pixels = keras.Input((height, width, channels), dtype="float32", name="pixels")
    is_padded = top < 0 or left < 0
    # Where the background is 0, an image that ends in it is one with the matrices cut off.
    background = np.array(image_format.background_levels, "float32")
    x = pixels - background if is_padded else pixels
    # A row of pixels is one vector, the colours side by side. Columns come first, while there are few rows.
    x = ops.matmul(ops.reshape(x, (-1, channels * width)), columns.T)
    x = ops.matmul(rows, ops.reshape(x, (-1, height, channels * new_width)))
    x = ops.reshape(x, (-1, *image_format.shape))
    return keras.Model(pixels, scaling(x + background if is_padded else x), name="preprocessing")


def _interpolation_matrix(length, start, framed_length, new_length, interpolation):
    """Matrix `(new_length, length)` that resizes a line of pixels, of which `framed_length` from `start` on count."""
    unit_lines = np.eye(framed_length, length, start, dtype="float32")  # one line in each channel
    resized = ops.image.resize(
        unit_lines.reshape(1, framed_length, 1, length),
        (new_length, 1),
        interpolation=interpolation,
        antialias=True,
        data_format="channels_last",
    )
    return ops.convert_to_numpy(resized).reshape(new_length, length)
