"""What phases train on: images or, where part of the network is frozen, its activations."""

from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np

from transferkit.data.class_weights import weigh
from transferkit.data.datasets import Targets, Variation, activation_batches, training_batches, validation_batches
from transferkit.data.epochs import Epochs
from transferkit.data.resizing import ImageFormat
from transferkit.data.sampling import Sampling
from transferkit.data.source import Source
from transferkit.training.phases import Phase


@dataclass(frozen=True)
class TrainingData:
    """What phases train on.

    Attributes:
        training: `Source` of the images to learn from.
        validation: `Source` of those that choose epochs.
        class_weights: `(num_classes,)` float32 weights of the classes, or `None`. Images of both sources weigh what
            their class does times what they weigh themselves: what is learnt is what is chosen by.
        sampling: `Sampling` of the training images, or `None`: each of them once in every epoch.
        image_format: The `ImageFormat` they are brought into.
        batch_size: Images a step.
        augmenter_for: Function from a phase to what augments its images, from `as_augmentation`, or `None`.
        seed: Seed of orders and augmentation.
    """

    training: Source
    validation: Source
    image_format: ImageFormat
    batch_size: int
    seed: int
    class_weights: np.ndarray | None = None
    sampling: Sampling | None = None
    augmenter_for: Callable[[Phase], object] = lambda phase: None

    @property
    def num_classes(self):
        """Number of classes."""
        return len(self.training.class_names)

    @property
    def steps_per_epoch(self):
        """Number of batches in an epoch."""
        count = len(self.training) if self.sampling is None else self.sampling.num_rows
        return -(-count // self.batch_size)

    def targets(self, label_smoothing=0.0):
        """Targets of the training images."""
        return _targets_of(weigh(self.training, self.class_weights), label_smoothing)

    @property
    def held_out_targets(self):
        """Targets of the validation images."""
        return _targets_of(weigh(self.validation, self.class_weights))

    @contextmanager
    def activations_for(self, phase, activations, first_epoch):
        """Yields batches of `Activations`: `(training, validation)`."""
        targets, held_out = self.targets(phase.label_smoothing), self.held_out_targets
        with ExitStack() as stack:
            epochs = Epochs(phase.epochs, first_epoch, self.seed, self.sampling)
            training = activation_batches(activations.training, targets, self.batch_size, epochs)
            validation = activation_batches([activations.validation], held_out, self.batch_size)
            yield stack.enter_context(training), stack.enter_context(validation)

    @contextmanager
    def images_for(self, phase, first_epoch, epochs=None):
        """Yields batches of images: `(training, validation)`."""
        shape = self.image_format, self.batch_size
        with ExitStack() as stack:
            planned = Epochs(epochs or phase.epochs, first_epoch, self.seed, self.sampling)
            variation = Variation(self.augmenter_for(phase), phase.mixup, phase.cutmix)
            targets = self.targets(phase.label_smoothing)
            training = training_batches(self.training, targets, *shape, planned, variation)
            validation = validation_batches(self.validation, self.held_out_targets, *shape)
            yield stack.enter_context(training), stack.enter_context(validation)


def _targets_of(source, label_smoothing=0.0):
    return Targets(source.labels, len(source.class_names), source.weights, label_smoothing, source.targets, source.task)
