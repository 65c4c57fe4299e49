"""Networks for timing: their pretrained weights cannot be had everywhere, and the time does not depend on them.

    python benchmarks/_networks.py resnet50 resnet50.weights.h5

writes random weights, from which features of ordinary size come: He's initialisation, the first layer divided by the
spread of the pixels, and the statistics of BatchNorm those of a batch of images.
"""

import argparse
from pathlib import Path

import numpy as np
from _common import CIFAR10_MINI, run_fresh
from PIL import Image

LITE0 = "efficientnet_lite0"
PRETRAINED = "imagenet"
_IMAGES = 32
_SPREAD = 64  # of pixels, in gray levels


def find_weights(network, folder):
    """Returns the `weights` of a network: the bundled ones, or the path of a file in `folder` that is made now."""
    if network == LITE0:
        return PRETRAINED
    path = Path(folder, f"{network}.weights.h5")
    run_fresh(__file__, network, path)
    return path


def write_random_weights(name, path):
    """Builds a network of the registry with random weights and saves them."""
    import keras

    from transferkit import get_backbone

    keras.utils.set_random_seed(0)
    backbone = get_backbone(name)
    network = backbone.build(weights=None)
    draw_kernels(network)
    adapt_batch_norm(network, backbone.build_scaling()(read_images(backbone.image_size)))
    network.save_weights(path)


def read_images(size):
    """Some small images, enlarged."""
    paths = sorted((CIFAR10_MINI / "train").glob("*/*.png"))
    images = [Image.open(path).resize(size) for path in paths[:: len(paths) // _IMAGES]]
    return np.stack([np.asarray(image, "float32") for image in images[:_IMAGES]])


def draw_kernels(network):
    """Draws the kernels of all convolutions by He's initialisation, so that no layer makes its input smaller."""
    import keras

    scale = 1 / _SPREAD
    for seed, layer in enumerate(network.layers):
        if isinstance(layer, keras.layers.Conv2D):
            layer.kernel.assign(scale * keras.initializers.HeNormal(seed)(layer.kernel.shape))
            scale = 1


def adapt_batch_norm(network, inputs):
    """Sets the statistics of BatchNorm to those of one batch."""
    import keras

    layers = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    if not layers:
        return
    before = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    network(inputs, training=True)
    for layer, momentum in zip(layers, before, strict=True):
        layer.momentum = momentum


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network")
    parser.add_argument("path", type=Path)
    arguments = parser.parse_args()
    write_random_weights(arguments.network, arguments.path)
    print("null")
