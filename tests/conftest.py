"""Fixtures in layers: images → image_folder → tiny_backbone → fitted_classifier. Shared ones are never changed."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")

import keras
import numpy as np
import pytest
from PIL import Image

from transferkit import TransferClassifier, backbone_from_model
from transferkit._utils.console import Console

CLASS_NAMES = ("blue", "green", "red")
SIZE = (20, 24)


@pytest.fixture(scope="session")
def labels():
    """Eight images a class, in turn."""
    return np.array([CLASS_NAMES[i % 3] for i in range(24)])


@pytest.fixture(scope="session")
def images(labels):
    """Noisy images, each with one channel brighter than the others: `(24, 20, 24, 3)` uint8."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 120, (len(labels), *SIZE, 3))
    for image, label in zip(pixels, labels, strict=True):
        image[..., 2 - CLASS_NAMES.index(label)] += 100
    return pixels.astype("uint8")


@pytest.fixture(scope="session")
def image_folder(images, labels, tmp_path_factory):
    """The same images as a class folder of PNG files, named by their position."""
    folder = tmp_path_factory.mktemp("images")
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        (folder / label).mkdir(exist_ok=True)
        Image.fromarray(image).save(folder / label / f"{number:02d}.png")
    return folder


@pytest.fixture(scope="session")
def image_paths(image_folder, labels):
    """Paths of those files, in the order of `images`."""
    return [str(image_folder / label / f"{number:02d}.png") for number, label in enumerate(labels)]


@pytest.fixture(scope="session")
def tiny_network():
    """Three layers with weights, BatchNorm among them, for pixels in `[0, 255]`."""
    image = keras.Input((16, 16, 3))
    x = keras.layers.Rescaling(1 / 255)(image)
    x = keras.layers.Conv2D(8, 3, strides=2, use_bias=False, kernel_initializer=_random(0), name="conv1")(x)
    x = keras.layers.BatchNormalization(name="bn1")(x)
    x = keras.layers.ReLU(name="relu1")(x)
    x = keras.layers.Conv2D(12, 3, strides=2, activation="relu", kernel_initializer=_random(1), name="conv2")(x)
    return keras.Model(image, x, name="tiny")


def _random(seed):
    return keras.initializers.RandomNormal(stddev=0.3, seed=seed)


@pytest.fixture(scope="session")
def tiny_backbone(tiny_network):
    """The tiny network as a `Backbone`."""
    return backbone_from_model(tiny_network)


@pytest.fixture(scope="session")
def fitted_classifier(tiny_backbone, images, labels):
    """The default classifier on the tiny backbone."""
    return TransferClassifier(tiny_backbone, verbose=0).fit(images, labels)


@pytest.fixture
def quiet():
    """A console that says nothing."""
    return Console(0)


@pytest.fixture(scope="session")
def in_fresh_process():
    """Runs Python code in a new process and returns what it printed."""
    import subprocess
    import sys

    def run(code, *arguments):
        command = [sys.executable, "-c", code, *map(str, arguments)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        return result.stdout

    return run
