"""Runs a whole classifier over many images."""

from itertools import chain

import numpy as np

from transferkit.data.reader import ImageReader
from transferkit.exceptions import ImageReadError
from transferkit.frozen.compiling import compile_front, first_model
from transferkit.frozen.forward import iterate_model
from transferkit.frozen.signatures import weights_of
from transferkit.models.assembly import components_of


class Predictor:
    """Probabilities of many images, as fast as the device allows; in float32, always.

    From a whole batch of images on, the classifier is compiled with the weights that it has at that time. Whoever
    trains its model further gets another one.

    Args:
        model: A classifier that `assemble` made.
        backbone: Its `Backbone`.
        image_format: The `ImageFormat` of what the classifier was trained on.
    """

    def __init__(self, model, backbone, image_format):
        self._model = model
        self._preprocessing, self._network, self._head = components_of(model)
        self._scaling = backbone.build_scaling(image_format.channels)
        self._format = image_format
        self._reader = ImageReader(image_format)
        self._weights = None
        self._fronts = {}

    def predict(self, source, batch_size, advance=lambda count: None):
        """Computes the probabilities of all images, each of which is read once.

        Args:
            source: A `Source`. Nobody has to have looked at its images.
            batch_size: Images a batch.
            advance: Called with the number of images in every batch done.

        Returns:
            float32 `(n, num_classes)`, in the order of the images.

        Raises:
            ImageReadError: With all images that cannot be read.
        """
        stream = self._reader.stream_readable(source, batch_size)
        probabilities = self._run(_until_one_fails(stream), source, batch_size, advance)
        if stream.failures:
            raise ImageReadError(stream.failures, len(source))
        return probabilities

    def predict_readable(self, source, batch_size, advance=lambda count: None):
        """Computes the probabilities of the images that can be read; for arguments see `predict`.

        Returns:
            `(probabilities, failures)`: float32 `(m, num_classes)`, in the order of the images, and a tuple of `(index,
            name, reason)`, one for each of the others.

        Raises:
            ImageReadError: If no image can be read.
        """
        stream = self._reader.stream_readable(source, batch_size)
        probabilities = self._run(iter(stream), source, batch_size, advance)
        if probabilities is None:
            raise ImageReadError(stream.failures, len(source))
        return probabilities, stream.failures

    def _run(self, batches, source, batch_size, advance):
        """Runs the model over all batches. Returns the probabilities, or `None` if there is not one batch."""
        first = next(batches, None)
        if first is None:
            return None
        # Compiling takes longer than computing less than a batch.
        model = self._model if len(first) < batch_size else self._compiled(source, batch_size)
        found = []
        for rows in iterate_model(model, chain([first], batches)):
            found.append(rows)
            advance(len(rows))
        return np.concatenate(found)

    def _compiled(self, source, batch_size):
        weights = weights_of(self._model)
        # Fronts are compiled with the weights they had, and are stale once these change.
        if weights != self._weights:
            self._weights, self._fronts = weights, {}
        # One array is streamed at its own size, files at that of the network.
        size = tuple(source.images.shape[1:3]) if source.is_uniform else self._format.image_size
        if (size, batch_size) not in self._fronts:
            first = first_model(self._scaling, self._preprocessing, size, self._format)
            models = (first, self._network, self._head)
            self._fronts[size, batch_size] = compile_front(models, batch_size=batch_size)
        return self._fronts[size, batch_size]


def _until_one_fails(stream):
    """The batches before the first image that cannot be read. After it the others are read, but not handed on.

    So the error names every image that cannot be read, and nothing is computed in vain.
    """
    for batch in stream:
        if not stream.failures:
            yield batch
