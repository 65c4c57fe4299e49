"""From a source to batches."""

import os
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from transferkit._utils.failures import reason_of
from transferkit._utils.fingerprints import digest_pixels, fingerprint_images
from transferkit._utils.memory import keep_freed_memory
from transferkit.data.augmentation.mixing import mix
from transferkit.data.decoder import bombs_refused, opened_with_print
from transferkit.data.epochs import Epochs
from transferkit.data.resizing import resize_image, resize_images
from transferkit.exceptions import ImageReadError
from transferkit.tasks.find import MULTICLASS
from transferkit.tasks.task import Task

ONE_IN_ORDER = Epochs()

_READERS = 3 * (os.cpu_count() or 1)  # images read side by side; some of them wait for Python's lock


def stream_images(source, image_format, batch_size):
    """Streams the images of a source in order, in batches, as pixels in `[0, 255]`.

    Images of one array travel at their own size and as they are; others are read, resized and batched as float32.
    Only a few batches are in memory at a time.

    Args:
        source: A `Source`.
        image_format: The `ImageFormat`.
        batch_size: Images a batch; the last may be smaller.

    Yields:
        Arrays or tensors `(batch, height, width, channels)`.

    Raises:
        ImageReadError: If an image cannot be read, as from all functions here that read images.
    """
    if source.is_uniform:
        for start in range(0, len(source), batch_size):
            yield image_format.decoder.convert(source.images[start : start + batch_size])
        return
    yield from _resized_batches(source, image_format, batch_size)


class ReadableImages:
    """The images of a source that can be read, in batches as of `stream_images`; the others are left out.

    Each image is read once, so that nobody has to look beforehand whether it can be.

    Args:
        source: A `Source`.
        image_format: The `ImageFormat`.
        batch_size: Images a batch; the last may be smaller.
        is_known: Function of the index of an image and its print, 16 bytes, to whether the image is not needed: then it
            is not decoded, and left out, too. Threads call it side by side. `None`: no prints are taken, and all images
            are needed.
    """

    def __init__(self, source, image_format, batch_size, is_known=None):
        self._source = source
        self._format = image_format
        self._batch_size = batch_size
        self._is_known = is_known
        self._reader = None

    @property
    def failures(self):
        """Tuple of `(index, name, reason)`, one for each image that could not be read so far, in order."""
        return () if self._reader is None else self._reader.left_out

    def __iter__(self):
        """Yields pairs of the indices of some images, `(batch,)`, and their pixels."""
        if self._source.is_uniform:
            return self._rows()
        self._reader = _Reader(self._source, self._format, is_known=self._is_known)
        return self._batches(self._reader)

    def _rows(self):
        source, indices = self._source, np.arange(len(self._source))
        if self._is_known is not None:
            prints = fingerprint_images(source.images, None)
            indices = np.flatnonzero([not self._is_known(*each) for each in enumerate(map(bytes, prints))])
        for start in range(0, len(indices), self._batch_size):
            rows = indices[start : start + self._batch_size]
            yield rows, self._format.decoder.convert(source.images[rows])

    def _batches(self, reader):
        @tf.autograph.experimental.do_not_convert
        def load(index):
            return index, *reader.load_if_needed(index)

        @tf.autograph.experimental.do_not_convert
        def is_there(index, pixels, is_there):
            return is_there

        @tf.autograph.experimental.do_not_convert
        def without_answer(index, pixels, is_there):
            return index, pixels

        # Too many pixels are a reason to leave an image out, as they are when images are inspected.
        with bombs_refused(), reader.open():
            indices = tf.data.Dataset.range(len(self._source))
            images = indices.map(load, num_parallel_calls=_READERS).filter(is_there).map(without_answer)
            for found, pixels in _fixed(images.batch(self._batch_size).prefetch(2)):
                yield np.asarray(found), pixels


def resized_images(source, image_format):
    """Reads and resizes all images of a small source: float32 `(n, height, width, channels)`."""
    batches = stream_images(source, image_format, len(source))
    return np.concatenate([resize_images(np.asarray(batch), image_format) for batch in batches])


def read_into_memory(source, image_format, batch_size, advance=lambda count: None, dtype="float32"):
    """Reads and resizes all images once, for callers that go through them many times.

    Args:
        source: A `Source`.
        image_format: The `ImageFormat`.
        batch_size: Images read at a time.
        advance: Called with the number of images read.
        dtype: `"float32"`, or `"uint8"`: a quarter of the memory, rounded to whole gray levels.

    Returns:
        A `Source` of one array.
    """
    pixels = np.empty((len(source), *image_format.shape), dtype)
    done = 0
    for batch in _resized_batches(source, image_format, batch_size, rounded=dtype == "uint8"):
        pixels[done : done + len(batch)] = batch
        done += len(batch)
        advance(len(batch))
    return replace(source, images=pixels)


def augmented_draws(images, augmenter, count, keys):
    """Augments images `(n, height, width, channels)` `count` times, as `training_batches` does. Yields arrays."""
    for draw in range(count):
        yield images if augmenter is None else np.asarray(augmenter.augment(tf.constant(images), keys.of(draw)))


def stream_view(source, image_format, batch_size, *, augmenter, keys, view):
    """Streams the images of a source in order, varied at random.

    Args:
        source: A `Source`.
        image_format: The `ImageFormat`.
        batch_size: Images a batch.
        augmenter: From `as_augmentation`.
        keys: `Keys` of what is drawn; see `Epochs.augmentation_keys`.
        view: Which variation; each has other draws.

    Yields:
        Tensors `(batch, *image_format.shape)`.
    """
    # Batch numbers go on from view to view, so that no two draws share a key.
    steps = -(-len(source) // batch_size)
    for number, batch in enumerate(stream_images(source, image_format, batch_size)):
        images = tf.constant(resize_images(np.asarray(batch), image_format))
        yield augmenter.augment(images, keys.of(view * steps + number))


def _resized_batches(source, image_format, batch_size, rounded=False):
    reader = _Reader(source, image_format, rounded)

    @tf.autograph.experimental.do_not_convert  # there is nothing to convert
    def load(index):
        return reader.load(index)

    with reader.open():
        indices = tf.data.Dataset.range(len(source))
        yield from _fixed(indices.map(load, num_parallel_calls=_READERS).batch(batch_size).prefetch(2))


def _fixed(stream):
    options = tf.data.Options()
    options.autotune.enabled = False  # all numbers are set; and its thread, when a stream ends, can hold that up
    # There are no files to shard by: with many workers, each takes its share of the images.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return stream.with_options(options)


class _Reader:
    """Reads images of a source one by one and resizes them, and remembers which of them cannot be read.

    TensorFlow never forgets a function that a dataset has called, nor what that refers to: what this one reads from is
    taken away when it is closed.

    Args:
        source: The `Source`.
        image_format: The `ImageFormat`.
        rounded: Whether pixels are uint8, not float32.
        is_known: See `ReadableImages`; of `load_if_needed` only.
    """

    def __init__(self, source, image_format, rounded=False, is_known=None):
        self._source = source
        self._format = image_format
        self._decoder = image_format.decoder
        self._rounded = rounded
        self._is_known = is_known
        self._failures = {}
        self._left_out = {}

    @property
    def left_out(self):
        """Tuple of `(index, name, reason)`, one for each image that `load_if_needed` could not read, in order."""
        return tuple((index, *self._left_out[index]) for index in sorted(self._left_out))

    @contextmanager
    def open(self):
        """Turns TensorFlow's errors while the block runs into one that names the images, and closes the reader."""
        try:
            yield
        except tf.errors.OpError as error:
            if not self._failures:
                raise
            failures = [(index, *self._failures[index]) for index in sorted(self._failures)]
            raise ImageReadError(failures, len(self._source)) from error
        finally:
            self._source = self._is_known = None

    def load(self, index):
        """The tensor of one image, by the tensor of its index."""
        keep_freed_memory()
        pixels = tf.numpy_function(self._read, [index], tf.uint8 if self._rounded else tf.float32)
        return tf.ensure_shape(pixels, self._format.shape)

    def load_if_needed(self, index):
        """The tensor of one image, or of a black one in its place, and whether it is there: readable and not known."""
        keep_freed_memory()
        pixels, is_there = tf.numpy_function(self._read_or_leave_out, [index], (tf.float32, tf.bool))
        return tf.ensure_shape(pixels, self._format.shape), tf.ensure_shape(is_there, ())

    def _read_or_leave_out(self, index):
        pixels = None
        try:
            pixels = self._read(index)
        except Exception:
            if int(index) not in self._failures:  # it is not the image that is wrong
                raise
            self._left_out[int(index)] = self._failures.pop(int(index))
        return (np.zeros(self._format.shape, "float32"), False) if pixels is None else (pixels, True)

    def _read(self, index):
        """Returns the pixels of an image, resized, or `None` if it is known."""
        source, is_known = self._source, self._is_known
        if source is None:
            raise RuntimeError("The stream was closed.")
        try:
            image = source.images[index]
            pixels = self._decoder.decode(image) if is_known is None else self._decode_new(image, index, is_known)
        # This is no fault of the image, which must not be listed as unreadable.
        except MemoryError:
            raise
        except Exception as error:
            self._failures[int(index)] = source.name(index), reason_of(error)
            raise
        if pixels is None:
            return None
        pixels = resize_image(pixels, self._format)
        return np.rint(pixels).clip(0, 255).astype("uint8") if self._rounded else pixels

    def _decode_new(self, image, index, is_known):
        if isinstance(image, str | os.PathLike):
            with opened_with_print(image) as (file, digest):
                return None if is_known(int(index), digest) else self._decoder.decode(image, file)
        if isinstance(image, np.ndarray):
            return None if is_known(int(index), digest_pixels(image)) else self._decoder.decode(image)
        pixels = self._decoder.decode(image)
        return None if is_known(int(index), digest_pixels(pixels)) else pixels


@dataclass(frozen=True)
class Targets:
    """Training targets: a row of labels for each image, smoothed and weighted.

    Attributes:
        codes: `(n,)` integer codes.
        num_classes: Number of classes.
        matrix: `(n, num_classes)` float32, labels or shares in them; `None`: the one-hot rows of `codes`.
        task: The `Task`.
        weights: `(n,)` float32 weights of the images in the loss, or `None`.
        label_smoothing: Share of each label that is spread over all classes, in `[0, 1)`.
    """

    codes: np.ndarray
    num_classes: int
    weights: np.ndarray | None = None
    label_smoothing: float = 0.0
    matrix: np.ndarray | None = None
    task: Task = MULTICLASS

    @property
    def width(self):
        """Length of a row of `weighted`."""
        return self.num_classes + (self.weights is not None)

    def weighted(self, rows):
        """Returns `(len(rows), width)` float32: the labels at `rows` times their weights, and these in a last column.

        Weighted labels can be mixed: the loss is linear in them, so that each part of a mixture keeps its weight.
        """
        one_hot = np.eye(self.num_classes, dtype="float32")
        plain = one_hot[self.codes[rows]] if self.matrix is None else self.matrix[rows]
        if self.weights is None:
            return plain
        weights = self.weights[rows, None]
        return np.concatenate([plain * weights, weights], axis=1)

    def finish(self, weighted):
        """Takes weighted labels, mixed ones included, apart, and smooths the labels.

        Returns:
            `(labels, weights)`, shaped `(batch, num_classes)` and `(batch, 1)`, or, without weights, `(labels,)`.
        """
        if self.weights is None:
            return (self._smooth(weighted),)
        weights = weighted[:, -1:]
        # Labels of images of weight 0 are 0 / 0 here.
        return self._smooth(tf.math.divide_no_nan(weighted[:, :-1], weights)), weights

    def _smooth(self, labels):
        choices = self.task.smoothing_choices(self.num_classes)
        return labels * (1 - self.label_smoothing) + self.label_smoothing / choices


@dataclass(frozen=True)
class Variation:
    """What is done to the images of a training batch, anew in every epoch.

    Attributes:
        augmenter: From `as_augmentation`, or `None`.
        mixup: Strength of MixUp; see `transferkit.data.augmentation.mixing.mix`.
        cutmix: Strength of CutMix.
    """

    augmenter: Any = None
    mixup: float = 0.0
    cutmix: float = 0.0

    @property
    def is_stateless(self):
        """Whether batches can be augmented in parallel with the same result."""
        return getattr(self.augmenter, "is_stateless", True)

    def vary(self, images, labels, epochs, number):
        """Returns the images and labels of a batch, varied by what is drawn for its number."""
        if self.augmenter is not None:
            images = self.augmenter.augment(images, epochs.augmentation_keys.of(number))
        if self.mixup or self.cutmix:
            key = epochs.mixing_keys.of(number)
            images, labels = mix(images, labels, key, mixup=self.mixup, cutmix=self.cutmix)
        return images, labels


AS_THEY_ARE = Variation()


@contextmanager
def training_batches(source, targets, image_format, batch_size, epochs, variation=AS_THEY_ARE):
    """Streams images with their labels for training: in a new order in every epoch, augmented, in batches.

    The order and all that is random come from the seed, the epoch and the place of the batch in it.

    Args:
        source: A `Source`.
        targets: Its `Targets`.
        image_format: The `ImageFormat`.
        batch_size: Images a batch; the last of an epoch may be smaller.
        epochs: `Epochs` with a seed.
        variation: The `Variation` of images. Default: none.

    Yields:
        A `tf.data.Dataset` of `(images, labels)` or `(images, labels, weights)`: float32 `(batch, height, width,
        channels)` in `[0, 255]`, `(batch, num_classes)` and `(batch, 1)`. It has `epochs.count` times `ceil(n /
        batch_size)` batches, where `n` is the number of images in an epoch.
    """

    def finish(batch, number):
        images, labels = variation.vary(*batch, epochs, number)
        return images, *targets.finish(labels)

    with _labelled_images(source, targets, image_format, batch_size) as batches_of:
        shape = len(source), batch_size
        # Each epoch is batched by itself, so that no batch has images of two epochs.
        batches = epochs.numbers.flat_map(lambda epoch: batches_of(epochs.order(len(source), epoch)))
        # What keeps a state must see the batches one by one.
        side_by_side = os.cpu_count() if variation.is_stateless else None
        stream = tf.data.Dataset.zip(batches, epochs.batch_numbers(*shape))
        yield _with_length(stream.map(finish, num_parallel_calls=side_by_side), epochs.count * epochs.steps(*shape))


@contextmanager
def validation_batches(source, targets, image_format, batch_size):
    """Streams images with their labels in order, as they are. For arguments and yield see `training_batches`."""
    with _labelled_images(source, targets, image_format, batch_size) as batches_of:
        stream = batches_of(tf.range(len(source))).map(lambda images, labels: (images, *targets.finish(labels)))
        yield _with_length(stream, -(-len(source) // batch_size))


@contextmanager
def activation_batches(views, targets, batch_size, epochs=ONE_IN_ORDER):
    """Streams activations of images with their labels, in the same batches as `training_batches` streams the images.

    Args:
        views: Sequence of arrays `(n, …)` or array-likes: activations of the same images, augmented differently. Each
            epoch takes the next one.
        targets: Their `Targets`.
        batch_size: Rows a batch; the last of an epoch may be smaller.
        epochs: The `Epochs`. Default: one that keeps the rows as they are.

    Yields:
        A `tf.data.Dataset` of `(activations, labels)` or `(activations, labels, weights)`.
    """
    # TensorFlow keeps the functions below, and what they refer to, as long as the process lives. They reach the
    # data through a box that is emptied at the end, so that it can be freed.
    box, shape, count = [views, targets], views[0].shape, len(targets.codes)

    @tf.autograph.experimental.do_not_convert
    def load(rows, epoch):
        values = tf.numpy_function(lambda i, e: box[0][e % len(box[0])][i], [rows, epoch], tf.float32)
        labels = _weighted_labels(box, rows, targets.width)
        return tf.ensure_shape(values, (None, *shape[1:])), *targets.finish(labels)

    @tf.autograph.experimental.do_not_convert
    def batches_of(epoch):
        rows = tf.data.Dataset.from_tensor_slices(epochs.order(count, epoch))
        return rows.batch(batch_size).map(lambda rows: load(rows, epoch))

    try:
        yield _with_length(epochs.numbers.flat_map(batches_of), epochs.count * epochs.steps(count, batch_size))
    finally:
        box.clear()


def _weighted_labels(box, rows, width):
    """Weighted labels of rows, from the `Targets` that come second in a box."""
    labels = tf.numpy_function(lambda i: box[1].weighted(i), [rows], tf.float32)
    return tf.ensure_shape(labels, (None, width))


# `flat_map` hides how many batches there are, and Keras evaluates wrongly on datasets of unknown length and static
# batch size.
def _with_length(stream, num_batches):
    return _fixed(stream.apply(tf.data.experimental.assert_cardinality(num_batches)).prefetch(2))


@contextmanager
def _labelled_images(source, targets, image_format, batch_size):
    """Yields a function from the rows of one epoch, in order, to a dataset of their `(images, labels)` in batches."""
    # Emptied at the end, so that the data can be freed; see `activation_batches`.
    box, reader, decoder = [source.images, targets], _Reader(source, image_format), image_format.decoder

    @tf.autograph.experimental.do_not_convert
    def load_image(row):
        return row, reader.load(row)

    @tf.autograph.experimental.do_not_convert
    def load_batch(rows):
        def read(rows):
            return resize_images(decoder.convert(box[0][rows]), image_format)

        pixels = tf.numpy_function(read, [rows], tf.float32)
        return rows, tf.ensure_shape(pixels, (None, *image_format.shape))

    @tf.autograph.experimental.do_not_convert
    def add_labels(rows, images):
        return images, _weighted_labels(box, rows, targets.width)

    def batches_of(rows):
        stream = tf.data.Dataset.from_tensor_slices(rows)
        if source.is_uniform:
            stream = stream.batch(batch_size).map(load_batch, num_parallel_calls=2)
        else:
            stream = stream.map(load_image, num_parallel_calls=_READERS).batch(batch_size)
        return stream.map(add_labels)

    try:
        with reader.open():
            yield batches_of
    finally:
        box.clear()
