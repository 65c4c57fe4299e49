"""Features as the solver sees them: standardised, and along their principal axes where memory allows."""

from dataclasses import dataclass

import numpy as np

_CURVATURE = 0.05  # typical p (1 - p): what a direction's variance is worth in curvature of the log loss


@dataclass(frozen=True)
class Taken:
    """Some rows of an array-like, read when they are asked for."""

    source: object
    indices: np.ndarray

    def __len__(self):
        return len(self.indices)

    @property
    def shape(self):
        """`(n, num_features)`."""
        return len(self), self.source.shape[1]

    def __getitem__(self, rows):
        return self.source[self.indices[rows]]


@dataclass(frozen=True)
class Standardised:
    """Features `(n, num_features)`, standardised as their rows are asked for."""

    features: object
    mean: np.ndarray
    scale: np.ndarray

    def __len__(self):
        return len(self.features)

    @property
    def shape(self):
        """`(n, num_features)`."""
        return self.features.shape

    def __getitem__(self, rows):
        block = np.subtract(self.features[rows], self.mean, dtype="float32")
        block /= self.scale
        return block

    def of(self, features):
        """Returns other features, standardised in the same way."""
        return Standardised(features, self.mean, self.scale)

    def unscale(self, weights):
        """Weights `(num_classes, num_features + 1)`, the intercept last, as kernel and bias for plain features."""
        kernel = weights[:, :-1].T / self.scale[:, None]
        return kernel.astype("float32"), (weights[:, -1] - self.mean @ kernel).astype("float32")


def standardise(features, weights, workers):
    """Makes `Standardised` of features by their own mean and scale, in one pass over them.

    Args:
        features: `(n, num_features)`.
        weights: `(n,)` float32 weights of the rows: one of weight 2 counts as two.
        workers: `Workers`.
    """
    # Without a shift, the squares of a large mean would cancel out the variance in float32.
    shift = np.mean(features[: min(32, len(features))], axis=0, dtype="float64").astype("float32")

    def add(rows):
        block = np.subtract(features[rows], shift, dtype="float32")
        weighted = block * weights[rows, None]
        return weighted.sum(axis=0, dtype="float64"), np.einsum("ij,ij->j", weighted, block).astype("float64")

    total, squares = workers.sum(add, *features.shape)
    count = weights.sum(dtype="float64")
    deviation = total / count
    mean = shift + deviation
    scale = np.sqrt(np.maximum(squares / count - deviation**2, 0))
    scale[scale <= 1e-6 * np.abs(mean)] = np.inf  # a constant feature says nothing: its weights become 0
    return Standardised(features, mean.astype("float32"), scale.astype("float32"))


@dataclass(frozen=True)
class Axes:
    """Principal axes of standardised features.

    Attributes:
        directions: `(num_features, rank)`.
        variances: `(rank,)`, along each.
        rest: Mean variance along all other directions.
    """

    directions: np.ndarray
    variances: np.ndarray
    rest: float


def principal_axes(rows, weights, workers):
    """Finds the `Axes` of `Standardised` features, of which each row has its weight in `weights` `(n,)` float32."""
    count, width = rows.shape
    roots = np.sqrt(weights / weights.mean(dtype="float64")).astype("float32")[:, None]
    # With fewer rows than features, the matrix of rows is smaller and has the same eigenvalues above 0.
    if count < width:
        weighted = workers.collect(lambda part: rows[part] * roots[part], count, width, width)
        variances, left = np.linalg.eigh((weighted @ weighted.T).astype("float64") / count)
        keep = variances > 1e-7 * variances[-1]
        variances, left = variances[keep], left[:, keep]
        directions = weighted.T @ (left / np.sqrt(count * variances)).astype("float32")
    else:
        variances, directions = np.linalg.eigh(_covariance(rows, roots, workers))
        keep = variances > 1e-7 * variances[-1]
        variances, directions = variances[keep], directions[:, keep]
    rest = np.isfinite(rows.scale).sum() - variances.sum()
    rest = max(0.0, rest) / max(1, width - len(variances))
    return Axes(directions.astype("float32"), variances.astype("float32"), float(rest))


def _covariance(rows, roots, workers):
    def add(part):
        block = rows[part]
        block *= roots[part]
        return (block.T @ block,)

    count, width = rows.shape
    return workers.sum(add, count, width, result_size=2 * width**2)[0] / count


@dataclass(frozen=True)
class RotatedRows:
    """Standardised features along their axes, in memory."""

    rows: np.ndarray
    axes: Axes

    def preconditioner(self, strength):
        """Returns a function that multiplies weights `(…, rank + 1)` by the root of the inverse of their curvature."""
        stretch = np.append(_stretch(self.axes.variances, strength), _stretch(1, 0)).astype("float32")
        return lambda weights: weights * stretch

    def standardised(self, weights):
        """Returns the same weights for standardised features that are not rotated."""
        return np.concatenate([weights[..., :-1] @ self.axes.directions.T, weights[..., -1:]], axis=-1)


def rotate(rows, axes, workers):
    """Makes `RotatedRows` of `Standardised` ones."""
    rotated = workers.collect(lambda part: rows[part] @ axes.directions, *rows.shape, len(axes.variances))
    return RotatedRows(rotated, axes)


@dataclass(frozen=True)
class StreamedRows:
    """Standardised features that are read anew for each step, with axes that may be those of some of their rows."""

    rows: Standardised
    axes: Axes

    def preconditioner(self, strength):
        """Returns a function like that of `RotatedRows`: there and back along the axes, one factor for the rest."""
        rest = _stretch(self.axes.rest, strength)
        stretch = _stretch(self.axes.variances, strength) - rest
        directions = self.axes.directions

        def precondition(weights):
            product = weights * rest
            product[..., :-1] += ((weights[..., :-1] @ directions) * stretch) @ directions.T
            product[..., -1] = weights[..., -1] * _stretch(1, 0)
            return product

        return precondition

    def standardised(self, weights):
        """Returns the weights as they are."""
        return weights


def _stretch(variance, strength):
    # Along an axis of variance v the loss bends by about v p (1 - p) and the penalty by `strength`.
    return np.float32(1) / np.sqrt(np.float32(_CURVATURE) * variance + np.float32(strength))
