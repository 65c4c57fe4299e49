"""Models in a row as one compiled function, for computing only."""

import keras
import numpy as np
from keras import ops

from transferkit.models.folding import fold_batch_norm
from transferkit.models.precision import computing_in

_CONSTANT_BYTES = 1 << 30  # of weights that may be constants: a graph of TensorFlow's must stay below 2 GB


class Front(keras.Model):
    """Models in a row, with their weights of the moment as constants.

    Only then TensorFlow's graph optimiser fuses a convolution with its bias and activation.

    Args:
        models: `keras.Model`s in a row.
        precision: What the layers compute in; the output is float32.
    """

    def __init__(self, models, precision):
        super().__init__()
        weights = [weight for model in models for weight in model.weights]
        as_constants = sum(weight.numpy().nbytes for weight in weights) <= _CONSTANT_BYTES
        snapshot = [(weight, weight.numpy() if as_constants else weight.value) for weight in weights]
        self._run = lambda images: _run(models, precision, snapshot, images)  # untracked, unlike a list of models
        self._output_shape = models[-1].output_shape
        self.precision = precision
        self.engine = "keras"
        self.built = True
        self.compile(jit_compile=False)

    @property
    def output_shape(self):
        """Shape of the output, as of a functional model."""
        return self._output_shape

    def call(self, images):
        """Computes the output of the last model."""
        return self._run(images)


def _run(models, precision, snapshot, images):
    x = ops.cast(images, "float32")
    with keras.StatelessScope(state_mapping=snapshot):
        for model in models:
            with computing_in(model, precision):
                x = model(x, training=False)
    return ops.cast(x, "float32")


def compile_front(models, *, precision="float32", engine="keras", batch_size=32):
    """Compiles models in a row.

    Args:
        models: `keras.Model`s, such as scaling, network and pooling. They are not changed, and their weights are those
            of now: later changes of them are not seen.
        precision: `"float32"`, `"bfloat16"` or `"float16"`.
        engine: `"keras"` or `"openvino"`.
        batch_size: Images a batch.

    Returns:
        A `Front`, or something that is called like one: a batch of images to float32 values.
    """
    return Front([fold_batch_norm(model) for model in models], precision)


def first_model(scaling, preprocessing, size, image_size, interpolation):
    """Chooses what brings images of one size to what a network expects.

    Args:
        scaling: Model for images of the right size.
        preprocessing: Model for images of any size.
        size: `(height, width)` of the images that will come.
        image_size: `(height, width)` of those that the network takes.
        interpolation: How images are resized.

    Returns:
        A `keras.Model`.
    """
    if tuple(size) == tuple(image_size):
        return scaling
    if size[0] <= image_size[0] and size[1] <= image_size[1]:
        return build_enlarging(scaling, size, image_size, interpolation)
    return preprocessing


def build_enlarging(scaling, size, image_size, interpolation):
    """Builds a model that enlarges small images of one size by two matrix products, one for each axis.

    TensorFlow's own operation is slow on few channels and runs on CPUs only. The matrices are what that operation makes of
    single pixels, so that the rule is the same.

    Args:
        scaling: Model that follows.
        size: `(height, width)` of the images.
        image_size: `(height, width)` that they get.
        interpolation: As in `keras.ops.image.resize`; always antialiased.

    Returns:
        A `keras.Model` from `(batch, *size, 3)` to what `scaling` gives.
    """
    images = keras.Input((*size, 3), name="pixels")
    rows, columns = (_matrix(*sides, interpolation) for sides in zip(size, image_size, strict=True))
    enlarged = ops.einsum("oh,bhwc,pw->bopc", rows, images, columns)
    return keras.Model(images, scaling(enlarged), name="preprocessing")


def _matrix(old, new, interpolation):
    """What each of `new` pixels takes from each of `old` ones along an axis."""
    single = np.eye(old, dtype="float32")[:, :, None, None]  # `old` images, in each of which one pixel is 1
    resized = ops.image.resize(single, (new, 1), interpolation=interpolation, antialias=True)
    return ops.convert_to_numpy(resized)[:, :, 0, 0].T
