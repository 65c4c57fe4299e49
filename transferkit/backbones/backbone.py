"""What the library knows about one pretrained network."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras

from transferkit._utils import console
from transferkit._utils.quiet import warnings_filtered
from transferkit.backbones.channels import with_channels
from transferkit.backbones.converted import ConvertedWeights, load_named_weights
from transferkit.backbones.preprocessing import Scaling, build_preprocessing, check_scaling
from transferkit.backbones.stages import Stage
from transferkit.exceptions import WeightsUnavailableError

BUNDLED = "efficientnet_lite0"


@dataclass(frozen=True)
class Backbone:
    """A pretrained network as data: how to build it, what it expects, and how it is divided.

    Args:
        name: Name in the registry.
        builder: `builder(input_shape=(height, width, channels), weights=None | "imagenet")` returns the network without
            its classifier, as a functional `keras.Model`.
        image_size: `(height, width)` it was trained at, in pixels.
        scaling: Input scaling it was trained with; see `build_preprocessing`.
        stages: Its stages, from the image to the features. They cover every weight once.
        min_image_size: Smallest height and width it takes, in pixels.
        num_parameters: Number of weights without the classifier.
        imagenet_top1: Published ImageNet top-1 accuracy of the weights, in percent, or `None`.
        license: SPDX identifier of the licence of the weights.
        paper: Reference to the paper.
        weights_origin: Where the weights come from.
        weights_file: File that Keras keeps the weights in, without the classifier.
        weights_hash: Its MD5 or SHA-256 as Keras publishes it, or `None` where it publishes none.
        channels: Number of channels of the images it takes. One for RGB, which all others are, can be adapted.
        is_fine_tuned: Whether its weights have been trained on images of some classifier already; see `check_is_fresh`.
        converted: A file of the same weights, for where Keras cannot download its own, or `None`.
    """

    name: str
    builder: Callable[..., keras.Model] = field(repr=False)
    image_size: tuple[int, int]
    scaling: Scaling
    stages: tuple[Stage, ...] = field(repr=False)
    min_image_size: int = 32
    num_parameters: int | None = None
    imagenet_top1: float | None = None
    license: str = "unknown"
    paper: str = ""
    weights_origin: str = ""
    weights_file: str | None = None
    weights_hash: str | None = None
    channels: int = 3
    is_fine_tuned: bool = False
    converted: ConvertedWeights | None = None

    def __post_init__(self):
        check_scaling(self.scaling)

    def check_image_size(self, image_size: tuple[int, int]) -> None:
        """Raises `ValueError` if images of `image_size` are too small for this network."""
        if min(image_size) < self.min_image_size:
            raise ValueError(
                f"`image_size` is too small for backbone {self.name!r}. Received: {tuple(image_size)}. "
                f"Expected at least {self.min_image_size} pixels on each side."
            )

    def check_is_fresh(self) -> None:
        """Raises `ValueError` if training would begin with weights that may have seen the images already.

        That is the case for a backbone of the user that comes out of the file of a fine-tuned classifier: the file has
        the network as it is now and not as it was before.
        """
        if self.is_fine_tuned:
            raise ValueError(
                f"Backbone {self.name!r} comes from the file of a classifier that fine-tuned it, and has the weights "
                "after that only: they have seen images, so that neither training nor cross-validation would start "
                "anew. Give `backbone` the network from before, as in `set_params(backbone=...)`. To go on from these "
                "weights all the same, give `dataclasses.replace(clf.backbone_, is_fine_tuned=False)`."
            )

    def build_preprocessing(self, image_size: tuple[int, int] | None = None, **options: Any) -> keras.Model:
        """Builds the model from raw pixels of any size to what this network expects.

        Args:
            image_size: `(height, width)` in pixels; default: the size it was trained at.
            **options: `resize`, `background` and `channels`; see
                `transferkit.backbones.preprocessing.build_preprocessing`.
        """
        return build_preprocessing(self.scaling, image_size or self.image_size, **options)

    def build_scaling(self, channels: int = 3) -> keras.Model:
        """Builds the same for images that have the right size already: scaling alone, without resizing."""
        return build_preprocessing(self.scaling, None, channels=channels)

    def build(
        self,
        image_size: tuple[int, int] | None = None,
        weights: str | os.PathLike | None = "imagenet",
        channels: int | None = None,
    ) -> keras.Model:
        """Builds the network, without its classifier and without input scaling.

        Args:
            image_size: `(height, width)` in pixels; default: the size it was trained at.
            weights: `"imagenet"`, the path of a weights file without classifier, or `None` for random weights.
            channels: Number of channels of the images; see `transferkit.backbones.channels.with_channels`. Those of
                one channel, which the preprocessing makes RGB, need no other network. Default: its own.

        Returns:
            A functional `keras.Model` named `"backbone"`.

        Raises:
            WeightsUnavailableError: If the weights are not here and cannot be downloaded.
            FileNotFoundError: If `weights` is a path that does not exist.
            OSError: If a weights file of ours is damaged, or another file.
            ValueError: If the file does not fit the network, `image_size` is too small for it, or it cannot take images
                with that number of channels.
        """
        image_size = image_size or self.image_size
        self.check_image_size(image_size)
        self.check_channels(channels)
        if weights == "imagenet":
            model = self._build_pretrained(image_size)
        else:
            path = _existing_file(weights)
            model = self.builder(input_shape=(*image_size, self.channels), weights=None)
            if path is not None:
                _load_weights(model, path, self.name)
        if channels not in (None, self.channels, 1):
            model = with_channels(model, channels)
        return self._rename(model)

    def check_channels(self, channels: int | None) -> None:
        """Raises `ValueError` if this network cannot take images of `channels` channels."""
        if self.channels != 3 and channels not in (None, self.channels):
            raise ValueError(
                f"Backbone {self.name!r} takes images of {self.channels} channels. Received: channels={channels!r}. "
                f"Give `channels={self.channels}` in an `ImageFormat`: only backbones for RGB images can be adapted."
            )

    def _build_pretrained(self, image_size):
        try:
            return self.builder(input_shape=(*image_size, self.channels), weights="imagenet")
        except WeightsUnavailableError:
            raise
        except Exception as error:  # Keras raises a bare Exception when a download fails
            if not re.search("URL fetch failure|Incomplete or corrupted", str(error)):
                raise
            if self.converted is None or not self.converted.path.exists():
                raise WeightsUnavailableError(self._download_advice(error)) from error
        return self._build_converted(image_size)

    def _build_converted(self, image_size):
        arrays = self.converted.read()
        model = self.builder(input_shape=(*image_size, self.channels), weights=None)
        load_named_weights(model, arrays)
        console.note(
            f"Keras could not download its ImageNet weights of {self.name!r}, so those that `{self.converted.command}` "
            f"made are used: {self.converted.path}"
        )
        return model

    def _download_advice(self, error):
        folder = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "models"
        # For some sizes MobileNets have a file of their own: the address in Keras' message is right for all.
        address = re.search(r"URL fetch failure on (\S+):", str(error))
        file = address[1].rsplit("/", 1)[-1] if address else self.weights_file
        digest = self.weights_hash if file == self.weights_file else None
        made = f"`{self.converted.command}` in a checkout of transferkit makes them here.\n" if self.converted else ""
        return (
            f"The ImageNet weights of {self.name!r} could not be downloaded: {error}\n"
            f"  file:          {file}\n"
            f"  expected hash: {digest or '(Keras publishes none for this file)'}\n"
            f"Fetch that file on a connected machine and put it into {folder}, or pass its path as `weights=`.\n"
            f"{made}"
            f"Without a network, {BUNDLED!r} has its ImageNet weights in the package; "
            "`weights=None` starts from random weights."
        )

    @staticmethod
    def _rename(model):
        model.name = "backbone"
        return model


def name_key(name):
    """Returns what counts in a name: `EfficientNetB0`, `efficientnet-b0` and `efficientnet_b0` are one backbone."""
    return re.sub("[^a-z0-9]", "", name.lower())


def _existing_file(weights):
    if weights is None:
        return None
    path = Path(weights)
    if not path.is_file():
        raise FileNotFoundError(
            f"`weights` is not a file. Received: weights={str(weights)!r}. "
            "Expected 'imagenet', None (random weights) or the path of a weights file."
        )
    return path


def _load_weights(model, path, name):
    try:
        # Keras warns of weights that stay random, and then refuses such a file anyway.
        with warnings_filtered(("ignore", Warning, "Skipping nested container")):
            model.load_weights(path)
    except (ValueError, OSError, KeyError) as error:
        raise ValueError(
            f"The weights in {str(path)!r} do not fit backbone {name!r} without its classifier "
            f"({model.count_params():,} parameters): {error}"
        ) from error
