"""The model that one phase trains, which stands for the whole classifier wherever it is saved."""

from dataclasses import dataclass

import keras

from transferkit._utils.keras import BuiltModel
from transferkit.models.lora import LowRank


@dataclass(frozen=True)
class _Whole:
    """A classifier, and what adapts its layers while it trains."""

    model: keras.Model
    adapters: tuple[LowRank, ...] = ()

    def with_adapters_merged(self, method, *args, **kwargs):
        """Calls a method while kernels are what their adapters make of them."""
        kernels = [(adapter.layer.kernel, adapter.layer.kernel.numpy()) for adapter in self.adapters]
        for adapter in self.adapters:
            adapter.layer.kernel.assign(adapter.merged_kernel())
        try:
            return method(*args, **kwargs)
        finally:
            for kernel, value in kernels:
                kernel.assign(value)

    def reset_adapters(self):
        """Lets adapters add nothing to kernels that are new."""
        for adapter in self.adapters:
            adapter.reset()


class Trainee(BuiltModel):
    """A functional model that is trained in place of a whole classifier, and saved as that.

    The classifier takes pixels of any size: so Keras' `ModelCheckpoint` writes files that can be used, and those are
    files of plain Keras. Keras' `EarlyStopping` puts weights back that it took in an earlier phase, from another model.

    Args:
        inputs: Symbolic inputs.
        outputs: Symbolic outputs, of layers that share their weights with the classifier.
        whole: The classifier.
        adapters: `LowRank` layers of the trainee, which are merged into what is saved.
    """

    def __init__(self, inputs, outputs, whole, adapters=()):
        super().__init__(inputs=inputs, outputs=outputs, name="trainee")
        # In an object of its own, where Keras does not look: the classifier is no layer of what is trained.
        self._whole = _Whole(whole, adapters)

    def save(self, *args, **kwargs):
        """Saves the whole classifier."""
        return self._whole.with_adapters_merged(self._whole.model.save, *args, **kwargs)

    def save_weights(self, *args, **kwargs):
        """Saves the weights of the whole classifier."""
        return self._whole.with_adapters_merged(self._whole.model.save_weights, *args, **kwargs)

    def load_weights(self, *args, **kwargs):
        """Loads weights of the whole classifier."""
        self._whole.model.load_weights(*args, **kwargs)
        self._whole.reset_adapters()

    def get_weights(self):
        """Returns the weights of the whole classifier."""
        return self._whole.with_adapters_merged(self._whole.model.get_weights)

    def set_weights(self, weights):
        """Sets the weights of the whole classifier."""
        self._whole.model.set_weights(weights)
        self._whole.reset_adapters()

    def to_json(self, **kwargs):
        """Describes the whole classifier, for the graph in TensorBoard."""
        return self._whole.model.to_json(**kwargs)
