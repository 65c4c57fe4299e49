"""From a source to batches."""

import keras
import numpy as np
import tensorflow as tf

from transferkit.data.readers import read_pixels, to_rgb_array


def stream_images(source, image_size, batch_size, interpolation):
    """Streams the images of a source in order, in batches, as RGB pixels in `[0, 255]`.

    Images of one array travel at their own size and as they are; others are read, resized to `image_size` and batched
    as float32. Only a few batches are in memory at a time.

    Args:
        source: A `Source`.
        image_size: `(height, width)` in pixels.
        batch_size: Images a batch; the last may be smaller.
        interpolation: Resizing method, as in `keras.ops.image.resize`; always antialiased.

    Yields:
        Arrays or tensors `(batch, height, width, 3)`.
    """
    if source.is_uniform:
        for start in range(0, len(source), batch_size):
            yield to_rgb_array(source.images[start : start + batch_size])
        return
    # TensorFlow never forgets a function that a dataset has called. What this one reads from is taken away at the end.
    box = [source.images]
    try:
        yield from _resized_batches(box, len(source), image_size, batch_size, interpolation)
    finally:
        box.clear()


def _resized_batches(box, num_images, image_size, batch_size, interpolation):
    @tf.autograph.experimental.do_not_convert  # there is nothing to convert
    def load(index):
        pixels = tf.numpy_function(lambda i: read_pixels(box[0][i]).astype("float32"), [index], tf.float32)
        pixels = tf.ensure_shape(pixels, (None, None, 3))
        return tf.image.resize(pixels, image_size, method=interpolation, antialias=True)

    indices = tf.data.Dataset.range(num_images)
    return indices.map(load, num_parallel_calls=tf.data.AUTOTUNE).batch(batch_size).prefetch(2)


class FeatureBatches(keras.utils.PyDataset):
    """Features with their labels in batches, in a new order in every epoch.

    Args:
        features: `(n, num_features)` float32.
        labels: `(n,)` integer codes.
        batch_size: Rows a batch; the last may be smaller.
        seed: Seed of the orders; `None` keeps the rows as they are.
    """

    def __init__(self, features, labels, batch_size, seed=None):
        super().__init__()
        self._features = features
        self._labels = labels
        self._batch_size = batch_size
        self._rng = None if seed is None else np.random.default_rng(seed)
        self._order = np.arange(len(labels))
        self.on_epoch_end()

    def __len__(self):
        return -(-len(self._order) // self._batch_size)

    def __getitem__(self, index):
        rows = self._order[index * self._batch_size : (index + 1) * self._batch_size]
        return self._features[rows], self._labels[rows]

    def on_epoch_end(self):
        """Draws the order of the next epoch."""
        if self._rng is not None:
            self._rng.shuffle(self._order)

    def release(self):
        """Lets go of the arrays: TensorFlow never forgets a dataset it has read from."""
        self._features = self._labels = None
