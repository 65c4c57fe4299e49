"""Geometry and colour of a batch of images: every image by its own parameters, each of the two in one pass.

The passes are compiled by XLA, once for each shape of batch, in a fraction of a second. That makes the geometric one
about three times faster than `tf.raw_ops.ImageProjectiveTransformV3`, which has no fill mode like SciPy's "wrap" and
"constant" besides, and five times faster than the same operations without XLA.
"""

from dataclasses import dataclass, fields
from typing import Literal, get_args

import numpy as np
import tensorflow as tf

FillMode = Literal["nearest", "constant", "reflect", "wrap"]
FILL_MODES = get_args(FillMode)
Interpolation = Literal["bilinear", "nearest"]
INTERPOLATIONS = get_args(Interpolation)

_GEOMETRIC = (
    "rotation",
    "width_shift",
    "height_shift",
    "shear",
    "zoom_x",
    "zoom_y",
    "horizontal_flip",
    "vertical_flip",
)
_EDGE = 1e-3  # pixels: how far rounding may move what lies on the edge

# Luma and the two axes of colour around it, ITU-R BT.601. Gray has no colour: the last two rows sum to 0.
_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
_LUMA = _YIQ[0].astype("float32")
_TO_GRAY = np.tile(_YIQ[0], (3, 1)).astype("float32")
_TO_COLOUR = np.eye(3, dtype="float32") - _TO_GRAY
_QUARTER_TURN = (np.linalg.inv(_YIQ) @ [[0, 0, 0], [0, 0, -1], [0, 1, 0]] @ _YIQ).astype("float32")


@dataclass(frozen=True)
class Parameters:
    """What happens to each image of a batch. Each is a tensor `(batch,)`, or `None` where it happens to no image.

    Geometry comes first, in the order of `keras.preprocessing`'s `apply_affine_transform` and then the flips, about the
    centre of the image; then hue, saturation, contrast, channel shift and brightness.

    Args:
        rotation: Angle in degrees.
        width_shift: Shift along the width, in pixels.
        height_shift: Shift along the height, in pixels.
        shear: Angle in degrees.
        zoom_x: Part of the width that is seen; above 1 there is room at the sides.
        zoom_y: Part of the height that is seen.
        horizontal_flip: Whether left and right change places.
        vertical_flip: Whether top and bottom change places.
        hue: Angle in degrees, in the plane of colours of equal luma.
        saturation: Factor of the distance from gray; 0 is gray.
        contrast: Factor of the distance from the image's mean luma.
        channel_shift: What is added to all channels, in gray levels.
        brightness: Factor of all channels; 0 is black.
    """

    rotation: tf.Tensor | None = None
    width_shift: tf.Tensor | None = None
    height_shift: tf.Tensor | None = None
    shear: tf.Tensor | None = None
    zoom_x: tf.Tensor | None = None
    zoom_y: tf.Tensor | None = None
    horizontal_flip: tf.Tensor | None = None
    vertical_flip: tf.Tensor | None = None
    hue: tf.Tensor | None = None
    saturation: tf.Tensor | None = None
    contrast: tf.Tensor | None = None
    channel_shift: tf.Tensor | None = None
    brightness: tf.Tensor | None = None

    def get(self, name, default):
        """Returns a parameter as float32, or `default` where it is `None`."""
        value = getattr(self, name)
        return default if value is None else tf.cast(value, tf.float32)

    @property
    def has_geometry(self):
        """Whether any pixel moves."""
        return any(getattr(self, name) is not None for name in _GEOMETRIC)

    @property
    def has_colour(self):
        """Whether any colour changes."""
        return any(getattr(self, field.name) is not None for field in fields(self) if field.name not in _GEOMETRIC)


def transform_images(images, parameters, fill_mode="nearest", fill_value=0.0, interpolation="bilinear"):
    """Transforms each image by its own parameters.

    Bilinear interpolation and all fill modes are those of `scipy.ndimage.affine_transform(order=1)`, on which Keras'
    `apply_affine_transform` rests. With the same parameters, square images of up to 224 pixels differ from Keras' by
    less than 0.02 gray levels, even where they are noise. For other shapes Keras takes the centre from the sides in
    exchanged order; here it is the centre. Work is done on the CPU, as in `tf.data`, wherever the caller is.

    Args:
        images: `(batch, height, width, channels)` float32 in `[0, 255]`.
        parameters: `Parameters`.
        fill_mode: What lies outside: `"nearest"` (the pixel at the edge), `"constant"` (`fill_value`), `"reflect"`
            (the image in a mirror) or `"wrap"` (the image again; as in SciPy, each copy shares a row of pixels with the
            next, so the period is one less than the side).
        fill_value: Gray level for `"constant"`.
        interpolation: `"bilinear"` or `"nearest"`.

    Returns:
        Tensor of the same shape, clipped to `[0, 255]`. Without parameters: the images themselves.
    """
    shape = images.shape  # the compiled passes may be traced for more general ones
    with tf.device("CPU"):
        if parameters.has_geometry:
            images = _resample(images, _affine(images, parameters), fill_mode, float(fill_value), interpolation)
        if parameters.has_colour:
            images = _recolour(images, *_colour_matrix(images, parameters))
    return tf.ensure_shape(images, shape)


def _affine(images, parameters):
    """Where each pixel of the result comes from: `x = a u + b v + c`, `y = d u + e v + f`, measured from the centre.

    It is rotation · shift · shear · zoom · flip, multiplied out. Returns `(batch, 6)`.
    """
    angle = parameters.get("rotation", 0.0) * (np.pi / 180)
    sheared = angle + parameters.get("shear", 0.0) * (np.pi / 180)
    shift_x, shift_y = parameters.get("width_shift", 0.0), parameters.get("height_shift", 0.0)
    scale_x = parameters.get("zoom_x", 1.0) * (1 - 2 * parameters.get("horizontal_flip", 0.0))
    scale_y = parameters.get("zoom_y", 1.0) * (1 - 2 * parameters.get("vertical_flip", 0.0))
    cos, sin = tf.cos(angle), tf.sin(angle)
    coefficients = (
        cos * scale_x,
        -tf.sin(sheared) * scale_y,
        cos * shift_x - sin * shift_y,
        sin * scale_x,
        tf.cos(sheared) * scale_y,
        sin * shift_x + cos * shift_y,
    )
    return tf.stack([tf.broadcast_to(number, tf.shape(images)[:1]) for number in coefficients], axis=1)


@tf.function(jit_compile=True, autograph=False, reduce_retracing=True)
def _resample(images, affine, fill_mode, fill_value, interpolation):
    """Takes each pixel of the result from its place in the image."""
    batch, height, width = tf.unstack(tf.shape(images)[:3])
    right, bottom = tf.cast(width - 1, tf.float32), tf.cast(height - 1, tf.float32)
    u = tf.cast(tf.range(width), tf.float32) - right / 2
    v = tf.cast(tf.range(height), tf.float32)[:, tf.newaxis] - bottom / 2
    a, b, c, d, e, f = tf.unstack(affine[:, :, tf.newaxis, tf.newaxis], axis=1)
    x, x_inside = _fold(a * u + b * v + c + right / 2, right, fill_mode)
    y, y_inside = _fold(d * u + e * v + f + bottom / 2, bottom, fill_mode)
    if interpolation == "nearest":
        x, y = tf.floor(x + 0.5), tf.floor(y + 0.5)
    left, top = tf.floor(x), tf.floor(y)
    x_share, y_share = (x - left)[..., tf.newaxis], (y - top)[..., tf.newaxis]
    left, top = tf.cast(left, tf.int32), tf.cast(top, tf.int32)
    after, below = tf.minimum(left + 1, width - 1), tf.minimum(top + 1, height - 1)
    pixels = tf.reshape(images, (batch, height * width, tf.shape(images)[3]))

    def row(y):
        first, second = (tf.gather(pixels, y * width + x, batch_dims=1) for x in (left, after))
        return first * (1 - x_share) + second * x_share

    result = row(top) * (1 - y_share) + row(below) * y_share
    if fill_mode == "constant":
        result = tf.where((x_inside & y_inside)[..., tf.newaxis], result, fill_value)
    return tf.clip_by_value(result, 0.0, 255.0)


def _fold(place, last, fill_mode):
    """Brings places outside `[0, last]` back into it. Returns them, and which were inside."""
    inside = (place > -_EDGE) & (place < last + _EDGE)
    if fill_mode == "reflect":
        place = _modulo(place + 0.5, 2 * last + 2)
        place = tf.minimum(place, 2 * last + 2 - place) - 0.5
    if fill_mode == "wrap":
        place = tf.where(inside, place, _modulo(place, tf.maximum(last, 1.0)))
    return tf.clip_by_value(place, 0.0, last), inside


def _modulo(x, period):
    """Several times faster than `tf.math.floormod`."""
    return x - period * tf.floor(x / period)


def _colour_matrix(images, parameters):
    """Composes all changes of colour to one: `matrix (batch, c, c)` for `c` channels and what is added, `(batch, c)`.

    Turning the hue and scaling the saturation leave the luma as it is, so they are one scaled turn of what a colour
    has beside its luma, and the mean luma is that of the images. Channels that are not RGB have no hue and no
    saturation, and their mean is their luma.
    """
    is_rgb, channels = images.shape[-1] == 3, images.shape[-1]
    luma = _LUMA if is_rgb else np.full(channels, 1 / channels, "float32")
    batch = tf.shape(images)[:1]
    angle = parameters.get("hue", 0.0) * (np.pi / 180)
    saturation, contrast = parameters.get("saturation", 1.0), parameters.get("contrast", 1.0)
    brightness, added = parameters.get("brightness", 1.0), parameters.get("channel_shift", 0.0)
    if parameters.contrast is not None:
        added += (1 - contrast) * tf.linalg.matvec(tf.reduce_mean(images, axis=(1, 2)), luma)
    turned = np.eye(channels, dtype="float32")
    if is_rgb:
        turned = _TO_GRAY + _each(saturation * tf.cos(angle), batch) * _TO_COLOUR
        turned += _each(saturation * tf.sin(angle), batch) * _QUARTER_TURN
    matrix = _each(brightness * contrast, batch) * turned
    return matrix, tf.repeat(_each(brightness * added, batch)[:, 0], channels, axis=1)


def _each(value, batch):
    """One number for each image, as `(batch, 1, 1)`."""
    return tf.broadcast_to(value, batch)[:, tf.newaxis, tf.newaxis]


@tf.function(jit_compile=True, autograph=False, reduce_retracing=True)
def _recolour(images, matrix, added):
    """Multiplies every pixel by the matrix of its image."""
    pixels = tf.reshape(images, (tf.shape(images)[0], -1, tf.shape(images)[3]))
    pixels = tf.matmul(pixels, matrix, transpose_b=True) + added[:, tf.newaxis]
    return tf.clip_by_value(tf.reshape(pixels, tf.shape(images)), 0.0, 255.0)
