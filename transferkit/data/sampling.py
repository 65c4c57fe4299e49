"""Which images an epoch has, where it does not have each of them once."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Sampling:
    """Draws the images of each epoch so that all classes have the same number of them.

    Args:
        labels: `(n,)` integer codes.
        kind: `"oversample"`: as many images in all as there are; an image of a class comes again only after all others
            of it. `"undersample"`: as many of each class as the smallest has, other ones in every epoch.
        seed: Seed, an integer.
    """

    labels: np.ndarray = field(repr=False)
    kind: str
    seed: int

    @property
    def num_rows(self):
        """Number of images in an epoch."""
        if self.kind == "undersample":
            return self._num_classes * self._fewest
        return len(self.labels)

    def rows(self, epoch):
        """Returns the images of an epoch in their order, `(num_rows,)` int32."""
        # From seed and epoch alone, so that an epoch can be made again by itself.
        rng = np.random.default_rng([self.seed, epoch])
        each, more = divmod(self.num_rows, self._num_classes)
        # The images that remain after the division go to classes drawn anew in each epoch.
        lucky = set(rng.permutation(self._num_classes)[:more].tolist())
        drawn = [
            _draw(np.flatnonzero(self.labels == code), each + (place in lucky), rng)
            for place, code in enumerate(np.unique(self.labels))
        ]
        return rng.permutation(np.concatenate(drawn)).astype("int32")

    @property
    def _num_classes(self):
        return len(np.unique(self.labels))

    @property
    def _fewest(self):
        counts = np.bincount(self.labels)
        return int(counts[counts > 0].min())


def _draw(members, count, rng):
    """Draws `count` members; how often each is drawn differs by one at most."""
    rounds = [rng.permutation(members) for _ in range(-(-count // len(members)))]
    return np.concatenate(rounds)[:count] if rounds else members[:0]
