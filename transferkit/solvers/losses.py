"""What the activation of the last layer means to a solver: how logits are compared with labels, and judged by them."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SoftmaxLoss:
    """Log loss or, with a focus, focal loss (Lin et al., ICCV 2017) of images that belong to one class.

    Attributes:
        focus: Exponent of the focal loss, 0 for the log loss.
    """

    focus: float = 0.0

    def compare(self, logits, wanted, shares):
        """Loss of logits `(problems, classes, rows)`, which are overwritten, and its derivatives by them.

        Args:
            logits: float32.
            wanted: `(rows,)` codes, or `(classes, rows)` shares that sum to 1.
            shares: `(problems, rows)` weights.
        """
        # So that `exp` cannot overflow.
        logits -= logits.max(axis=1, keepdims=True)
        has_codes, positions = wanted.ndim == 1, np.arange(wanted.shape[-1])
        target = logits[:, wanted, positions] if has_codes else (logits * wanted).sum(axis=1)
        residual = np.exp(logits, out=logits)
        normaliser = residual.sum(axis=1)
        losses = np.log(normaliser) - target
        if self.focus:
            losses, slope = _focal(losses, self.focus)
        loss = float(np.sum(losses * shares, dtype="float64"))
        shares = shares * slope if self.focus else shares
        residual *= (shares / normaliser)[:, None]
        if has_codes:
            residual[:, wanted, positions] -= shares
        else:
            residual -= shares[:, None] * wanted
        return loss, residual

    def judged_labels(self, images):
        """What logits of images are judged by: codes, even of images that are fitted to shares."""
        return images.labels


@dataclass(frozen=True)
class SigmoidLoss:
    """The same for independent binary labels: the losses of the classes are added."""

    focus: float = 0.0

    def compare(self, logits, wanted, shares):
        """The same, with `wanted` `(classes, rows)` of 0 and 1."""
        signs = np.where(wanted > 0, np.float32(-1), np.float32(1))
        logits *= signs  # above 0 is wrong
        losses = np.logaddexp(0, logits)
        residual = np.exp(logits - losses) * shares[:, None] * signs
        if self.focus:
            losses, slope = _focal(losses, self.focus)
            residual *= slope
        return float(np.sum(losses * shares[:, None], dtype="float64")), residual

    def judged_labels(self, images):
        """What logits of images are judged by: 0 and 1 for each class."""
        return images.targets


LOSSES = {"softmax": SoftmaxLoss, "sigmoid": SigmoidLoss}
"""Kinds of loss by the activation that they belong to."""


def _focal(losses, focus):
    """Focal losses and their derivatives by the log losses `(problems, rows)`."""
    missing = -np.expm1(-losses)  # 1 - probability of the true class
    # The bound keeps 0 from being raised to a negative power where `focus` is below 1.
    by_missing = focus * np.maximum(missing, 1e-7) ** (focus - 1) * losses * (1 - missing)
    return missing**focus * losses, missing**focus + by_missing
