"""MixUp and CutMix: batches in which images and labels are blends of two."""

import math
from numbers import Real
from typing import Any

import tensorflow as tf


@tf.autograph.experimental.do_not_convert
def mix(
    images: tf.Tensor, labels: tf.Tensor, key: Any, *, mixup: float = 0.0, cutmix: float = 0.0
) -> tuple[tf.Tensor, tf.Tensor]:
    """Blends each image of a batch with another one of it, and their labels in the same proportion.

    MixUp (Zhang et al., ICLR 2018) adds the two images, the first with weight λ ~ Beta(α, α). CutMix (Yun et al., ICCV
    2019) pastes a box of the second into the first, of area 1 - λ and around a place anywhere in the image; the weight
    of its label is the part of the image that it covers in the end. λ, partner and box are drawn for each image. With
    both on, each image is mixed by one of the two, with equal chances.

    Args:
        images: `(batch, height, width, 3)` float32.
        labels: `(batch, num_classes)` float32, one-hot or soft.
        key: Two integers, other ones for each batch. The same key gives the same batch.
        mixup: α of MixUp, at least 0; 0 is off. Below 1 most images are nearly pure, at 1 all λ are equally likely.
        cutmix: α of CutMix.

    Returns:
        `(images, labels)` of the same shapes.

    Raises:
        ValueError: If α is negative, or labels are not `(batch, num_classes)`.

    Example:
        >>> images, labels = mix(tf.zeros((4, 8, 8, 3)), tf.eye(4), [7, 0], mixup=0.2)
        >>> tf.reduce_sum(labels, axis=1).numpy().round(5).tolist()
        [1.0, 1.0, 1.0, 1.0]
    """
    check_mixing(mixup, cutmix)
    if labels.shape.rank != 2:
        raise ValueError(f"`labels` must have shape (batch, num_classes). Received: shape {labels.shape}.")
    if not mixup and not cutmix:
        return images, labels
    keys = tf.random.experimental.stateless_split(tf.cast(key, tf.int64), 4)
    batch = tf.shape(images)[0]
    partners = tf.random.experimental.stateless_shuffle(tf.range(batch), keys[0])
    box, pasted = tf.zeros((batch, 4), tf.int32), tf.zeros(batch)
    share = tf.ones(batch)
    if cutmix:
        box, pasted = _draw_boxes(images, cutmix, keys[1])
    if mixup:
        share = _draw_beta(batch, mixup, keys[2])
    if mixup and cutmix:
        blends = tf.random.stateless_uniform((batch,), keys[3]) < 0.5
        box = tf.where(blends[:, tf.newaxis], 0, box)
        share = tf.where(blends, share, 1.0)
        pasted = tf.where(blends, 0.0, pasted)
    with tf.device("CPU"):  # as in tf.data, wherever the caller is
        blended = _blend(images, tf.gather(images, partners), share, box)
    share = (share * (1 - pasted))[:, tf.newaxis]
    return tf.ensure_shape(blended, images.shape), share * labels + (1 - share) * tf.gather(labels, partners)


def check_mixing(mixup, cutmix):
    """Raises `ValueError` unless both strengths are finite numbers from 0."""
    for name, alpha in (("mixup", mixup), ("cutmix", cutmix)):
        if not isinstance(alpha, Real) or not math.isfinite(alpha) or alpha < 0:
            raise ValueError(
                f"`{name}` must be a number of at least 0, the α of a Beta(α, α) distribution; 0 is off. "
                f"Received: {name}={alpha!r}."
            )


def _draw_beta(batch, alpha, key):
    """Draws from Beta(α, α) as the share of one Gamma(α) variable in the sum of two.

    Gamma(α) is Gamma(α + 1) times the α-th root of a uniform variable. As logarithms, none are too small for float32.
    """
    keys = tf.random.experimental.stateless_split(key, 2)
    gamma = tf.random.stateless_gamma((2, batch), keys[0], alpha=alpha + 1.0)
    # The generator may draw 0 but never 1, so the logarithm is finite.
    root = tf.math.log(1 - tf.random.stateless_uniform((2, batch), keys[1])) / alpha
    logarithm = tf.math.log(gamma) + root
    return tf.sigmoid(logarithm[0] - logarithm[1])


def _draw_boxes(images, alpha, key):
    """Draws boxes as CutMix does. Returns `(batch, 4)` of top, bottom, left, right, and the part that each covers."""
    keys = tf.random.experimental.stateless_split(key, 2)
    batch = tf.shape(images)[0]
    sides = tf.cast(tf.shape(images)[1:3], tf.float32)
    centre = tf.random.stateless_uniform((batch, 2), keys[0]) * sides
    half = tf.sqrt(1 - _draw_beta(batch, alpha, keys[1]))[:, tf.newaxis] * sides / 2
    start, end = (tf.round(tf.clip_by_value(edge, 0.0, sides)) for edge in (centre - half, centre + half))
    box = tf.reshape(tf.stack([start, end], axis=2), (batch, 4))
    return tf.cast(box, tf.int32), tf.reduce_prod((end - start) / sides, axis=1)


@tf.function(jit_compile=True, autograph=False, reduce_retracing=True)
def _blend(images, others, share, box):
    """Weighs two batches: `share` of the first outside the box, nothing of it inside."""
    height, width = tf.unstack(tf.shape(images)[1:3])
    top, bottom, left, right = tf.unstack(box[:, :, tf.newaxis, tf.newaxis], axis=1)
    rows, columns = tf.range(height)[:, tf.newaxis], tf.range(width)
    inside = (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)
    weight = tf.where(inside, 0.0, share[:, tf.newaxis, tf.newaxis])[..., tf.newaxis]
    return weight * images + (1 - weight) * others
