"""What a solver is given: features, and what is known of the images that they were computed from."""

from dataclasses import dataclass, replace

import numpy as np

from transferkit.solvers.axes import Taken


@dataclass(frozen=True)
class Examples:
    """Images as a solver sees them, to fit to or to judge on.

    Attributes:
        features: `(copies * n, num_features)` float32. An array, or anything that has a length and a shape and returns
            arrays for slices and for arrays of integers, such as `np.memmap`.
        labels: `(n,)` integer codes. A class with one image is never held out.
        targets: `(n, num_classes)` float32: shares of each image in the classes, which sum to 1, or 0 and 1 for the
            labels that it has. `labels` then only say how images are divided. `None`: the one-hot rows of `labels`.
        weights: `(n,)` float32 weights of the images, or `None`: in the loss, held-out loss and accuracy included, and
            in what features are standardised by. An image of weight 0 is left out, one of weight 2 counts as two.
        groups: `(n,)` integer codes of what images belong to: no fold holds out a part of a group. `None`: each image
            is a group of its own.
        copies: Number of versions of each image. The first `n` rows are the images as they are, the next `n` rows
            other views of the same images in the same order, and so on. Versions of an image are never on different
            sides of a fold, and images are judged as they are.
    """

    features: object
    labels: np.ndarray
    targets: np.ndarray | None = None
    weights: np.ndarray | None = None
    groups: np.ndarray | None = None
    copies: int = 1

    def __len__(self):
        return len(self.labels)

    @property
    def image_weights(self):
        """`(n,)` float32: the weights, or ones."""
        return np.ones(len(self), "float32") if self.weights is None else np.asarray(self.weights, "float32")

    def take(self, indices):
        """Returns some of the images, in all their versions."""
        rows = rows_of(indices, len(self), self.copies)
        features = self.features[rows] if isinstance(self.features, np.ndarray) else Taken(self.features, rows)
        names = ("labels", "targets", "weights", "groups")
        values = {name: getattr(self, name) for name in names}
        taken = {name: None if value is None else value[indices] for name, value in values.items()}
        return replace(self, features=features, **taken)


def rows_of(indices, num_images, copies):
    """Rows of features that hold all versions of some images."""
    return (indices + num_images * np.arange(copies)[:, None]).ravel()
