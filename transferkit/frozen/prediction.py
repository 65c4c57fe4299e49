"""Runs a whole classifier over many images, once."""

import threading
from functools import cached_property
from itertools import chain

import keras
import numpy as np

from transferkit._utils.fingerprints import fingerprint
from transferkit.cache.recent import RecentRows
from transferkit.data.reader import ImageReader
from transferkit.exceptions import ImageReadError
from transferkit.frozen.compiling import compile_front, first_model
from transferkit.frozen.forward import iterate_model
from transferkit.frozen.signatures import weights_of
from transferkit.models.assembly import components_of
from transferkit.models.heads import build_head_with_features

_MOST_BYTES = 2**28, 2**26  # of features, and of probabilities: these are few, and asked for more often
_FEWEST_KEPT = 4  # to compute fewer images takes less time than to see whether the weights have changed


class Predictor:
    """Pooled features and probabilities of many images, as fast as the device allows; in float32, always.

    From a whole batch of images on, the classifier is compiled with the weights that it has at that time. Whoever
    trains its model further gets another one.

    What was computed is kept in memory, by the content of the images, and found again as long as no weight changes: by
    whatever asks for the same images next. What was not asked for longest goes first.

    Args:
        model: A classifier that `assemble` made.
        backbone: Its `Backbone`.
        image_format: The `ImageFormat` of what the classifier was trained on.
        max_bytes: Most bytes to keep: of features, and of probabilities.

    Attributes:
        is_keeping: Whether anything is kept, or found; it may be set.
    """

    def __init__(self, model, backbone, image_format, max_bytes=_MOST_BYTES):
        preprocessing, network, head = components_of(model)
        self.is_keeping = True
        self._model = model
        self._models = preprocessing, network, build_head_with_features(head)
        self._num_classes = head.output_shape[-1]
        self._scaling = backbone.build_scaling(image_format.channels)
        self._format = image_format
        self._reader = ImageReader(image_format)
        self._kept = [RecentRows(most) for most in max_bytes]
        self._weights = None
        self._fronts = {}
        self._lock = threading.Lock()

    def predict(self, source, batch_size, advance=lambda count: None):
        """Computes, or finds, the probabilities of all images, each of which is read once.

        Args:
            source: A `Source`. Nobody has to have looked at its images.
            batch_size: Images a batch.
            advance: Called with the number of images in every batch done.

        Returns:
            float32 `(n, num_classes)`, in the order of the images.

        Raises:
            ImageReadError: With all images that cannot be read.
        """
        return self._run(source, batch_size, advance, stops=True).probabilities

    def predict_readable(self, source, batch_size, advance=lambda count: None):
        """Computes, or finds, the probabilities of the images that can be read; for arguments see `predict`.

        Returns:
            `(probabilities, failures)`: float32 `(m, num_classes)`, in the order of the images, and a tuple of `(index,
            name, reason)`, one for each of the others.

        Raises:
            ImageReadError: If no image can be read.
        """
        run = self._run(source, batch_size, advance, stops=False)
        return run.probabilities, run.failures

    def features_and_probabilities(self, source, batch_size, advance=lambda count: None):
        """Computes, or finds, pooled features and probabilities of all images in one pass; see `predict`.

        Returns:
            `(features, probabilities)`: float32 `(n, num_features)`, what the dense layers of the head are given, and
            `(n, num_classes)`.

        Raises:
            ImageReadError: With all images that cannot be read.
        """
        run = self._run(source, batch_size, advance, stops=True, has_features=True)
        return run.features, run.probabilities

    def readable_features_and_probabilities(self, source, batch_size, advance=lambda count: None):
        """Does what `features_and_probabilities` does for the images that can be read.

        Returns:
            `(features, probabilities, failures)`; see `predict_readable`.

        Raises:
            ImageReadError: If no image can be read.
        """
        run = self._run(source, batch_size, advance, stops=False, has_features=True)
        return run.features, run.probabilities, run.failures

    @property
    def _num_features(self):
        return self._models[-1].output_shape[-1] - self._num_classes

    def _run(self, source, batch_size, advance, *, stops, has_features=False):
        """Finds or computes the rows of all images. Returns the `_Run`, without those that cannot be read."""
        is_keeping = self.is_keeping and len(source) >= _FEWEST_KEPT
        is_compiled = len(source) >= batch_size  # compiling takes longer than computing less than a batch
        weights = self._note_weights() if is_keeping or is_compiled else ""
        # One array is streamed at its own size, files at that of the network.
        size = tuple(source.images.shape[1:3]) if source.is_uniform else self._format.image_size
        way = size, batch_size if is_compiled else None
        run = _Run(len(source), self._num_features if has_features else None, self._num_classes)
        if is_keeping:
            # Another way to compute rounds in another way: what is found is what would be computed.
            run.keep_in(self._kept, bytes.fromhex(fingerprint(weights, *way)))
        stream = self._reader.stream_readable(source, batch_size, run.is_known if is_keeping else None)
        batches = _until_one_fails(stream) if stops else iter(stream)
        first = next(batches, None)
        if first is not None:
            run.compute(self._compiled(*way) if is_compiled else self._uncompiled, chain([first], batches), advance)
        run.finish(stream.failures, stops, advance)
        return run

    def _note_weights(self):
        """Returns the fingerprint of the weights. If it is a new one, all that was made with the old ones goes."""
        weights = weights_of(self._model)
        with self._lock:
            if weights != self._weights:
                self._weights, self._fronts = weights, {}
                for kept in self._kept:
                    kept.clear()
        return weights

    def _compiled(self, size, batch_size):
        with self._lock:
            if (size, batch_size) not in self._fronts:
                preprocessing, *models = self._models
                first = first_model(self._scaling, preprocessing, size, self._format)
                self._fronts[size, batch_size] = compile_front([first, *models], batch_size=batch_size)
            return self._fronts[size, batch_size]

    @cached_property
    def _uncompiled(self):
        pixels = x = keras.Input(self._model.input_shape[1:], dtype="float32")
        for model in self._models:
            x = model(x)
        whole = keras.Model(pixels, x)
        whole.compile(jit_compile=False)  # TensorFlow resizes with antialiasing on the CPU only
        return whole


class _Run:
    """One run over the images of a source: their rows, found or computed.

    Args:
        count: Number of images.
        num_features: Number of features of an image; `None`: they are not wanted.
        num_classes: Number of classes.
    """

    def __init__(self, count, num_features, num_classes):
        self.features = None if num_features is None else np.empty((count, num_features), "float32")
        self.probabilities = np.empty((count, num_classes), "float32")
        self.failures = ()
        self._kept, self._key, self._keys = None, b"", [None] * count
        self._num_computed = 0

    def keep_in(self, kept, key):
        """Says where rows are kept, features and probabilities, and the key of what computes them."""
        self._kept, self._key = kept, key

    def is_known(self, index, digest):
        """Looks up the rows of an image by its print, and says whether there is nothing to compute."""
        self._keys[index] = key = self._key + digest
        wanted = zip(self._kept, (self.features, self.probabilities), strict=True)
        found = [(rows, kept.get(key)) for kept, rows in wanted if rows is not None]
        if any(row is None for _, row in found):
            return False
        for rows, row in found:
            rows[index] = row
        return True

    def compute(self, model, batches, advance):
        """Computes the rows of batches, each with the indices of its images, and keeps them."""
        indices = None

        def pixels():
            nonlocal indices
            for indices, images in batches:  # noqa: B007 (read below, when they are computed)
                yield images

        for outputs in iterate_model(model, pixels()):
            self._add(indices, *np.split(outputs, [-self.probabilities.shape[1]], axis=1))
            self._num_computed += len(outputs)
            advance(len(outputs))

    def _add(self, indices, features, probabilities):
        self.probabilities[indices] = probabilities
        if self.features is not None:
            self.features[indices] = features
        if self._kept is not None:
            keys = [self._keys[index] for index in indices]
            for kept, rows in zip(self._kept, (features, probabilities), strict=True):
                kept.put(keys, rows)

    def finish(self, failures, stops, advance):
        """Leaves out the rows of images that cannot be read; if these are all, or one `stops` the run, raises."""
        count = len(self.probabilities)
        if failures and (stops or len(failures) == count):
            raise ImageReadError(failures, count)
        advance(count - len(failures) - self._num_computed)
        if failures:
            left_out = [index for index, *_ in failures]
            self.probabilities = np.delete(self.probabilities, left_out, axis=0)
            self.features = None if self.features is None else np.delete(self.features, left_out, axis=0)
        self.failures = failures


def _until_one_fails(stream):
    """The batches before the first image that cannot be read. After it the others are read, but not handed on.

    So the error names every image that cannot be read, and nothing is computed in vain.
    """
    for batch in stream:
        if not stream.failures:
            yield batch
