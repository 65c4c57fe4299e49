"""What phases train on: images or, where nothing changes them, features."""

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

import numpy as np

from transferkit.data.datasets import FeatureBatches, Targets, training_batches, validation_batches
from transferkit.data.source import Source


@dataclass(frozen=True)
class Material:
    """What phases train on.

    Attributes:
        training: `Source` of the images to learn from.
        validation: `Source` of those that choose epochs.
        features: Pooled features `(n, num_features)` of the frozen backbone for both, or `None`.
        class_weights: `(num_classes,)` weights in the loss, or `None`.
        image_size: `(height, width)` in pixels.
        batch_size: Images a step.
        interpolation: How images are resized.
        augmenter: From `as_augmentation`, or `None`.
        augments_heads: Whether phases that train the head only are augmented, too.
        seed: Seed of orders and augmentation.
    """

    training: Source
    validation: Source
    image_size: tuple[int, int]
    batch_size: int
    interpolation: str
    seed: int
    features: tuple[np.ndarray, np.ndarray] | None = field(default=None, repr=False)
    class_weights: np.ndarray | None = None
    augmenter: object = None
    augments_heads: bool = False

    @property
    def num_classes(self):
        """Number of classes."""
        return len(self.training.class_names)

    @property
    def steps_per_epoch(self):
        """Number of batches in an epoch."""
        return -(-len(self.training) // self.batch_size)

    def targets(self, label_smoothing=0.0):
        """Targets of the training images."""
        return Targets(self.training.labels, self.num_classes, self.class_weights, label_smoothing)

    def augmenter_for(self, phase):
        """Returns what augments the images of a phase, or `None`."""
        return self.augmenter if self.augments_heads or not phase.trains_head_only else None

    def allows_features(self, phase):
        """Whether a phase sees the same pixels in every epoch and leaves the backbone alone."""
        return phase.trains_head_only and self.augmenter_for(phase) is None and not phase.mixes

    def uses_features(self, phase):
        """Whether a phase trains on features that were computed before."""
        return self.features is not None and self.allows_features(phase)

    def with_features(self, features):
        """Returns a copy that has features."""
        return replace(self, features=features)

    @contextmanager
    def features_for(self, phase):
        """Yields batches of features: `(training, validation)`."""
        held_out = Targets(self.validation.labels, self.num_classes)
        batches = (
            FeatureBatches(self.features[0], self.targets(phase.label_smoothing), self.batch_size, self.seed),
            FeatureBatches(self.features[1], held_out, self.batch_size),
        )
        try:
            yield batches
        finally:
            for stream in batches:
                stream.release()

    @contextmanager
    def images_for(self, phase, first_epoch, epochs=None):
        """Yields batches of images: `(training, validation)`."""
        shape = self.image_size, self.batch_size, self.interpolation
        held_out = Targets(self.validation.labels, self.num_classes)
        with ExitStack() as stack:
            training = training_batches(
                self.training, self.targets(phase.label_smoothing), *shape, seed=self.seed,
                epochs=epochs or phase.epochs,
                first_epoch=first_epoch, augmenter=self.augmenter_for(phase), mixup=phase.mixup, cutmix=phase.cutmix,
            )  # fmt: skip
            validation = validation_batches(self.validation, held_out, *shape)
            yield stack.enter_context(training), stack.enter_context(validation)
