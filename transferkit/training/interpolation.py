"""Interpolates between the weights before and after fine-tuning, by validation loss (WiSE-FT)."""

from dataclasses import dataclass, field

import numpy as np

from transferkit._utils import console
from transferkit.evaluation.calibration import judge_at_best_temperature, log_loss, logits_of
from transferkit.models.heads import divide_logits
from transferkit.models.weights import blend, capture, restore

# 0 is one of them, so that a schedule that did not help ends where it began.
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the way to the fine-tuned weights, to choose from
_WORTHWHILE = 1e-3  # relative gain in held-out loss that it takes to move away from the beginning at all


@dataclass(frozen=True)
class Interpolated:
    """The outcome of `interpolate`.

    Attributes:
        share: Share of the way to the fine-tuned weights.
        loss: What was compared: log loss on validation data at the best temperature, against Platt's targets.
        log_loss: Plain validation log loss, temperature included.
        accuracy: Validation accuracy.
        weights: The weights, the temperature among them, as `capture` gives them.
    """

    share: float
    loss: float
    log_loss: float
    accuracy: float
    weights: list[np.ndarray] = field(repr=False)


@dataclass(frozen=True)
class Judgement:
    """How one set of weights does on validation data.

    Attributes:
        loss: Log loss at the best temperature, against Platt's targets.
        accuracy: Accuracy.
        temperature: The best temperature.
        log_loss: Plain log loss at the best temperature.
    """

    loss: float
    accuracy: float
    temperature: float
    log_loss: float


def interpolate(start, end, components, probabilities, labels, weights=None):
    """Chooses weights between two sets by the log loss on validation data, each at its best temperature.

    Wortsman et al. (CVPR 2022): the weights between a pretrained and a fine-tuned network are often better, and more
    robust, than either. The temperature is part of the outcome, so its probabilities are calibrated.

    Args:
        start: Weights before fine-tuning, as `capture` gives them.
        end: Weights after it.
        components: The `Components` of the classifier, which is left with the weights that were chosen.
        probabilities: Function that returns `(n, num_classes)` for the validation images with the present weights.
        labels: Their `(n,)` codes or, for multi-label data, `(n, num_classes)` 0 and 1.
        weights: `(n,)` weights of these images, or `None`.

    Returns:
        An `Interpolated`.
    """
    trials = []
    with console.step("Interpolating weights", len(SHARES), "set") as advance:
        for share in SHARES:
            trials.append(judge_weights(blend(start, end, share), components, probabilities, labels, weights))
            advance(1)
    losses = [trial.loss for trial in trials]
    best = int(np.argmin(losses))
    best = 0 if losses[best] > (1 - _WORTHWHILE) * losses[0] else best
    found, before, after = trials[best], trials[0], trials[-1]
    restore(components.models, blend(start, end, SHARES[best]))
    # After `restore`, which would overwrite the temperature.
    divide_logits(components.head, found.temperature)
    console.note(
        f"Weights {SHARES[best]:.0%} of the way from before to after fine-tuning are best on validation data: "
        f"log loss {found.log_loss:.3f}, accuracy {found.accuracy:.3f} (before {before.log_loss:.3f}, "
        f"{before.accuracy:.3f}; after {after.log_loss:.3f}, {after.accuracy:.3f})"
    )
    return Interpolated(SHARES[best], found.loss, found.log_loss, found.accuracy, capture(components.models))


def judge_weights(values, components, probabilities, labels, weights=None):
    """Judges one set of weights as `interpolate` does; for arguments see there.

    Returns:
        A `Judgement`. The classifier is left with these weights.
    """
    restore(components.models, values)
    # The model ends in a softmax or sigmoid, so its logits have to be recovered from probabilities.
    logits = logits_of(probabilities(), labels)
    judged = judge_at_best_temperature(logits, labels, weights)
    return Judgement(*judged, log_loss(logits / judged[-1], labels, weights))
