"""From a source to batches."""

import tensorflow as tf

from transferkit.data.readers import read_pixels, to_rgb_array


def make_dataset(source, image_size, batch_size, interpolation):
    """Streams the images of a source in order, in batches, as RGB pixels in `[0, 255]`.

    Images of one array travel at their own size and as they are; others are read, resized to `image_size` and batched
    as float32. Only a few batches are in memory at a time.

    Args:
        source: A `Source`.
        image_size: `(height, width)` in pixels.
        batch_size: Images a batch; the last may be smaller.
        interpolation: Resizing method, as in `keras.layers.Resizing`; always antialiased.

    Returns:
        A `tf.data.Dataset` of arrays `(batch, height, width, 3)`.
    """
    indices = tf.data.Dataset.range(len(source))
    if source.is_uniform:
        return _uniform_batches(source.images, indices, batch_size)

    def load(index):
        pixels = tf.numpy_function(lambda i: read_pixels(source.images[i]).astype("float32"), [index], tf.float32)
        pixels = tf.ensure_shape(pixels, (None, None, 3))
        return tf.image.resize(pixels, image_size, method=interpolation, antialias=True)

    return indices.map(load, num_parallel_calls=tf.data.AUTOTUNE).batch(batch_size).prefetch(2)


def _uniform_batches(images, indices, batch_size):
    dtype = tf.float32 if images.dtype.kind == "f" else tf.uint8

    def load(batch):
        pixels = tf.numpy_function(lambda i: to_rgb_array(images[i]), [batch], dtype)
        return tf.ensure_shape(pixels, (None, *images.shape[1:3], 3))

    return indices.batch(batch_size).map(load, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)


def make_feature_dataset(features, labels, batch_size, seed=None):
    """Streams features with their labels in batches.

    Args:
        features: `(n, num_features)` float32.
        labels: `(n,)` integer codes.
        batch_size: Rows a batch; the last may be smaller.
        seed: Seed of a new random order at every pass; `None` keeps the order as it is.

    Returns:
        A `tf.data.Dataset` of `(features, labels)`.
    """
    indices = tf.data.Dataset.range(len(features))
    if seed is not None:
        indices = indices.shuffle(len(features), seed=seed)

    def load(batch):
        rows = tf.numpy_function(lambda i: features[i], [batch], tf.float32)
        return tf.ensure_shape(rows, (None, features.shape[1])), tf.gather(codes, batch)

    codes = tf.constant(labels, tf.int64)
    return indices.batch(batch_size).map(load).prefetch(2)
