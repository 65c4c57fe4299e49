"""Multinomial logistic regression over a whole path of L2 strengths, with cross-validation, in one go.

Every strength and every fold works on the same features. These make the path cheap:

- The features are turned into their principal axes once, and each axis is scaled by how much the loss can bend along
  it. That makes the problem nearly round for every strength and fold alike, and L-BFGS takes few steps.
- Solutions lie on a smooth curve over the logarithm of the strength, so each is sought where the last two point to.
- While strengths are compared, solutions are rough; only the one that is chosen is brought to its optimum.
- The folds are solved side by side, their weights stacked into one wide matrix, so that each step is one large matrix
  product instead of many thin ones. Where one held-out part is enough to compare strengths, there is no second.

Features of which memory has no room for a copy are read block by block in every step, in the order of their rows. A
sample of them is solved first: its axes are good enough for all, and its path says where to start.
"""

from dataclasses import dataclass, replace

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from transferkit._utils.quiet import warnings_filtered
from transferkit.evaluation.calibration import judge_at_best_temperature
from transferkit.solvers.axes import StreamedRows, Taken, principal_axes, rotate, standardise
from transferkit.solvers.regression import Images, Problem, compute_logits, rows_of, solve
from transferkit.solvers.workers import one_worker_a_core

STRENGTHS = tuple(float(strength) for strength in np.logspace(1, -3.5, 10))

_MEMORY_FLOATS = 1 << 26  # of rotated features that are kept in memory
_SAMPLE_FLOATS = 1 << 25  # of the features that are solved first where all are too many for that
_FLOATS_ON_DISK = 4  # times fewer of both, where the features are not in memory either
_LOGIT_FLOATS = 1 << 24  # of logits that are judged at once
_CROSS_VALIDATED = 5000  # images from which on one held-out part is enough
_HELD_OUT = 20_000  # images in that part at most
_PATIENCE = 2  # weaker strengths tried after the best one before the path ends
_WORTHWHILE = 1e-3  # relative gain in held-out loss below which a weaker strength is no better
_HOPELESS = 0.02  # relative loss against the best strength that ends the path at once
_PROMISING = 0.05  # relative loss against the best of a sample at which the path of all images starts
_ROUGH, _EXACT = 1e-4, 3e-6  # decrease of the objective in one step that ends a search


@dataclass(frozen=True)
class LogisticPath:
    """The outcome of `fit_logistic_path`.

    Attributes:
        kernel: `(num_features, num_classes)` float32, for features as they were given, not standardised.
        bias: `(num_classes,)` float32.
        strength: The L2 strength that was chosen.
        strengths: Strengths that were tried, from strong to weak.
        val_loss: Held-out log loss of each at its temperature, in nats, against Platt's targets
            (see `judge_at_best_temperature`).
        val_accuracy: Held-out accuracy of each.
        temperature: What the logits of each are divided by; that of the chosen one is part of `kernel` and `bias`.
        judged: Where each class is a question of its own, `(rows, logits)`: indices of the images that the chosen
            strength was judged on, among those of `validation` if there are such, and logits `(m, num_classes)` of
            weights that were not fitted to them. Otherwise `None`.
    """

    kernel: np.ndarray
    bias: np.ndarray
    strength: float
    strengths: tuple[float, ...]
    val_loss: tuple[float, ...]
    val_accuracy: tuple[float, ...]
    temperature: tuple[float, ...]
    judged: tuple[np.ndarray, np.ndarray] | None


def fit_logistic_path(features, labels, num_classes, *, targets=None, is_multilabel=False, weights=None, groups=None,
                      strengths=STRENGTHS, folds=5, validation=None, copies=1, focus=0.0, seed=0,
                      on_strength=lambda count: None):  # fmt: skip
    """Fits `softmax(features @ kernel + bias)` and chooses its L2 strength on data it was not fitted to.

    Minimises the mean log loss plus `strength / 2` times the squared norm of the weights on standardised features, by
    L-BFGS (Liu & Nocedal, 1989), from the strongest to the weakest strength. The path ends when held-out data has shown
    two weaker strengths to be worse than the best, or one to be much worse.

    Strengths are compared by their held-out log loss after temperature scaling (Guo et al., ICML 2017): a strong
    penalty makes a classifier timid before it makes it wrong, and one number mends the former. Without it the path
    prefers weaker penalties, and was less accurate wherever we measured (`benchmarks/solver.py`). The temperature stays
    in the weights, so the probabilities are calibrated.

    From 5,000 images on, only the first of the folds is held out, and never more than about 20,000 images: they tell
    the strengths apart as well as all folds do (`benchmarks/solver.py`).

    Features of more than 2²⁶ numbers, or 2²⁴ if they are no array in memory, are not copied: every step reads them
    once, block by block. The path then starts at the first strength that is nearly the best for a sample, and one fold
    is held out, however few images there are.

    Where no fold can hold anything out (one image a class, or one group), strengths cannot be compared: the strongest
    one is taken, at a temperature of 1, and its held-out loss and accuracy are NaN.

    Args:
        features: `(copies * n, num_features)` float32. An array, or anything that has a length and a shape and returns
            arrays for slices and for arrays of integers, such as `np.memmap`.
        labels: `(n,)` integer codes below `num_classes`. A class with one image is never held out.
        num_classes: Number of classes.
        targets: `(n, num_classes)` float32: shares of each image in the classes, which sum to 1, or the labels that it
            has. `labels` then only say how images are divided. `None`: the one-hot rows of `labels`.
        is_multilabel: Whether each class is a question of its own. `sigmoid` then stands for `softmax`, and `targets`
            are 0 and 1.
        weights: `(n,)` float32 weights of the images, or `None`: in the loss, held-out loss and accuracy included, and
            in what features are standardised by. An image of weight 0 is left out, one of weight 2 counts as two.
        groups: `(n,)` integer codes of what images belong to: no fold holds out a part of a group. `None`: each image
            is a group of its own.
        strengths: L2 strengths to try, from strong to weak.
        folds: Number of stratified folds of the cross-validation; fewer if every class has fewer images, or there are
            fewer groups.
        validation: `(features, labels, weights)` to choose the strength on instead of cross-validation; `weights` may
            be `None`, and labels are targets where each class is a question of its own.
        copies: Number of versions of each image. The first `n` rows are the images as they are, the next `n` rows
            other views of the same images in the same order, and so on. Versions of an image are never on different
            sides of a fold, and images are judged as they are.
        focus: Exponent of the focal loss (Lin et al., ICCV 2017) instead of the log loss, 0 for the latter. Strengths
            are compared by log loss anyway.
        seed: Seed of the folds.
        on_strength: Called with 1 after each strength, and with the number of those that were not needed.

    Returns:
        A `LogisticPath`; its weights are fitted to all of `features`.
    """
    if weights is not None and not np.all(weights):
        kept = np.flatnonzero(weights)
        path = fit_logistic_path(
            _versions_of(kept, features, len(labels), copies), labels[kept], num_classes,
            targets=None if targets is None else targets[kept], is_multilabel=is_multilabel, weights=weights[kept],
            groups=None if groups is None else groups[kept], strengths=strengths, folds=folds, validation=validation,
            copies=copies, focus=focus, seed=seed, on_strength=on_strength,
        )  # fmt: skip
        if path.judged is None or validation is not None:
            return path
        return replace(path, judged=(kept[path.judged[0]], path.judged[1]))
    with one_worker_a_core() as workers:
        weights = _or_ones(weights, labels)
        rows = standardise(features, np.tile(weights, copies), workers)
        images = Images(rows, labels, weights, copies, targets)
        if validation is None:
            choice = _ByFolds(folds, seed)
        else:
            others, their_labels, their_weights = validation
            choice = _ByOthers(Images(rows.of(others), their_labels, _or_ones(their_weights, their_labels)))
        share = 1 if isinstance(features, np.ndarray) else _FLOATS_ON_DISK
        if images.num_floats <= _MEMORY_FLOATS // share:
            held_out = choice.hold_out(labels, groups)
            axes = principal_axes(rows, images.row_weights, workers)
            design, first, guesses = rotate(rows, axes, workers), 0, ()
        else:
            held_out = choice.hold_out(labels, groups, in_turn=False)
            drawn = _draw(images, held_out, _SAMPLE_FLOATS // share, seed)
            sample, their_groups = images.take(drawn), None if groups is None else groups[drawn]
            design, first, guesses = _rehearse(
                sample, their_groups, rows, num_classes, choice, strengths, workers, focus, is_multilabel
            )
        problem = Problem(design, images, num_classes, workers, focus, is_multilabel)
        tried = _walk(problem, choice, held_out, strengths[first:], guesses, on_strength)
        on_strength(len(strengths) - len(tried))
        best = tried[_best(tried)]
        solution = solve(problem, np.ones((1, len(labels)), bool), best.weights, best.strength, _EXACT)
        kernel, bias = rows.unscale(design.standardised(solution[0] / np.float32(best.temperature)))
        judged = None
        if is_multilabel:
            judged_rows, logits = choice.judged(problem, held_out, best.fold_weights)
            judged = judged_rows, logits / np.float32(best.temperature)
    names = ("val_loss", "val_accuracy", "temperature")
    columns = {name: tuple(getattr(trial, name) for trial in tried) for name in names}
    return LogisticPath(
        kernel, bias, best.strength, tuple(trial.strength for trial in tried), **columns, judged=judged
    )  # fmt: skip


@dataclass(frozen=True)
class _Trial:
    strength: float
    weights: np.ndarray  # (1, num_classes, width), the mean of the folds
    fold_weights: np.ndarray
    val_loss: float
    val_accuracy: float
    temperature: float


def _or_ones(weights, labels):
    return np.ones(len(labels), "float32") if weights is None else np.asarray(weights, "float32")


def _versions_of(indices, features, num_images, copies):
    """Takes all versions of some images."""
    rows = rows_of(indices, num_images, copies)
    return features[rows] if isinstance(features, np.ndarray) else Taken(features, rows)


def _draw(images, held_out, num_floats, seed):
    """Draws the images of the sample from those that no fold holds out. Returns their indices, in order."""
    candidates = np.flatnonzero(~held_out.any(axis=0))
    count = max(1, min(len(candidates), len(images.labels) * num_floats // images.num_floats))
    return np.sort(np.random.default_rng(seed).choice(candidates, count, replace=False))


def _rehearse(sample, groups, rows, num_classes, choice, strengths, workers, focus, is_multilabel):
    """Walks the path on a sample.

    Returns:
        `(design, first, guesses)`: the rows of all images with the axes of the sample, the position of the first
        strength that is nearly the best for the sample, and the solutions for it and for the weaker ones.
    """
    axes = principal_axes(sample.rows, sample.row_weights, workers)
    held_out = choice.hold_out(sample.labels, groups)
    if not len(held_out):  # so few images say nothing about strengths
        return StreamedRows(rows, axes), 0, ()
    problem = Problem(rotate(sample.rows, axes, workers), sample, num_classes, workers, focus, is_multilabel)
    tried = _walk(problem, choice, held_out, strengths)
    lowest = min(trial.val_loss for trial in tried)
    first = next(i for i, trial in enumerate(tried) if trial.val_loss <= (1 + _PROMISING) * lowest)
    return StreamedRows(rows, axes), first, [problem.design.standardised(trial.weights) for trial in tried[first:]]


def _walk(problem, choice, held_out, strengths, guesses=(), on_strength=lambda count: None):
    """Tries strengths, from strong to weak, until weaker ones are worse. Returns a list of `_Trial`.

    Each solution is sought one step from the last one: the step between the guesses for the two strengths, if there are
    such, or else the step before. Every fold makes steps of its own, or it would see what it holds out. Without folds
    nothing can be compared, and the strongest one is all that is tried.
    """
    start = guesses[0] if guesses else np.zeros((1, problem.num_classes, problem.design.rows.shape[1] + 1), "float32")
    weights = np.repeat(start, len(held_out), axis=0)
    if not len(held_out):
        return [_Trial(strengths[0], start, weights, np.nan, np.nan, 1.0)]
    step = np.zeros_like(weights)
    tried = []
    for i, strength in enumerate(strengths):
        if 0 < i < len(guesses):
            step = guesses[i] - guesses[i - 1]
        before, weights = weights, solve(problem, ~held_out, weights + step, strength, _ROUGH)
        step = weights - before
        mean = weights.mean(axis=0, keepdims=True)
        tried.append(_Trial(strength, mean, weights, *choice.judge(problem, held_out, weights)))
        on_strength(1)
        best = _best(tried)
        if len(tried) > best + _PATIENCE or tried[-1].val_loss > (1 + _HOPELESS) * tried[best].val_loss:
            break
    return tried


def _best(tried):
    """Position of the best trial: a weaker strength has to be worth it."""
    best = 0
    for i, trial in enumerate(tried):
        if trial.val_loss < (1 - _WORTHWHILE) * tried[best].val_loss:
            best = i
    return best


def can_hold_out(labels, groups=None):
    """Whether some images can be held out to compare strengths on: see `fit_logistic_path` for the arguments."""
    return _most_folds(labels, groups) > 0


def _most_folds(labels, groups):
    """Into how many folds images can be divided, 0 if none of them could hold anything out."""
    most = int(np.bincount(labels).max())
    most = most if groups is None else min(most, len(np.unique(groups)))
    return most if most >= 2 and not _stands_alone(labels, groups).all() else 0


def _stands_alone(labels, groups):
    """Whether an image is all that there is of its class, or belongs to the one group that is: bool `(n,)`.

    Held out, it would say nothing about a strength, since its class was never seen.
    """
    is_single = (np.bincount(labels) == 1)[labels]
    if groups is None:
        return is_single
    pairs = np.unique(np.column_stack([groups, labels]), axis=0)
    _, places, num_classes = np.unique(pairs[:, 0], return_inverse=True, return_counts=True)
    num_groups = np.bincount(pairs[:, 1])[pairs[:, 1]]
    alone = pairs[(num_groups == 1) & (num_classes[places] == 1), 0]
    return is_single | np.isin(groups, alone)


@dataclass(frozen=True)
class _ByFolds:
    """Compares strengths on folds of the images that are fitted to."""

    folds: int
    seed: int

    def hold_out(self, labels, groups=None, in_turn=True):
        """Returns bool `(folds, n)`: what each fold holds out. There are no folds where none could hold anything out.

        A class of two or more is in every training part, unless it shares the only group that it belongs to.

        Args:
            labels: `(n,)` integer codes.
            groups: `(n,)` integer codes of groups, none of which is divided, or `None`.
            in_turn: Whether few images are held out in turn. Else, and of many, there is one fold.
        """
        most, stands_alone = _most_folds(labels, groups), _stands_alone(labels, groups)
        if not most:
            return np.zeros((0, len(labels)), bool)
        folds = max(2, min(max(self.folds, len(labels) // _HELD_OUT), most))
        kind = StratifiedKFold if groups is None else StratifiedGroupKFold
        splitter = kind(folds, shuffle=True, random_state=self.seed)
        wanted, masks = folds if in_turn and len(labels) < _CROSS_VALIDATED else 1, []
        with warnings_filtered(("ignore", UserWarning, "The least populated class")):  # only some folds hold it out
            for _, rows in splitter.split(np.zeros(len(labels)), labels, groups):
                mask = np.zeros(len(labels), bool)
                mask[rows] = ~stands_alone[rows]
                masks += [mask] if mask.any() else []
                if len(masks) == wanted:
                    break
        return np.array(masks)

    def judge(self, problem, held_out, weights):
        """Judges the weights of each fold on the images it did not see, as they are, all folds together.

        Images that no fold holds out have no weight, but count for the sizes of the classes in Platt's targets. They
        are left out where so many logits would be too large.
        """
        images, is_judged = problem.images, held_out.any(axis=0)
        is_counted = is_judged | (is_judged.size * problem.num_classes <= _LOGIT_FLOATS)
        logits = _held_out_logits(problem, held_out, weights, is_counted)
        labels = images.targets if problem.is_multilabel else images.labels
        return judge_at_best_temperature(
            logits, labels[is_counted], images.weights[is_counted], is_judged[is_counted]
        )  # fmt: skip

    def judged(self, problem, held_out, weights):
        """Returns the indices of the images that `judge` judges on, and their logits."""
        is_judged = held_out.any(axis=0)
        return np.flatnonzero(is_judged), _held_out_logits(problem, held_out, weights, is_judged)


def _held_out_logits(problem, held_out, weights, is_wanted):
    """Logits of the images that are wanted, each by the weights of the fold that holds it out; otherwise 0."""
    logits = np.zeros((is_wanted.sum(), problem.num_classes), "float32")
    for mask, own_weights in zip(held_out, weights, strict=True):
        rows = Taken(problem.design.rows, np.flatnonzero(mask))
        logits[mask[is_wanted]] = compute_logits(rows, own_weights, problem.workers)
    return logits


@dataclass(frozen=True)
class _ByOthers:
    """Compares strengths on other images."""

    others: Images

    def hold_out(self, labels, groups=None, in_turn=True):
        """Returns bool `(1, n)`: nothing is held out."""
        return np.zeros((1, len(labels)), bool)

    def judge(self, problem, held_out, weights):
        """Judges weights that were fitted to all images on the others."""
        _, logits = self.judged(problem, held_out, weights)
        return judge_at_best_temperature(logits, self.others.labels, self.others.weights)

    def judged(self, problem, held_out, weights):
        """Returns the indices of the others, and their logits."""
        logits = compute_logits(self.others.rows, problem.design.standardised(weights[0]), problem.workers)
        return np.arange(len(logits)), logits
