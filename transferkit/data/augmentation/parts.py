"""What an `Augmentation` does, one thing at a time: to see what each does to images, and to do less of it."""

from dataclasses import dataclass, replace

import tensorflow as tf

from transferkit.data.augmentation.augmentation import Augmentation
from transferkit.data.augmentation.transforms import Parameters, transform_images

_AS_THEY_ARE = Augmentation()


@dataclass(frozen=True)
class Part:
    """One thing that an `Augmentation` can do.

    Attributes:
        title: What it is called in messages.
        fields: The fields of an `Augmentation` that say how strongly.
        is_mirroring: Whether it happens to an image or not, so that there is no less of it.
    """

    title: str
    fields: tuple[str, ...]
    is_mirroring: bool = False

    def is_in(self, augmentation):
        """Whether an augmentation does it."""
        return any(getattr(augmentation, name) != getattr(_AS_THEY_ARE, name) for name in self.fields)

    def alone(self, augmentation):
        """Returns an `Augmentation` that does this, as strongly, and nothing else."""
        return self._with(replace(_AS_THEY_ARE, fill_mode=augmentation.fill_mode), augmentation)

    def without(self, augmentation):
        """Returns an `Augmentation` that does all but this."""
        return self._with(augmentation, _AS_THEY_ARE)

    def halved(self, augmentation):
        """Returns an `Augmentation` that does this half as strongly, and the rest as before."""
        return replace(augmentation, **{name: _half(name, getattr(augmentation, name)) for name in self.fields})

    def apply(self, augmentation, images, key):
        """Does it to images: mirrors all of them, or draws for each how strongly, as the augmentation would.

        Args:
            augmentation: The `Augmentation`.
            images: `(n, height, width, channels)` float32 in `[0, 255]`.
            key: Two integers.

        Returns:
            float32 array of the same shape.
        """
        if not self.is_mirroring:
            return self.alone(augmentation).augment(tf.constant(images), key).numpy()
        everywhere = Parameters(**{name: tf.ones(len(images), tf.bool) for name in self.fields})
        return transform_images(tf.constant(images), everywhere, "nearest", 0.0, "bilinear").numpy()

    def _with(self, augmentation, other):
        return replace(augmentation, **{name: getattr(other, name) for name in self.fields})


PARTS = (
    Part("left-right mirroring", ("horizontal_flip",), is_mirroring=True),
    Part("upside-down mirroring", ("vertical_flip",), is_mirroring=True),
    Part("rotation", ("rotation",)),
    Part("shifting", ("width_shift", "height_shift")),
    Part("shearing", ("shear",)),
    Part("zooming", ("zoom",)),
    Part("changing brightness", ("brightness", "contrast", "channel_shift")),
    Part("changing colours", ("saturation", "hue")),
)
"""All that an `Augmentation` can do."""


def parts_of(augmentation):
    """Returns a list of the `Part` that an `Augmentation` has."""
    return [part for part in PARTS if part.is_in(augmentation)]


def _half(name, value):
    """Half of what a field of an `Augmentation` stands for."""
    if isinstance(value, tuple) and name.endswith("_shift"):
        return tuple(shift / 2 for shift in value)
    if isinstance(value, tuple):  # a range of factors, 1 among them or not
        return tuple(1 + (bound - 1) / 2 for bound in value)
    return max(value // 2, 1) if isinstance(value, int) and name.endswith("_shift") else value / 2
