"""What an epoch is: which images it has, in which order, and what is drawn for each of its batches."""

from dataclasses import dataclass

import tensorflow as tf

from transferkit.data.sampling import Sampling


@dataclass(frozen=True)
class Keys:
    """Keys for TensorFlow's stateless generators.

    What is drawn with a key depends on nothing that was drawn before, so an epoch can be made again alone.

    Attributes:
        seed: Seed, an integer. Another one gives other keys.
    """

    seed: int

    def of(self, number):
        """Returns the key of one draw, two integers, by its number."""
        return tf.stack([tf.cast(self.seed, tf.int64), tf.cast(number, tf.int64)])


@dataclass(frozen=True)
class Epochs:
    """Epochs of a stream, and how each of them goes through the images.

    Attributes:
        count: Number of epochs.
        first: Number of the first one.
        seed: Seed of the orders, and of all else that is drawn. `None`: images keep their order.
        sampling: `Sampling` that says which images an epoch has, for which a seed is needed; `None`: each of them once.
    """

    count: int = 1
    first: int = 0
    seed: int | None = None
    sampling: Sampling | None = None

    @property
    def numbers(self):
        """A `tf.data.Dataset` of their numbers."""
        return tf.data.Dataset.range(self.first, self.first + self.count)

    @property
    def augmentation_keys(self):
        """`Keys` of the augmentation draws. None of them shares its key with the order of an epoch."""
        return Keys(self.seed + 1)

    @property
    def mixing_keys(self):
        """`Keys` of how images are mixed."""
        return Keys(self.seed + 2)

    def steps(self, num_images, batch_size):
        """Number of batches in an epoch."""
        return -(-self._num_rows(num_images) // batch_size)

    def batch_numbers(self, num_images, batch_size):
        """A `tf.data.Dataset` of the numbers of all batches, counted from epoch 0 on."""
        steps = self.steps(num_images, batch_size)
        return tf.data.Dataset.range(self.first * steps, (self.first + self.count) * steps)

    @tf.autograph.experimental.do_not_convert
    def order(self, num_images, epoch):
        """The rows of an epoch in their order, an int32 tensor, by the tensor of its number."""
        if self.sampling is not None:
            rows = tf.numpy_function(lambda number: self.sampling.rows(int(number)), [epoch], tf.int32)
            return tf.ensure_shape(rows, (self.sampling.num_rows,))
        rows = tf.range(num_images)
        return rows if self.seed is None else tf.random.experimental.stateless_shuffle(rows, Keys(self.seed).of(epoch))

    def _num_rows(self, num_images):
        return num_images if self.sampling is None else self.sampling.num_rows
