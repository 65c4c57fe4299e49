"""Input scaling: the factor and offset that each pretrained network expects its pixels to be scaled by."""

from typing import Literal

import keras
import numpy as np

# Mean and standard deviation of the ImageNet training pixels, RGB, as fractions of 255 ("torch") and
# mean in BGR pixel units ("caffe"): the constants the published weights were trained with.
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_CAFFE_MEAN_BGR = (103.939, 116.779, 123.68)


def _rescaling(scale, offset):
    # A `Normalization` layer with given numbers could not be exported to ONNX.
    return keras.layers.Rescaling(scale, offset, name="scaling")


def _scale_none(pixels):
    return pixels


def _scale_tf(pixels):
    return _rescaling(1 / 127.5, -1.0)(pixels)


def _scale_torch(pixels):
    scale = [1 / (255 * std) for std in IMAGENET_STD]
    offset = [-mean / std for mean, std in zip(_IMAGENET_MEAN, IMAGENET_STD, strict=True)]
    return _rescaling_of_rgb(scale, offset, pixels)(pixels)


def _scale_caffe(pixels):
    pixels = keras.ops.flip(pixels, axis=-1) if pixels.shape[-1] == 3 else pixels
    return _rescaling_of_rgb(1.0, [-mean for mean in _CAFFE_MEAN_BGR], pixels)(pixels)


def _rescaling_of_rgb(scale, offset, pixels):
    """Scales each colour by its own numbers; channels that are not RGB all by their mean."""
    if pixels.shape[-1] != 3:
        scale, offset = float(np.mean(scale)), float(np.mean(offset))
    return _rescaling(scale, offset)


def _scale_lite(pixels):
    return _rescaling(1 / 128, -127 / 128)(pixels)


_SCALINGS = {
    "none": _scale_none,
    "tf": _scale_tf,
    "torch": _scale_torch,
    "caffe": _scale_caffe,
    "lite": _scale_lite,
}

SCALINGS = tuple(_SCALINGS)
Scaling = Literal["none", "tf", "torch", "caffe", "lite"]


def check_scaling(scaling):
    """Raises `ValueError` unless `scaling` names one of the known input scalings."""
    if scaling not in _SCALINGS:
        raise ValueError(
            f"Unknown input scaling. Received: scaling={scaling!r}. Expected one of {', '.join(map(repr, SCALINGS))}."
        )


def build_preprocessing(
    scaling, image_size, resize="stretch", background=(255, 255, 255), channels=3, interpolation="bicubic"
):
    """Builds the first of the three models: raw RGB pixels of any size in, what the backbone expects out.

    Args:
        scaling: `"none"` (pixels stay in `[0, 255]`), `"tf"` (`[-1, 1]`), `"torch"` (ImageNet mean and
            standard deviation), `"caffe"` (BGR, ImageNet mean subtracted) or `"lite"` (`(x - 127) / 128`).
        image_size: `(height, width)` that images are resized to, in pixels, with antialiasing; `None` for images that
            have the right size.
        resize: What happens to images of another aspect ratio: `"stretch"`, `"crop"` (their middle is kept) or `"pad"`.
        background: Colour to pad with, one number in `[0, 255]` for each channel.
        channels: Number of channels of the images. One channel becomes the three of RGB; of others, all are scaled by
            the mean of what the colours are scaled by.
        interpolation: `"bicubic"` or `"bilinear"`.

    Returns:
        A `keras.Model` named `"preprocessing"`: `(batch, any height, any width, channels)` in `[0, 255]` to
        `(batch, height, width, 3 or channels)` float32. Images that have `image_size` already pass the resizing
        unchanged.
    """
    check_scaling(scaling)
    pixels = x = keras.Input((None, None, channels), dtype="float32", name="pixels")
    if image_size is None:
        x = keras.layers.Identity(name="as_they_are")(x)  # Keras 3.12 refuses a model that gives back its very input
    else:
        # Not `keras.layers.Resizing`: where nobody says `training=False`, as in `model(pixels)` and in exports, it
        # tells all layers after it that they are being trained (Keras 3.15), Dropout and BatchNorm included.
        x = _resize(x, tuple(image_size), resize, background, interpolation)
    if channels == 1:
        x = keras.ops.repeat(x, 3, axis=-1)
    return keras.Model(pixels, _SCALINGS[scaling](x), name="preprocessing")


def _resize(x, image_size, resize, background, interpolation):
    options = {"interpolation": interpolation, "antialias": True}
    if resize != "pad":
        return keras.ops.image.resize(x, image_size, crop_to_aspect_ratio=resize == "crop", **options)

    def pad(x, fill):
        return keras.ops.image.resize(x, image_size, pad_to_aspect_ratio=True, fill_value=float(fill), **options)

    if len(set(background)) == 1:
        return pad(x, background[0])
    channels = keras.ops.split(x, len(background), axis=-1)  # Keras fills all channels with one number
    return keras.ops.concatenate([pad(*pair) for pair in zip(channels, background, strict=True)], axis=-1)
