"""What the backbone of a fitted classifier makes of images."""

from typing import Any

import numpy as np

from transferkit._utils import console
from transferkit.data.inputs.streams import Steps
from transferkit.fitted import FittedClassifier
from transferkit.models.assembly import components_of


def embed(fitted: FittedClassifier, x: Any, *, batch_size: int = 32, steps: int | None = None) -> np.ndarray:
    """Returns the pooled features of the backbone, `(n, num_features)` float32, in the order of the images.

    Args:
        fitted: A `FittedClassifier`.
        x: Images; see `as_source`.
        batch_size: Images a step.
        steps: Number of batches to read from a stream. Default: all, if it has an end.

    Raises:
        ImageReadError: If any image cannot be read, so that no row is out of place.
    """
    source = fitted.reader.source(x, steps=Steps(steps, "steps"))
    with console.step("Computing features", len(source)) as advance:
        return fitted.predictor.features_and_probabilities(source, batch_size, advance)[0]


def feature_names(fitted: FittedClassifier) -> np.ndarray:
    """Returns a name for each feature, `(num_features,)`: that of the backbone and a number, as scikit-learn has."""
    num_features = components_of(fitted.model)[-1].get_layer("pool").output.shape[-1]
    return np.array([f"{fitted.backbone.name}{number}" for number in range(num_features)], dtype=object)
