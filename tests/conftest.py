"""Fixtures in layers: images → image_folder → tiny_backbone → fitted_classifier. Shared ones are never changed."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")

import warnings
from dataclasses import dataclass, field, fields, replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from PIL import Image

from transferkit import TransferClassifier
from transferkit._utils.console import Console, speaking_to
from transferkit.backbones.backbone import Backbone
from transferkit.backbones.custom import backbone_from_model
from transferkit.backbones.stages import Stage
from transferkit.data.inputs.convert import LABELLED, as_source
from transferkit.data.resizing import ImageFormat
from transferkit.frozen.compute import Compute
from transferkit.frozen.features import FrozenFeatures
from transferkit.models.assembly import build_components
from transferkit.models.heads import LOGISTIC
from transferkit.models.weights import capture
from transferkit.training.balance.methods import Balance
from transferkit.training.loop import Options, run_phases
from transferkit.training.settings import Settings
from transferkit.training.training_data import TrainingData

CLASS_NAMES = ("blue", "green", "red")
SIZE = (20, 24)
STAGES = (Stage("stage1"), Stage("stage2", "conv2"), Stage("stage3", "conv3"))
BENCH_SIZE = (16, 16)


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


def _network(batch_norm, dropout):
    image = keras.Input((*BENCH_SIZE, 3))
    x = layers.Rescaling(1 / 255)(image)
    for number, filters in enumerate((6, 8, 10), 1):
        x = layers.Conv2D(
            filters, 3, strides=2, use_bias=not batch_norm, kernel_initializer=_random(number), name=f"conv{number}"
        )(x)
        if batch_norm:
            x = layers.BatchNormalization(name=f"bn{number}")(x)
        x = layers.LeakyReLU(name=f"relu{number}")(x)
        if dropout:
            x = layers.Dropout(dropout, seed=number, name=f"dropout{number}")(x)
    return keras.Model(image, x, name="tiny")


@dataclass
class Bench:
    """A new classifier and what it takes to train it.

    Attributes:
        backbone: Its `Backbone`.
        components: Its `Components`.
        training_data: The `TrainingData`: 24 images to train on, 12 to validate.
        said: What the console was told.
    """

    backbone: Backbone
    components: object
    training_data: TrainingData
    said: list[str] = field(default_factory=list)

    @property
    def console(self):
        """A console whose notes are kept in `said`."""
        # A loaded machine may take longer for a step than the second from which on it leaves a line.
        console = Console(0, patience=float("inf"))
        console.note = self.said.append
        return console

    def train(self, *phases, optimizer="sgd", callbacks=(), cache=False, **options):
        """Runs phases and returns the `Record`. `cache` may also be a dict of settings of `FrozenFeatures`."""
        settings = self.settings(**(cache if isinstance(cache, dict) else {"cache": cache}))
        fronts = FrozenFeatures(self.components, settings, 36)
        training_data = replace(self.training_data, augmenter_for=settings.augmenter_for)
        task, scales_loss = training_data.training.task, options.pop("loss_scaling", False)
        chosen = Options(optimizer, tuple(callbacks), task=task, scales_loss=scales_loss)
        with speaking_to(self.console):
            fronts.plan(phases, training_data)
            return run_phases(list(phases), self.components, training_data, STAGES, chosen, fronts=fronts, **options)

    def settings(self, **options):
        """`Settings` for this classifier; options of `Compute` may be among them."""
        training_data = self.training_data
        names = [field.name for field in fields(Compute)]
        compute = {"precision": "float32", "engine": "keras", "cache": "memory"}
        compute |= {name: options.pop(name) for name in names if name in options}
        known = {
            "backbone": self.backbone,
            "image_format": training_data.image_format,
            "compute": Compute(**compute),
            "options": Options(),
            "batch_size": training_data.batch_size,
            "seed": training_data.seed,
            "validation_split": 0.2,
            "class_weight": None,
            "balance": Balance(),
            "augmenter": None,
            "augments_heads": False,
        }
        return Settings(**known | options)

    def weights(self):
        """Weights by path: those of the backbone, then those of the head."""
        return {weight.path: weight.numpy() for model in self.components.models for weight in model.weights}

    def captured(self):
        """Weights as a list."""
        return capture(self.components.models)

    def validation_loss(self):
        """Log loss and accuracy of the whole classifier on the validation images."""
        source = self.training_data.validation
        probabilities = self.components.whole.predict(source.images, verbose=0)
        loss = -np.log(probabilities[np.arange(len(source)), source.labels]).mean()
        return loss, (probabilities.argmax(axis=1) == source.labels).mean()


def _sources():
    rng = np.random.default_rng(0)
    labels = np.arange(36) % 3
    pixels = rng.integers(0, 120, (36, *BENCH_SIZE, 3))
    pixels[np.arange(36), ..., labels] += 80
    pixels = pixels.astype("uint8")
    return as_source(pixels[:24], labels[:24], label_rule=LABELLED), as_source(
        pixels[24:], labels[24:], label_rule=LABELLED
    )


@pytest.fixture(scope="session")
def make_bench():
    """A function that makes a `Bench`; its arguments say what is special about it."""
    training, validation = _sources()

    def make(*, batch_norm=True, dropout=0.0, head=LOGISTIC, network=None, seed=0, **options):
        backbone = backbone_from_model(network or _network(batch_norm, dropout), stages=STAGES)
        components = build_components(backbone, backbone.build(), ImageFormat(BENCH_SIZE), head, 3, seed)
        settings = {"image_format": ImageFormat(BENCH_SIZE), "batch_size": 8, "seed": seed} | options
        return Bench(backbone, components, TrainingData(**{"training": training, "validation": validation} | settings))

    return make


@pytest.fixture
def eagerly():
    """Trains without tracing, which would take longer than the few steps themselves."""
    tf.config.run_functions_eagerly(True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Even though the `tf.config.experimental_run_functions_eagerly`", UserWarning)
        yield
    tf.config.run_functions_eagerly(False)
