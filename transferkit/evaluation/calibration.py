"""How good a classifier's logits are once their temperature is right."""

import numpy as np
from scipy.optimize import minimize_scalar

_LOG_SHARPNESS = (-2.0, 4.0)  # range of the logarithm of 1 / temperature


def log_loss(logits, labels):
    """Returns the mean log loss in nats of logits `(n, num_classes)` for integer codes `(n,)`."""
    logits = logits - logits.max(axis=1, keepdims=True)
    own = logits[np.arange(len(labels)), labels]
    return float((np.log(np.exp(logits).sum(axis=1)) - own).mean())


def judge_at_best_temperature(logits, labels, weights=None):
    """Finds the temperature at which the log loss is least (Guo et al., ICML 2017).

    A few held-out images that are all right would have probabilities of 1. So a class of `m` images expects only
    `(m + 1) / (m + 2)` for itself and shares the rest among the others (Platt, 1999).

    Args:
        logits: `(n, num_classes)` float32, up to a constant in each row; log probabilities will do.
        labels: `(n,)` integer codes.
        weights: `(n,)` weights of the images, or `None`.

    Returns:
        `(log_loss, accuracy, temperature)`: the first in nats, at the last, which logits are to be divided by.
    """
    logits = logits - logits.max(axis=1, keepdims=True)
    rest = 1 / (np.bincount(labels, minlength=logits.shape[1]) + 2)[labels]
    others = logits.shape[1] - 1
    own = logits[np.arange(len(labels)), labels]
    expected = own * (1 - rest - rest / others) + logits.sum(axis=1) * (rest / others)

    def log_loss(log_sharpness):
        sharpness = np.float32(np.exp(log_sharpness))
        normaliser = np.exp(logits * sharpness).sum(axis=1)
        return float(np.average(np.log(normaliser) - expected * sharpness, weights=weights))

    found = minimize_scalar(log_loss, bounds=_LOG_SHARPNESS, method="bounded", options={"xatol": 1e-3})
    accuracy = np.average(logits.argmax(axis=1) == labels, weights=weights)
    return float(found.fun), float(accuracy), float(np.exp(-found.x))
