"""How much an image is like those that a classifier knows, by its features."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

NEIGHBOURS = 5
"""Which of the nearest images decides: one alone may be odd itself, and of many a small class has too few."""

_MOST_REFERENCES = 512
_REFERENCE_FLOATS = 1 << 20  # in all references together
_FEWEST_REFERENCES = 64
_MOST_COMPARED = 4096  # images that say what is usual
_BLOCK = 1024  # rows that are compared at once


@dataclass(frozen=True, eq=False)
class Familiarity:
    """What familiar images look like to a network.

    An image is as familiar as its features are similar, by their cosine, to the fifth most similar of the references
    (Sun et al., "Out-of-distribution detection with deep nearest neighbors", ICML 2022). Of the scores that we have
    measured, distances on normalised features tell unlike images best, and this one needs neither labels nor logits.

    Attributes:
        references: `(m, num_features)` float16: features of familiar images, each of length 1.
        usual: `(n,)` float32, sorted: similarities of familiar images to references other than themselves.
    """

    references: np.ndarray = field(repr=False)
    usual: np.ndarray = field(repr=False)

    @classmethod
    def of(cls, features: Any, groups: np.ndarray | None = None, seed: int = 0) -> "Familiarity":
        """Learns from familiar images that the network was not trained on.

        Args:
            features: `(n, num_features)`, an array or what can be indexed as one.
            groups: `(n,)` what images belong to, or `None`. Nobody is compared with others of its group: frames of one
                film would make all others look strange.
            seed: Which images are taken, if there are many.
        """
        count, width = features.shape
        order = np.random.default_rng(seed).permutation(count)
        most = min(_MOST_REFERENCES, max(_FEWEST_REFERENCES, _REFERENCE_FLOATS // width))
        compared, chosen = np.sort(order[:_MOST_COMPARED]), np.sort(order[:most])
        references = _normalised(features[chosen]).astype("float16")
        groups = np.arange(count) if groups is None else groups
        similarities = _similarities(features[compared], references, groups[compared], groups[chosen])
        return cls(references, np.sort(similarities[np.isfinite(similarities)]))

    def shares(self, features: np.ndarray) -> np.ndarray:
        """Returns how large the share of familiar images is that are no more familiar, float32 `(n,)`.

        It is counted with the image itself, so it lies in `(0, 1]`, and of familiar images at most a share of `p` has a
        value of `p` or less.

        Args:
            features: `(n, num_features)`.
        """
        places = np.searchsorted(self.usual, _similarities(features, self.references), side="right")
        return ((places + 1) / (len(self.usual) + 1)).astype("float32")

    @property
    def smallest_share(self) -> float:
        """The least that `shares` can give: it is finer, the more images were learnt from."""
        return 1 / (len(self.usual) + 1)


def _normalised(features):
    rows = np.asarray(features, "float32")
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def _similarities(features, references, groups=None, reference_groups=None):
    """Cosine to the fifth most similar reference, `(n,)` float32; infinite below 0 where there is no reference."""
    references, result = references.astype("float32"), np.empty(len(features), "float32")
    for start in range(0, len(features), _BLOCK):
        rows = slice(start, start + _BLOCK)
        cosines = _normalised(features[rows]) @ references.T
        if groups is not None:
            cosines[groups[rows, None] == reference_groups] = -np.inf
        result[rows] = _nth_largest(cosines, NEIGHBOURS)
    return result


def _nth_largest(values, place):
    """The `place`-th largest finite value of each row, or its smallest one if there are fewer."""
    largest = np.sort(np.partition(values, -min(place, values.shape[1]), axis=1)[:, -place:], axis=1)[:, ::-1]
    return np.take_along_axis(largest, np.maximum(np.isfinite(largest).sum(axis=1) - 1, 0)[:, None], axis=1)[:, 0]
