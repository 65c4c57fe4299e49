"""Labels and predictions as metrics see them, for all kinds of labels alike."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse import csr_array


@dataclass(frozen=True, eq=False)
class Sample:
    """What is known about a number of images: their labels, and what was predicted for them.

    Attributes:
        labels: Codes `(n,)` or, of any number of labels, `(n, num_classes)` of 0 and 1.
        probabilities: `(n, num_classes)` float64.
        predictions: What was predicted, in the form of `labels`.
        class_names: `(num_classes,)`.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    predictions: np.ndarray
    class_names: np.ndarray

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return self.probabilities.shape[1]

    @property
    def is_multilabel(self) -> bool:
        """Whether an image can have any number of labels."""
        return self.labels.ndim == 2

    @cached_property
    def truth(self) -> np.ndarray:
        """Whether an image has a label, `(n, num_classes)` bool."""
        return self._table(self.labels)

    @cached_property
    def given(self) -> np.ndarray:
        """Whether a label was predicted for an image, `(n, num_classes)` bool."""
        return self._table(self.predictions)

    @property
    def named_labels(self) -> np.ndarray:
        """Labels as functions of the user are given them: class names or, of any number of labels, 0 and 1."""
        return self.truth.astype(int) if self.is_multilabel else self.class_names[self.labels]

    @property
    def named_predictions(self) -> np.ndarray:
        """Predictions in the same form."""
        return self.given.astype(int) if self.is_multilabel else self.class_names[self.predictions]

    @cached_property
    def is_right(self) -> np.ndarray:
        """Whether all that was predicted for an image is right, `(n,)` bool."""
        same = self.labels == self.predictions
        return same.all(axis=1) if self.is_multilabel else same

    @cached_property
    def own_probabilities(self) -> np.ndarray:
        """Probability of the true class `(n,)` or, of any number of labels, of the true answer for each."""
        if self.is_multilabel:
            return np.where(self.truth, self.probabilities, 1 - self.probabilities)
        return self.probabilities[np.arange(len(self.labels)), self.labels]

    @cached_property
    def confidences(self) -> tuple[np.ndarray, np.ndarray]:
        """Probability of what was predicted for each image, and whether it is right; or of each label for each image.

        Both are `(n,)` or, of any number of labels, `(n * num_classes,)`, and whether an image has the label.
        """
        if self.is_multilabel:
            return self.probabilities.ravel(), self.truth.ravel()
        return self.probabilities.max(axis=1), self.is_right

    @cached_property
    def counting(self) -> csr_array:
        """`(3 * num_classes, n)` of 0 and 1, which turns weights into those of hits, predictions and images a class."""
        return csr_array(np.concatenate([self.truth & self.given, self.given, self.truth], axis=1).T.astype("float64"))

    @cached_property
    def rankings(self) -> list["Ranking"]:
        """A `Ranking` for each class."""
        return [rank(column, has) for column, has in zip(self.probabilities.T, self.truth.T, strict=True)]

    def _table(self, codes):
        return codes > 0 if codes.ndim == 2 else codes[:, None] == np.arange(self.num_classes)


@dataclass(frozen=True, eq=False)
class Ranking:
    """Images in the order of the probability of one class, as far as curves of it need to know.

    All are `(t, n)` of 0 and 1, where `t` counts the different probabilities of images that have the label, from the
    largest down. Times weights they give, for each of these probabilities:

    Attributes:
        steps: Images down to it that are less probable than the last one.
        hits: Images of it that have the label.
        ties: Images of it that do not have it.
    """

    steps: csr_array
    hits: csr_array
    ties: csr_array


def rank(scores, has):
    """Makes a `Ranking` of the probabilities of one class `(n,)` and of whether images have the label, `(n,)` bool."""
    levels = np.unique(scores[has])[::-1]
    step = np.searchsorted(-levels, -scores)
    is_ranked = step < len(levels)
    is_tied = is_ranked & ~has
    is_tied[is_tied] = levels[step[is_tied]] == scores[is_tied]
    return Ranking(*(_indicator(step, rows, len(levels)) for rows in (is_ranked, has, is_tied)))


def _indicator(codes, is_counted, num_codes):
    images = np.flatnonzero(is_counted)
    return csr_array((np.ones(len(images)), (codes[images], images)), (num_codes, len(codes)))
