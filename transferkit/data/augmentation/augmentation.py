"""Random changes of training images, in the input pipeline: whole batches at a time, repeatable from a seed."""

import math
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any

import tensorflow as tf

from transferkit.data.augmentation.sources import KerasLayers, is_image_data_generator, layers_in, translate_generator
from transferkit.data.augmentation.transforms import (
    FILL_MODES,
    INTERPOLATIONS,
    FillMode,
    Interpolation,
    Parameters,
    transform_images,
)

_LARGEST = {"rotation": 360, "shear": 89, "hue": 180, "channel_shift": 255, "fill_value": 255}
_SHIFTS = ("width_shift", "height_shift")
_RANGES = ("zoom", "brightness", "contrast", "saturation")
_SWITCHES = ("horizontal_flip", "vertical_flip", "keep_aspect")
_CHOICES = {"fill_mode": FILL_MODES, "interpolation": INTERPOLATIONS}

# Each draw has its own column of random numbers, so that switching one on leaves the others as they were.
_DRAWS = (
    "rotation",
    "width_shift",
    "width_shift sign",
    "height_shift",
    "height_shift sign",
    "shear",
    "zoom_x",
    "zoom_y",
    "horizontal_flip",
    "vertical_flip",
    "hue",
    "saturation",
    "contrast",
    "channel_shift",
    "brightness",
)


@dataclass(frozen=True)
class Augmentation:
    """How training images are varied, each by draws of its own. The defaults leave them as they are.

    All that moves pixels is composed into one transformation about the centre of the image, with one interpolation;
    all that changes colours into one matrix, with one clipping. The order is rotation, shift, shear, zoom, flips, hue,
    saturation, contrast, channel shift, brightness. Hue and saturation keep the luma of each pixel; saturation,
    contrast and brightness mean the same as in Pillow's `ImageEnhance`.

    Args:
        rotation: Largest angle in degrees, in `[0, 360]`; drawn uniformly, in both directions.
        width_shift: Shift to the left or right, in the forms that `ImageDataGenerator` takes. A float below 1: largest
            part of the width; from 1 on: largest number of pixels. An int `n`: one of `-(n-1), …, n-1` whole pixels. A
            sequence: one of these, with a random sign; parts of the width if all are below 1, pixels if not.
        height_shift: The same, up or down.
        shear: Largest angle in degrees, in `[0, 89]`.
        zoom: `(low, high)` of the part of each side that is seen: 0.8 enlarges, 1.2 leaves room at the edges.
        keep_aspect: Whether one zoom is drawn for both sides, or one for each.
        horizontal_flip: Whether left and right change places in half of the images.
        vertical_flip: Whether top and bottom change places in half of the images.
        brightness: `(low, high)` of a factor of all channels.
        contrast: `(low, high)` of a factor of the distance from the image's mean luma.
        saturation: `(low, high)` of a factor of the distance from gray.
        hue: Largest angle in degrees by which the colours turn, in `[0, 180]`.
        channel_shift: Largest number of gray levels added to all channels alike or taken from them, in `[0, 255]`.
        fill_mode: What is seen outside the image: `"nearest"`, its edge; `"constant"`, `fill_value`; `"reflect"`, its
            mirror image; `"wrap"`, the image again, with a period of one pixel less than its side, as in SciPy.
        fill_value: Gray level for `fill_mode="constant"`, in `[0, 255]`.
        interpolation: `"bilinear"` or `"nearest"`.

    Raises:
        ValueError: If a value is outside its range.
        TypeError: If it is of another kind.

    Example:
        >>> augmentation = Augmentation(rotation=10, zoom=(0.8, 1.0), horizontal_flip=True)
        >>> augmentation.augment(tf.zeros((2, 8, 9, 3)), key=[7, 0]).shape
        TensorShape([2, 8, 9, 3])
    """

    rotation: float = 0.0
    width_shift: float | tuple[float, ...] = 0.0
    height_shift: float | tuple[float, ...] = 0.0
    shear: float = 0.0
    zoom: tuple[float, float] = (1.0, 1.0)
    keep_aspect: bool = True
    horizontal_flip: bool = False
    vertical_flip: bool = False
    brightness: tuple[float, float] = (1.0, 1.0)
    contrast: tuple[float, float] = (1.0, 1.0)
    saturation: tuple[float, float] = (1.0, 1.0)
    hue: float = 0.0
    channel_shift: float = 0.0
    fill_mode: FillMode = "nearest"
    fill_value: float = 0.0
    interpolation: Interpolation = "bilinear"

    is_stateless = True  # batches may be augmented side by side, in any order, and come out the same

    def __post_init__(self):
        for name, largest in _LARGEST.items():
            if not 0 <= _number(name, getattr(self, name)) <= largest:
                raise _error(ValueError, name, f"between 0 and {largest}", getattr(self, name))
        for name in _SHIFTS:
            object.__setattr__(self, name, _checked_shift(name, getattr(self, name)))
        for name in _RANGES:
            object.__setattr__(self, name, _checked_range(name, getattr(self, name)))
        for name in _SWITCHES:
            if not isinstance(getattr(self, name), bool):
                raise _error(TypeError, name, "True or False", getattr(self, name))
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise _error(ValueError, name, f"one of {', '.join(map(repr, choices))}", getattr(self, name))

    @tf.autograph.experimental.do_not_convert
    def augment(self, images: tf.Tensor, key: Any) -> tf.Tensor:
        """Augments a batch. The same key gives the same images, wherever and whenever it is done.

        Args:
            images: `(batch, height, width, channels)` float32 in `[0, 255]`.
            key: Two integers, other ones for each batch.

        Returns:
            Tensor of the same shape, clipped to `[0, 255]`; the images themselves if nothing is asked for.
        """
        images = tf.cast(images, tf.float32)
        uniform = tf.random.stateless_uniform((tf.shape(images)[0], len(_DRAWS)), tf.cast(key, tf.int64))
        parameters = self._parameters(images, dict(zip(_DRAWS, tf.unstack(uniform, axis=1), strict=True)))
        return transform_images(images, parameters, self.fill_mode, self.fill_value, self.interpolation)

    def _parameters(self, images, uniform):
        """Makes the `Parameters` of each image of random numbers in [0, 1), one array for each draw."""
        height, width = tf.unstack(tf.shape(images)[1:3])
        symmetric = [name for name in ("rotation", "shear", "hue", "channel_shift") if getattr(self, name)]
        drawn = {name: getattr(self, name) * (2 * uniform[name] - 1) for name in symmetric}
        drawn |= {name: uniform[name] < 0.5 for name in ("horizontal_flip", "vertical_flip") if getattr(self, name)}
        for name, side in zip(_SHIFTS, (width, height), strict=True):
            if (shift := getattr(self, name)) != 0:
                drawn[name] = _shift(shift, side, uniform[name], uniform[f"{name} sign"])
        columns = {name: name for name in _RANGES[1:]} | {"zoom_x": "zoom", "zoom_y": "zoom"}
        for name, field in columns.items():
            if (bounds := getattr(self, field)) != (1, 1):
                column = "zoom_x" if name == "zoom_y" and self.keep_aspect else name
                drawn[name] = bounds[0] + (bounds[1] - bounds[0]) * uniform[column]
        return Parameters(**drawn)


def _shift(shift, side, uniform, sign):
    """Draws shifts in pixels, for the three forms that a shift may have."""
    if isinstance(shift, tuple):
        chosen = tf.gather(tf.constant(shift, tf.float32), tf.cast(uniform * len(shift), tf.int32))
        pixels = tf.where(sign < 0.5, -chosen, chosen)
    elif isinstance(shift, int):
        chosen = tf.floor(uniform * shift)
        return tf.where(sign < 0.5, -chosen, chosen)
    else:
        pixels = shift * (2 * uniform - 1)
    is_part = max(shift if isinstance(shift, tuple) else (shift,)) < 1
    return pixels * tf.cast(side, tf.float32) if is_part else pixels


def _checked_shift(name, value):
    if isinstance(value, list | tuple) and value:
        return tuple(abs(float(_number(name, item))) for item in value)
    if _number(name, value) < 0:
        raise _error(ValueError, name, "at least 0", value)
    return int(value) if isinstance(value, Integral) else float(value)


def _checked_range(name, value):
    if not isinstance(value, list | tuple) or len(value) != 2:
        advice = f". Did you mean {name}=({1 - value:g}, {1 + value:g})?" if isinstance(value, Real) else ""
        raise _error(TypeError, name, "a pair (low, high)", value, advice)
    low, high = (float(_number(name, item)) for item in value)
    if not 0 <= low <= high:
        raise _error(ValueError, name, "a pair with 0 <= low <= high", value)
    return low, high


def _number(name, value):
    if not isinstance(value, Real) or isinstance(value, bool):
        raise _error(TypeError, name, "a number", value)
    if not math.isfinite(value):
        raise _error(ValueError, name, "finite", value)
    return value


def _error(kind, name, expected, value, advice="."):
    return kind(f"`{name}` must be {expected}. Received: {name}={value!r}{advice}")


STRENGTHS = {
    "light": Augmentation(
        width_shift=0.05,
        height_shift=0.05,
        zoom=(0.9, 1.05),
        horizontal_flip=True,
        fill_mode="reflect",
    ),
    "medium": Augmentation(
        rotation=10,
        width_shift=0.1,
        height_shift=0.1,
        zoom=(0.75, 1.1),
        horizontal_flip=True,
        brightness=(0.8, 1.2),
        contrast=(0.8, 1.2),
        saturation=(0.8, 1.2),
        fill_mode="reflect",
    ),
    "strong": Augmentation(
        rotation=20,
        width_shift=0.15,
        height_shift=0.15,
        shear=10,
        zoom=(0.6, 1.2),
        horizontal_flip=True,
        brightness=(0.65, 1.35),
        contrast=(0.65, 1.35),
        saturation=(0.5, 1.5),
        hue=15,
        fill_mode="reflect",
    ),
}


def as_augmentation(value, seed=0, channels=3):
    """Turns what a user gives for augmentation into what augments batches.

    Args:
        value: `None`; `"light"`, `"medium"` or `"strong"`; an `Augmentation`; an `ImageDataGenerator`, whose arguments
            are translated one by one; or a Keras layer or a list of them, which are copied.
        seed: Seed of the draws of Keras layers. Everything else depends on the keys of the batches alone.
        channels: Number of channels of the images. Hue and saturation are left out of the named ones if they are not
            RGB.

    Returns:
        `(augmenter, notes)`. The augmenter has `augment(images, key)` and `is_stateless`; where that is `False`, runs
        repeat only if batches are augmented one at a time. It is `None` if there is nothing to do. Notes are sentences
        about what was translated with a difference.

    Raises:
        ValueError: If the name is unknown, or if something scales pixels, which the model does itself, or needs
            RGB where there are other channels.
        TypeError: If it is of another kind.
    """
    augmenter, notes = value, ()
    if isinstance(value, str):
        augmenter = _of_strength(value, is_rgb=channels == 3)
    elif is_image_data_generator(value):
        arguments, notes = translate_generator(value)
        augmenter = Augmentation(**arguments)
    elif layers := layers_in(value):
        augmenter = KerasLayers(layers, seed)
    elif not (value is None or isinstance(value, Augmentation | KerasLayers)):
        raise TypeError(
            f"`augmentation` must be None, one of {', '.join(map(repr, STRENGTHS))}, an `Augmentation`, an "
            "`ImageDataGenerator`, a Keras layer or a list of Keras layers. "
            f"Received: {value!r} of type {type(value).__name__}."
        )
    if channels != 3:
        _check_needs_no_rgb(augmenter, channels)
    return augmenter, notes


def mirrors_images(augmenter):
    """Whether what `as_augmentation` gave has left and right change places."""
    if isinstance(augmenter, KerasLayers):
        return any("horizontal" in str(getattr(layer, "mode", "")) for layer in augmenter.layers)
    return augmenter is not None and bool(augmenter.horizontal_flip)


def _of_strength(name, is_rgb):
    if name not in STRENGTHS:
        names = ", ".join(map(repr, STRENGTHS))
        raise ValueError(f"Unknown `augmentation`. Expected one of {names}. Received: augmentation={name!r}.")
    return STRENGTHS[name] if is_rgb else replace(STRENGTHS[name], hue=0.0, saturation=(1.0, 1.0))


def _check_needs_no_rgb(augmenter, channels):
    if isinstance(augmenter, Augmentation) and (augmenter.hue or augmenter.saturation != (1.0, 1.0)):
        raise ValueError(
            "`hue` and `saturation` of an `Augmentation` need RGB images. "
            f"Received: channels={channels}. Leave them out."
        )
    if isinstance(augmenter, KerasLayers) and augmenter.needs_rgb:
        raise ValueError(
            f"{' and '.join(augmenter.needs_rgb)} in `augmentation` need RGB images. Received: channels={channels}."
        )
