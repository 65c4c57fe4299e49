"""Runs a whole classifier over many images."""

from transferkit.data.datasets import stream_images
from transferkit.frozen.compiling import compile_front, first_model
from transferkit.frozen.forward import run_model
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
        self._weights = None
        self._fronts = {}

    def predict(self, source, batch_size, advance=lambda count: None):
        """Computes the probabilities of the images of a `Source`: float32 `(n, num_classes)`, in their order."""
        batches = stream_images(source, self._format, batch_size)
        model = self._model if len(source) < batch_size else self._compiled(source, batch_size)
        return run_model(model, batches, len(source), advance)

    def _compiled(self, source, batch_size):
        weights = weights_of(self._model)
        if weights != self._weights:
            self._weights, self._fronts = weights, {}
        size = tuple(source.images.shape[1:3]) if source.is_uniform else self._format.image_size
        if (size, batch_size) not in self._fronts:
            first = first_model(self._scaling, self._preprocessing, size, self._format)
            models = (first, self._network, self._head)
            self._fronts[size, batch_size] = compile_front(models, batch_size=batch_size)
        return self._fronts[size, batch_size]
