"""Sets of classes that hold the right one with a chosen probability: split conformal prediction (Vovk et al., 2005).

How unusual a class is for an image is told by three numbers: its probability, its rank, and its mass, which is the
probability of all classes down to it. Images that were not trained on say how unusual right classes are, and a set
holds all classes that are not more unusual than nearly all of these.
"""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

import numpy as np

SetMethod = Literal["raps", "aps", "lac"]
SET_METHODS = get_args(SetMethod)

PENALTY = 0.01
"""What each rank after the first costs in RAPS (`benchmarks/calibration.py`)."""

_ROUNDING = 1e-9


class Ranking(NamedTuple):
    """Where classes stand among all classes of their image, from the most probable one: three arrays of one shape.

    Attributes:
        probabilities: Probability of each.
        ranks: Its rank, 0 for the most probable.
        masses: Probability of it and of all that are more probable.
    """

    probabilities: np.ndarray
    ranks: np.ndarray
    masses: np.ndarray


def rank_classes(probabilities: np.ndarray) -> Ranking:
    """Returns the `Ranking` of all classes, by probabilities `(n, num_classes)`. Ties go to the first class."""
    order = np.argsort(-probabilities, axis=1, kind="stable")
    in_order = np.take_along_axis(probabilities, order, axis=1).astype("float64")
    ranks, masses = np.empty(order.shape, np.int32), np.empty(order.shape, "float32")
    np.put_along_axis(ranks, order, np.arange(order.shape[1], dtype=np.int32)[None], axis=1)
    np.put_along_axis(masses, order, np.cumsum(in_order, axis=1).astype("float32"), axis=1)
    return Ranking(probabilities, ranks, masses)


def unusualness(ranking: Ranking, method: SetMethod = "raps", draws: float | np.ndarray = 1.0) -> np.ndarray:
    """Tells how unusual each class of a `Ranking` is for its image, in its shape: the higher, the more unusual.

    Args:
        ranking: The `Ranking`.
        method: `"raps"`: the mass, and `PENALTY` for each rank after the first, which keeps sets small where many
            classes are improbable (Angelopoulos et al., ICLR 2021); `"aps"`: the mass (Romano et al., NeurIPS 2020);
            `"lac"`: 1 - probability (Sadinle et al., JASA 2019).
        draws: Share of its own probability that a class is spared, from 0 to 1, in RAPS and APS. Drawn for each image
            as in the papers, it is what makes their outcome one of chance. 1 leaves the mass of the classes before it.
            0 leaves all, so that an image whose class is beyond doubt looks as unusual as one can be: sets of useless
            size.
    """
    if method == "lac":
        return 1.0 - ranking.probabilities
    scores = ranking.masses - draws * ranking.probabilities
    return scores + PENALTY * ranking.ranks if method == "raps" else scores


def images_needed(coverage: float) -> int:
    """Returns how many images sets of a coverage, between 0 and 1, must be calibrated on at least."""
    return int(np.ceil(coverage / (1 - coverage) - _ROUNDING))


def conformal_quantile(scores: np.ndarray, coverage: float) -> float:
    """Returns what the score of one more image is at most, with a probability of `coverage` or more.

    It is infinite where there are too few scores `(n,)` to tell; see `images_needed`.
    """
    place = int(np.ceil((len(scores) + 1) * coverage - _ROUNDING))
    return float(np.partition(scores, place - 1)[place - 1]) if place <= len(scores) else np.inf


@dataclass(frozen=True, eq=False)
class Conformal:
    """What sets of classes are calibrated on: where the right classes of held-out images stand.

    Attributes:
        labels: `(n,)` codes of the right classes.
        ranking: The `Ranking` of these: arrays `(n,)`.
        num_classes: Number of classes.
        origin: Which images they are, as a part of a sentence.
    """

    labels: np.ndarray = field(repr=False)
    ranking: Ranking = field(repr=False)
    num_classes: int
    origin: str = "held-out images"

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def of(cls, probabilities: np.ndarray, labels: np.ndarray, origin: str = "held-out images") -> "Conformal":
        """Takes what is needed from probabilities `(n, num_classes)` and codes `(n,)` of held-out images."""
        own = np.arange(len(labels)), labels
        ranking = Ranking(*(column[own] for column in rank_classes(probabilities)))
        return cls(labels.astype(np.int32), ranking, probabilities.shape[1], origin)

    @property
    def class_counts(self) -> np.ndarray:
        """Number of images of each class, `(num_classes,)`."""
        return np.bincount(self.labels, minlength=self.num_classes)

    def thresholds(
        self,
        coverage: float,
        method: SetMethod = "raps",
        *,
        per_class: bool = False,
        generator: np.random.Generator | None = None,
    ) -> np.ndarray:
        """Returns how unusual a class may be to belong to a set, `(num_classes,)`.

        Args:
            coverage: Probability that the right class belongs to it, between 0 and 1.
            method: See `unusualness`.
            per_class: Whether that holds for the images of each class, and not only for all together (Mondrian
                conformal prediction; Vovk, 2012). Classes of too few images belong to every set: infinite.
            generator: Source of the draws of `unusualness`, or `None`: all are 1.
        """
        scores = unusualness(self.ranking, method, _draws(generator, self.labels.shape))
        if not per_class:
            return np.full(self.num_classes, conformal_quantile(scores, coverage))
        classes = range(self.num_classes)
        return np.array([conformal_quantile(scores[self.labels == code], coverage) for code in classes])

    def sets(
        self,
        probabilities: np.ndarray,
        coverage: float,
        method: SetMethod = "raps",
        *,
        per_class: bool = False,
        generator: np.random.Generator | None = None,
    ) -> np.ndarray:
        """Returns which classes belong to the set of each image, bool `(n, num_classes)`.

        The most probable class always does, so that no set is empty: a classifier that is right more often than
        `coverage` has sets of one class and a higher coverage.

        Args:
            probabilities: `(n, num_classes)`.
            coverage: See `thresholds`.
            method: See `unusualness`.
            per_class: See `thresholds`.
            generator: See `thresholds`.
        """
        limits = self.thresholds(coverage, method, per_class=per_class, generator=generator)
        ranking = rank_classes(probabilities)
        scores = unusualness(ranking, method, _draws(generator, (len(probabilities), 1)))
        return (scores <= limits) | (ranking.ranks == 0)


def _draws(generator: np.random.Generator | None, shape: tuple[int, ...]) -> float | np.ndarray:
    return 1.0 if generator is None else generator.random(shape, "float32")
