"""A tiny classifier taken apart, images to train it on, and a function that runs phases."""

import warnings
from dataclasses import dataclass, field, replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from transferkit._utils.console import Console
from transferkit.backbones.custom import backbone_from_model
from transferkit.backbones.stages import Stage
from transferkit.data.inputs.convert import as_source
from transferkit.data.resizing import ImageFormat
from transferkit.models.assembly import build_parts
from transferkit.models.heads import LOGISTIC
from transferkit.models.weights import capture
from transferkit.training.fronts import Fronts
from transferkit.training.loop import Options, run_phases
from transferkit.training.material import Material
from transferkit.training.parameters import Settings

STAGES = (Stage("stage1"), Stage("stage2", "conv2"), Stage("stage3", "conv3"))
SIZE = (16, 16)


def _random(seed):
    return keras.initializers.RandomNormal(stddev=0.3, seed=seed)


def _network(batch_norm, dropout):
    image = keras.Input((*SIZE, 3))
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
        parts: Its `Parts`.
        material: The `Material`: 24 images to train on, 12 to validate.
        said: What the console was told.
    """

    parts: object
    material: Material
    said: list[str] = field(default_factory=list)

    @property
    def console(self):
        """A console whose notes are kept in `said`."""
        console = Console(0)
        console.note = self.said.append
        return console

    def train(self, *phases, optimizer="sgd", callbacks=(), accumulation_steps=None, cache=False, **options):
        """Runs phases and returns the `Record`. `cache` may also be a dict of settings of `Fronts`."""
        settings = self.settings(**(cache if isinstance(cache, dict) else {"cache": cache}))
        fronts = Fronts(self.parts, settings, self.console, 36)
        material = replace(self.material, augmenter_for=settings.augmenter_for)
        fronts.plan(phases, material)
        is_multilabel = material.training.is_multilabel
        chosen = Options(optimizer, accumulation_steps, tuple(callbacks), is_multilabel=is_multilabel)
        return run_phases(
            list(phases), self.parts, material, STAGES, chosen, console=self.console, fronts=fronts, **options
        )

    def settings(self, **options):
        """`Settings` for this classifier."""
        material = self.material
        known = {
            "name": "tiny", "stages": STAGES, "image_format": material.image_format,
            "batch_size": material.batch_size, "seed": material.seed, "validation_split": 0.2,
            "class_weight": None, "balance": None, "precision": "float32", "engine": "keras", "cache": "memory",
            "cache_dir": None, "views": "auto", "augmenter": None, "augments_heads": False, "options": Options(),
        }  # fmt: skip
        return Settings(**known | options)

    def weights(self):
        """Weights by path: those of the backbone, then those of the head."""
        return {weight.path: weight.numpy() for model in self.parts.models for weight in model.weights}

    def captured(self):
        """Weights as a list."""
        return capture(self.parts.models)

    def validation_loss(self):
        """Log loss and accuracy of the whole classifier on the validation images."""
        source = self.material.validation
        probabilities = self.parts.whole.predict(source.images, verbose=0)
        loss = -np.log(probabilities[np.arange(len(source)), source.labels]).mean()
        return loss, (probabilities.argmax(axis=1) == source.labels).mean()


def _sources():
    rng = np.random.default_rng(0)
    labels = np.arange(36) % 3
    pixels = rng.integers(0, 120, (36, *SIZE, 3))
    pixels[np.arange(36), ..., labels] += 80
    pixels = pixels.astype("uint8")
    return as_source(pixels[:24], labels[:24], needs_labels=True), as_source(
        pixels[24:], labels[24:], needs_labels=True
    )


@pytest.fixture(scope="session")
def make_bench():
    """A function that makes a `Bench`; its arguments say what is special about it."""
    training, validation = _sources()

    def make(*, batch_norm=True, dropout=0.0, head=LOGISTIC, network=None, seed=0, **options):
        backbone = backbone_from_model(network or _network(batch_norm, dropout), stages=STAGES)
        parts = build_parts(backbone, backbone.build(), ImageFormat(SIZE), head, 3, seed)
        settings = {"image_format": ImageFormat(SIZE), "batch_size": 8, "seed": seed} | options
        return Bench(parts, Material(**{"training": training, "validation": validation} | settings))

    return make


@pytest.fixture
def eagerly():
    """Trains without tracing, which would take longer than the few steps themselves."""
    tf.config.run_functions_eagerly(True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Even though the `tf.config.experimental_run_functions_eagerly`", UserWarning)
        yield
    tf.config.run_functions_eagerly(False)
