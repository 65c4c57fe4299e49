"""Methods for imbalanced classes: one object for each."""

from typing import Literal, get_args

import numpy as np

from transferkit._utils import console
from transferkit.data.class_weights import log_prior
from transferkit.data.sampling import Sampling
from transferkit.models.heads import shift_logits
from transferkit.solvers.examples import Examples
from transferkit.solvers.path import Search
from transferkit.training.balance.smote import check_smote, fit_head_by_smote

BalanceName = Literal["logit_adjustment", "oversample", "undersample", "focal", "crt", "smote"]

FOCUS = 2.0  # exponent of the focal loss
_UNEVEN = 3.0  # images of the largest class for each of the smallest from which on "auto" does something
_WORTH_A_NOTE = 10.0


class Balance:
    """Treats imbalance by `class_weight` alone. Each method is a subclass that overrides what it has to.

    Attributes:
        name: The argument `balance` of a classifier that asks for it.
        focus: Exponent of the focal loss; 0: the log loss.
        needs_logistic_head: Whether it works only with the logistic head.
    """

    name: str | None = None
    focus = 0.0
    needs_logistic_head = False

    def check(self, schedule, source, has_validation):
        """Raises an error if the method does not fit this `Schedule` or these images."""

    def sampling(self, labels, seed):
        """Returns the `Sampling` for training by an optimizer, or `None`: each image once in every epoch."""
        return

    def weighting_of_solved(self, class_weight):
        """Returns the `class_weight` of a head that is solved."""
        return class_weight

    def solve_head(self, trainer, cross_validate):
        """Fits the logistic head by its solver. Returns its history."""
        weighting = self.weighting_of_solved(trainer.settings.class_weight)
        return trainer.fit_head(np.arange(len(trainer.source)), weighting, cross_validate)

    def refine(self, trainer):
        """Does what is left to do after training by an optimizer."""

    def finish(self, components, source):
        """Changes the finished classifier."""


class LogitAdjustment(Balance):
    """Removes the class prior from the finished classifier: subtracts the log of each class frequency from its logit.

    The most probable class is then the one with the best balanced accuracy (Menon et al., ICLR 2021, with τ = 1). A
    head with an intercept that is trained by balanced softmax (Ren et al., NeurIPS 2020) is equivalent.
    """

    name = "logit_adjustment"

    def finish(self, components, source):
        """Shifts the logits."""
        shift_logits(components.head, -log_prior(source))


class Oversample(Balance):
    """Images of rare classes are drawn more often."""

    name = "oversample"

    def sampling(self, labels, seed):
        """Each epoch has as many images as there are."""
        return Sampling(labels, self.name, seed)

    def weighting_of_solved(self, class_weight):
        """A solved head uses each image once: balanced weights take the place of oversampling."""
        return "balanced"


class Undersample(Balance):
    """Each class is sampled down to the size of the smallest."""

    name = "undersample"

    def sampling(self, labels, seed):
        """Different images in every epoch."""
        return Sampling(labels, self.name, seed)

    def solve_head(self, trainer, cross_validate):
        """Fits to the images of the first epoch."""
        # Sorted, because `fit_head` takes indices in order.
        return trainer.fit_head(np.sort(trainer.sampling.rows(0)), None, cross_validate)


class Focal(Balance):
    """The focal loss (Lin et al., ICCV 2017), which down-weights easy examples."""

    name = "focal"
    focus = FOCUS


class Retrained(Balance):
    """Refits the logistic head, with balanced classes, to features of the trained network (cRT).

    Kang et al., "Decoupling representation and classifier", ICLR 2020.
    """

    name = "crt"
    needs_logistic_head = True

    def weighting_of_solved(self, class_weight):
        """Balanced: all classes count alike."""
        return "balanced"

    def refine(self, trainer):
        """Fits the head anew."""
        trainer.retrain_head()


class Smote(Balance):
    """Adds synthetic features of rare classes, interpolated between images (SMOTE; Chawla et al., JAIR 2002)."""

    name = "smote"
    needs_logistic_head = True

    def check(self, schedule, source, has_validation):
        """SMOTE interpolates features, not images, within one class."""
        check_smote(schedule, source, has_validation)

    def solve_head(self, trainer, cross_validate):
        """Fits to equally many features of each class."""
        source, validation, (features, held_out) = trainer.source, trainer.validation, trainer.features
        examples = Examples(features[: len(source)], source.labels, groups=source.groups)
        judges = None if held_out is None else Examples(held_out, validation.labels, weights=validation.weights)
        search = Search(validation=judges, seed=trainer.settings.seed)
        return fit_head_by_smote(trainer.components.dense, examples, search).history


_METHODS = {method.name: method() for method in (LogitAdjustment, Oversample, Undersample, Focal, Retrained, Smote)}
BALANCES = get_args(BalanceName)


def check_balance(balance, class_weight, head):
    """Raises `ValueError` unless `balance` is known and compatible with `class_weight` and `head`."""
    if balance is not None and balance not in ("auto", *BALANCES):
        raise ValueError(
            f"`balance` must be None, 'auto', {', '.join(map(repr, BALANCES))}. Received: balance={balance!r}."
        )
    if balance is not None and class_weight is not None:
        raise ValueError(
            "`balance` and `class_weight` both make up for classes of different sizes: give one of them. "
            f"Received: balance={balance!r}, class_weight={class_weight!r}."
        )
    if balance in _METHODS and _METHODS[balance].needs_logistic_head and head != "logistic":
        raise ValueError(
            f"balance={balance!r} needs the logistic head. Received: head={head!r}. "
            "Leave `head` out, or try balance='logit_adjustment'."
        )


def find_balance(balance, labels, class_weight=None):
    """Decides what to do about imbalanced classes, and notes it where it matters.

    Args:
        balance: The argument of the classifier.
        labels: `(n,)` integer codes of the training images.
        class_weight: The argument of the classifier.

    Returns:
        A `Balance`.
    """
    counts = np.bincount(labels)
    ratio = counts.max() / counts[counts > 0].min()
    if balance == "auto":
        balance = LogitAdjustment.name if ratio >= _UNEVEN else None
        console.note(f"The largest class is {ratio:.1f} times as large as the smallest: balance={balance!r}.")
    elif balance is None and class_weight is None and ratio >= _WORTH_A_NOTE:
        console.note(
            f"The largest class is {ratio:.0f} times as large as the smallest. Rare classes will be found less often; "
            "`balance` makes up for it."
        )
    return Balance() if balance is None else _METHODS[balance]
