"""95 % intervals of numbers about predictions, by drawing images, or whole groups of them, again and again.

A number that is computed for many weightings of the images at once needs no loop over resamples: an image that was
drawn twice has the weight 2. `benchmarks/intervals.py` measures how often the intervals hold the true number.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import t as student

NUM_RESAMPLES = 1000
_FEWEST_RESAMPLES = 200
_NUM_BLOCKS = 100
_MOST_WORK = 4e8  # images * classes * resamples; above it, there are fewer of these
_MOST_WEIGHTS = 4_000_000  # weights in memory at a time
_SEED = 0
_TAILS = np.array([0.025, 0.975])
STRETCHES = np.linspace(0, 2, 51)  # true gaps that are tried, as multiples of those found


@dataclass(frozen=True, eq=False)
class Resampling:
    """Draws units with replacement: images or, where they belong to groups, groups.

    The draws depend on the number of images and on the groups only, so that two classifiers are judged on the same.

    Attributes:
        num_images: Number of images.
        groups: `(n,)` what each image belongs to, or `None`.
    """

    num_images: int
    groups: np.ndarray | None = None

    @cached_property
    def units(self) -> np.ndarray:
        """Code of what each image is drawn with, `(n,)`."""
        if self.groups is None:
            return np.arange(self.num_images)
        return np.unique(self.groups, return_inverse=True)[1].ravel()

    @property
    def num_units(self) -> int:
        """Number of units."""
        return int(self.units.max()) + 1

    def draws(self, count):
        """Yields `count` weightings in all, each `(n, r)`: how often each image was drawn."""
        rng = np.random.default_rng(_SEED)
        step = max(1, _MOST_WEIGHTS // self.num_images)
        for start in range(0, count, step):
            columns = min(step, count - start)
            drawn = rng.integers(self.num_units, size=(self.num_units, columns)) * columns + np.arange(columns)
            weights = np.bincount(drawn.ravel(), minlength=self.num_units * columns)
            yield weights.reshape(self.num_units, columns).astype("float64")[self.units]

    def blocks(self):
        """Returns weightings that leave a part of the units out, each another: `(n, num_blocks)` of 0 and 1."""
        num_blocks = min(_NUM_BLOCKS, self.num_units)
        codes = np.random.default_rng(_SEED).permutation(self.num_units) % num_blocks
        return (codes[self.units, None] != np.arange(num_blocks)).astype("float64")


def num_resamples(num_images, num_classes):
    """How many resamples there are: 1,000, or fewer where they would take long."""
    return int(np.clip(_MOST_WORK / (num_images * num_classes), _FEWEST_RESAMPLES, NUM_RESAMPLES))


def resample(functions, resampling, count):
    """Computes several numbers of the same resamples.

    Args:
        functions: Functions of weightings `(n, r)`, which give `(r,)` numbers.
        resampling: A `Resampling`.
        count: Number of resamples.

    Returns:
        One pair for each function: its numbers on the resamples, and with a part of the units left out.
    """
    drawn = [[function(weights) for function in functions] for weights in resampling.draws(count)]
    resampled = [np.concatenate(parts) for parts in zip(*drawn, strict=True)]
    blocks = resampling.blocks()
    return [(numbers, function(blocks)) for numbers, function in zip(resampled, functions, strict=True)]


def bca_interval(value, resampled, left_out, num_units):
    """Computes a bias-corrected and accelerated bootstrap interval (Efron, JASA 1987).

    Resamples repeat images and thereby vary too little for numbers that rest on few images a class. So the interval is
    widened by the ratio of the jackknife's standard error to that of the bootstrap, where it is above 1, and takes the
    quantiles of Student's t for the number of units.

    Args:
        value: The number.
        resampled: It on each resample, `(r,)`. NaN, where a resample lacks what it needs, is passed over.
        left_out: It with a part of the units left out, each another, `(b,)`; NaN is passed over as well.
        num_units: Number of units that were drawn.

    Returns:
        `(low, high)`, or two NaN where resamples do not tell: all are the same, or most lack what it needs.
    """
    total = len(resampled)
    resampled, left_out = resampled[np.isfinite(resampled)], left_out[np.isfinite(left_out)]
    if num_units < 2 or 2 * len(resampled) < total or len(left_out) < 2 or np.ptp(resampled) <= 1e-12:
        return np.nan, np.nan
    deviations = left_out.mean() - left_out
    spread = np.square(deviations).sum()
    acceleration = (deviations**3).sum() / (6 * spread**1.5) if spread > 0 else 0.0
    jackknife_error = np.sqrt(spread * (len(left_out) - 1) / len(left_out))
    normal = student.ppf(_TAILS, num_units - 1) * max(1, jackknife_error / resampled.std())
    below = ((resampled < value).sum() + (resampled == value).sum() / 2) / len(resampled)
    bias = ndtri(np.clip(below, 1 / len(resampled), 1 - 1 / len(resampled)))
    moved = bias + normal
    levels = ndtr(bias + moved / np.maximum(1 - acceleration * moved, 1e-3))
    low, high = np.quantile(resampled, levels)
    return float(min(low, value)), float(max(high, value))


def distance_interval(gaps, deviations, expected_error):
    """Computes the interval of a sum of distances, which chance alone makes larger than it is.

    Around a true gap of 0 every found one is a distance, so an expected calibration error is too large on average, and
    its resamples are even larger. The interval therefore holds those true errors under which the one that was found is
    neither among the 2.5 % largest nor among the 2.5 % smallest. The true gaps that are tried are those found, times a
    number.

    Args:
        gaps: Gap found in each bin, times its share of the predictions, `(b,)`.
        deviations: `(b, r)`: what chance adds to them, by resampling.
        expected_error: `(b, s)`: standard error of each that is to be expected if the true gaps are those found, times
            each of `STRETCHES`. A few predictions that are all right do not vary, but others would have.

    Returns:
        `(low, high)`.
    """
    found = np.abs(gaps).sum()
    noise = np.random.default_rng(_SEED).normal(size=deviations.shape)
    variances = deviations.var(axis=1)
    reached = []
    for stretch, errors in zip(STRETCHES, expected_error.T, strict=True):
        missing = np.sqrt(np.maximum(np.square(errors) - variances, 0))
        drawn = np.abs(stretch * gaps[:, None] + deviations + missing[:, None] * noise).sum(axis=0)
        reached.append((drawn >= found).mean())
    low, high = found * np.interp(_TAILS, np.maximum.accumulate(reached), STRETCHES)
    low = 0.0 if reached[0] > _TAILS[0] else low
    # Gaps that were found are more uneven than true ones, which makes the upper end too low by as much as the usual
    # interval, which knows nothing of what chance adds, is too high; the middle of the two is right most often.
    usual = found + ndtri(_TAILS[1]) * (np.sign(gaps) @ deviations).std()
    high = max(found, high, (high + usual) / 2)
    return float(min(low, found)), float(min(1, high))
