"""Weights between those before fine-tuning and those after it, as far as validation data say (WiSE-FT)."""

from dataclasses import dataclass, field

import numpy as np

from transferkit.evaluation.calibration import judge_at_best_temperature, log_loss, logits_of
from transferkit.models.heads import divide_logits
from transferkit.models.weights import blend, capture, restore

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the way to the fine-tuned weights, to choose from
_WORTHWHILE = 1e-3  # relative gain in held-out loss that it takes to move away from the beginning at all


@dataclass(frozen=True)
class Interpolated:
    """The outcome of `interpolate`.

    Attributes:
        share: Share of the way to the fine-tuned weights.
        loss: What was compared: log loss on validation data at the best temperature, against Platt's targets.
        log_loss: Plain log loss there, temperature included.
        accuracy: Accuracy there.
        weights: The weights, the temperature among them, as `capture` gives them.
        is_best: Whether no rival was better.
    """

    share: float
    loss: float
    log_loss: float
    accuracy: float
    weights: list[np.ndarray] = field(repr=False)
    is_best: bool = True


@dataclass(frozen=True)
class _Trial:
    """What validation data say of one set of weights."""

    loss: float  # at the best temperature, against Platt's targets
    accuracy: float
    temperature: float
    log_loss: float  # at that temperature


def interpolate(start, end, parts, probabilities, labels, console, weights=None, rival=None):
    """Chooses a place between two sets of weights by their log loss at the best temperature on validation data.

    Wortsman et al. (CVPR 2022): the weights between a pretrained and a fine-tuned network are often better, and more
    robust, than either. The temperature is part of the outcome, so its probabilities are calibrated.

    Args:
        start: Weights before fine-tuning, as `capture` gives them.
        end: Weights after it.
        parts: The `Parts` of the classifier, which is left with the weights that were chosen.
        probabilities: Function that returns `(n, num_classes)` for the validation images with the present weights.
        labels: Their `(n,)` codes or, of any number of labels for each image, `(n, num_classes)` 0 and 1.
        console: Told about the progress.
        weights: `(n,)` weights of these images, or `None`.
        rival: Weights of an earlier phase that were the best so far, which must be beaten as well, or `None`.

    Returns:
        An `Interpolated`.
    """

    def judge(candidate):
        restore(parts.models, candidate)
        logits = logits_of(probabilities(), labels)
        judged = judge_at_best_temperature(logits, labels, weights)
        advance(1)
        return _Trial(*judged, log_loss(logits / judged[-1], labels, weights))

    with console.step("Interpolating weights", len(SHARES) + (rival is not None), "set") as advance:
        trials = [judge(blend(start, end, share)) for share in SHARES]
        rivals = [] if rival is None else [judge(rival)]
    losses = [trial.loss for trial in trials]
    best = int(np.argmin(losses))
    best = 0 if losses[best] > (1 - _WORTHWHILE) * losses[0] else best
    found, is_best = trials[best], all(found_before.loss > losses[best] for found_before in rivals)
    restore(parts.models, blend(start, end, SHARES[best]))
    divide_logits(parts.head, found.temperature)
    console.note(_describe(SHARES[best], found, trials, [] if is_best else rivals))
    return Interpolated(SHARES[best], found.loss, found.log_loss, found.accuracy, capture(parts.models), is_best)


def _describe(share, found, trials, better):
    ends = f"before {_numbers(trials[0])}; after {_numbers(trials[-1])}"
    if better:
        return (
            "No weights between those before and after this phase are as good on validation data as the best so far, "
            f"which are kept: log loss {better[0].log_loss:.3f}, accuracy {better[0].accuracy:.3f} "
            f"({share:.0%} of the way {_numbers(found)}; {ends})"
        )
    return (
        f"Weights {share:.0%} of the way from before to after fine-tuning are best on validation data: "
        f"log loss {found.log_loss:.3f}, accuracy {found.accuracy:.3f} ({ends})"
    )


def _numbers(trial):
    return f"{trial.log_loss:.3f}, {trial.accuracy:.3f}"
