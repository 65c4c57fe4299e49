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
from transferkit.solvers.examples import Examples
from transferkit.solvers.losses import LOSSES, SigmoidLoss, SoftmaxLoss
from transferkit.solvers.regression import Images, Problem, compute_logits, solve, standardised
from transferkit.solvers.workers import Workers, one_worker_a_core

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
        judged: `(rows, logits)`: indices of the images that the chosen strength was judged on, among those of
            `validation` if there are such, and logits `(m, num_classes)` of weights that were not fitted to them.
            Both are empty if no image could be held out.
    """

    kernel: np.ndarray
    bias: np.ndarray
    strength: float
    strengths: tuple[float, ...]
    val_loss: tuple[float, ...]
    val_accuracy: tuple[float, ...]
    temperature: tuple[float, ...]
    judged: tuple[np.ndarray, np.ndarray]

    @property
    def history(self):
        """What was tried: a dict of lists, one entry a strength."""
        columns = {
            "l2": self.strengths,
            "val_loss": self.val_loss,
            "val_accuracy": self.val_accuracy,
            "temperature": self.temperature,
        }
        return {name: list(values) for name, values in columns.items()}


@dataclass(frozen=True)
class LogisticProblem:
    """What is fitted.

    Attributes:
        examples: `Examples`; their labels are below `num_classes`.
        num_classes: Number of classes.
        activation: What makes probabilities of logits: `"softmax"`, or `"sigmoid"` for independent binary
            labels, with targets 0 and 1.
        focus: Exponent of the focal loss (Lin et al., ICCV 2017) instead of the log loss, 0 for the latter. Strengths
            are compared by log loss anyway.
    """

    examples: Examples
    num_classes: int
    activation: str = "softmax"
    focus: float = 0.0


@dataclass(frozen=True)
class Search:
    """How the strength of the penalty is chosen.

    Attributes:
        strengths: L2 strengths to try, from strong to weak.
        validation: `Examples` to choose the strength on instead of cross-validation.
        folds: Number of stratified folds of the cross-validation; fewer if every class has fewer images, or there are
            fewer groups.
        seed: Seed of the folds.
    """

    strengths: tuple[float, ...] = STRENGTHS
    validation: Examples | None = None
    folds: int = 5
    seed: int = 0


DEFAULT_SEARCH = Search()


def fit_logistic_path(problem, search=DEFAULT_SEARCH, on_strength=lambda count: None):
    """Fits `softmax(features @ kernel + bias)` and chooses its L2 strength on data it was not fitted to.

    Minimises the mean log loss plus `strength / 2` times the squared norm of the weights on standardised features, by
    L-BFGS (Liu & Nocedal, 1989), from the strongest to the weakest strength. The path ends when held-out data has shown
    two weaker strengths to be worse than the best, or one to be much worse.

    Strengths are compared by their held-out log loss after temperature scaling (Guo et al., ICML 2017): a strong
    penalty makes a classifier underconfident before it makes it wrong, and one number mends the former. Without it the
    path prefers weaker penalties, and was less accurate wherever we measured (`benchmarks/solver.py`). The temperature
    stays in the weights, so the probabilities are calibrated.

    From 5,000 images on, only the first of the folds is held out, and never more than about 20,000 images: they tell
    the strengths apart as well as all folds do (`benchmarks/solver.py`).

    Features of more than 2²⁶ numbers, or 2²⁴ if they are no array in memory, are not copied: every step reads them
    once, block by block. The path then starts at the first strength that is nearly the best for a sample, and one fold
    is held out, however few images there are.

    Where no fold can hold anything out (one image a class, or one group), strengths cannot be compared: the strongest
    one is taken, at a temperature of 1, and its held-out loss and accuracy are NaN.

    Args:
        problem: `LogisticProblem`.
        search: `Search`.
        on_strength: Called with 1 after each strength, and with the number of those that were not needed.

    Returns:
        A `LogisticPath`; its weights are fitted to all examples.
    """
    weights = problem.examples.weights
    if weights is not None and not np.all(weights):
        return _fit_weighted(problem, search, on_strength)
    with one_worker_a_core() as workers:
        fitting, beginning = _begin(problem, search, workers)
        strengths = search.strengths[beginning.first :]
        tried = _walk(fitting.choice, beginning, strengths, on_strength)
        on_strength(len(search.strengths) - len(tried))
        return _finish(fitting.choice, beginning, tried)


def _fit_weighted(problem, search, on_strength):
    """Fits to those images that have a weight."""
    kept = np.flatnonzero(problem.examples.weights)
    path = fit_logistic_path(replace(problem, examples=problem.examples.take(kept)), search, on_strength)
    if search.validation is not None:
        return path
    rows, logits = path.judged
    return replace(path, judged=(kept[rows], logits))


def held_out_logits(problem, search=DEFAULT_SEARCH, on_strength=lambda count: None):
    """Computes logits of all images by weights that were fitted to others, at the strength that is chosen for all.

    The strength is chosen as `fit_logistic_path` chooses it. Then every image is in one of `search.folds` folds, of
    many images as well, and is judged by the weights that are fitted to the other folds.

    Args:
        problem: `LogisticProblem`, all of whose images have a weight.
        search: `Search`, without `validation`.
        on_strength: See `fit_logistic_path`.

    Returns:
        `(logits, is_held_out)`: float32 `(n, num_classes)`, divided by the best temperature, and bool `(n,)`: `False`
        for images that no fold can hold out, such as the only one of a class, whose logits are 0.
    """
    with one_worker_a_core() as workers:
        fitting, beginning = _begin(problem, search, workers)
        tried = _walk(fitting.choice, beginning, search.strengths[beginning.first :], on_strength)
        on_strength(len(search.strengths) - len(tried))
        best, images = tried[_best(tried)], fitting.images
        held_out, weights = fitting.choice.divide(images.labels, images.groups), best.fold_weights
        if not np.array_equal(held_out, beginning.held_out):
            # From zero: the weights that the strength was chosen with have seen the other folds.
            start = np.zeros((len(held_out), *best.weights.shape[1:]), "float32")
            weights = solve(beginning.problem, ~held_out, start, best.strength, _ROUGH)
        logits = _held_out_logits(beginning.problem, held_out, weights, np.ones(len(images.labels), bool))
    return logits / np.float32(best.temperature), held_out.any(axis=0)


def _begin(problem, search, workers):
    """Returns the `_Fitting` and its `_Beginning`."""
    fitting = _Fitting.of(problem, search, workers)
    # What is not in memory is on disk because memory is short, so a copy may take less of it.
    share = 1 if isinstance(problem.examples.features, np.ndarray) else _FLOATS_ON_DISK
    fits_in_memory = fitting.images.num_floats <= _MEMORY_FLOATS // share
    return fitting, fitting.in_memory() if fits_in_memory else fitting.rehearsed(_SAMPLE_FLOATS // share)


@dataclass(frozen=True)
class _Beginning:
    """Where a path begins.

    Attributes:
        problem: The `Problem` that it solves for each strength.
        held_out: `(folds, n)` bool, what each fold holds out.
        first: Position of the first strength.
        guesses: Solutions for it and for weaker ones.
    """

    problem: Problem
    held_out: np.ndarray
    first: int = 0
    guesses: tuple = ()


@dataclass(frozen=True)
class _Fitting:
    """What the path of all images and that of a sample share."""

    images: Images
    num_classes: int
    loss: SoftmaxLoss | SigmoidLoss
    choice: "_ByFolds | _ByOthers"
    search: Search
    workers: Workers

    @classmethod
    def of(cls, problem, search, workers):
        """Standardises the features, and finds what strengths are compared on."""
        examples, others = problem.examples, search.validation
        rows = standardise(examples.features, np.tile(examples.image_weights, examples.copies), workers)
        choice = (
            _ByFolds(search.folds, search.seed)
            if others is None
            else _ByOthers(standardised(others, rows.of(others.features)))
        )
        loss = LOSSES[problem.activation](problem.focus)
        return cls(standardised(examples, rows), problem.num_classes, loss, choice, search, workers)

    def in_memory(self):
        """Returns the `_Beginning` of images whose features are rotated in memory."""
        rows = self.images.rows
        axes = principal_axes(rows, self.images.row_weights, self.workers)
        return _Beginning(self._problem(rotate(rows, axes, self.workers)), self._hold_out())

    def rehearsed(self, num_floats):
        """Returns the `_Beginning` of images that are read in every step, after the path of a sample of them.

        It has the axes of the sample, and begins at the first strength that is nearly the best for the sample.
        """
        held_out = self._hold_out(in_turn=False)
        sample = replace(self, images=self.images.take(self._draw(held_out, num_floats))).in_memory()
        problem = self._problem(StreamedRows(self.images.rows, sample.problem.design.axes))
        if not len(sample.held_out):  # so few images say nothing about strengths
            return _Beginning(problem, held_out)
        tried = _walk(self.choice, sample, self.search.strengths)
        lowest = min(trial.val_loss for trial in tried)
        first = next(i for i, trial in enumerate(tried) if trial.val_loss <= (1 + _PROMISING) * lowest)
        guesses = tuple(sample.problem.design.standardised(trial.weights) for trial in tried[first:])
        return _Beginning(problem, held_out, first, guesses)

    def _problem(self, design):
        return Problem(design, self.images, self.num_classes, self.workers, self.loss)

    def _hold_out(self, in_turn=True):
        return self.choice.hold_out(self.images.labels, self.images.groups, in_turn)

    def _draw(self, held_out, num_floats):
        """Draws the images of the sample from those that no fold holds out. Returns their indices, in order."""
        # Folds start from the sample, which therefore must not have seen what they hold out.
        candidates = np.flatnonzero(~held_out.any(axis=0))
        count = max(1, min(len(candidates), len(self.images.labels) * num_floats // self.images.num_floats))
        return np.sort(np.random.default_rng(self.search.seed).choice(candidates, count, replace=False))


@dataclass(frozen=True)
class _Trial:
    strength: float
    weights: np.ndarray  # (1, num_classes, width), the mean of the folds
    fold_weights: np.ndarray
    val_loss: float
    val_accuracy: float
    temperature: float


def _walk(choice, beginning, strengths, on_strength=lambda count: None):
    """Tries strengths, from strong to weak, until weaker ones are worse. Returns a list of `_Trial`.

    Each solution is sought one step from the last one: the step between the guesses for the two strengths, if there are
    such, or else the step before. Every fold makes steps of its own, or it would see what it holds out. Without folds
    nothing can be compared, and the strongest one is all that is tried.
    """
    problem, held_out, guesses = beginning.problem, beginning.held_out, beginning.guesses
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


def _finish(choice, beginning, tried):
    """Brings the best of all trials to its optimum on all images. Returns the `LogisticPath`."""
    problem, best = beginning.problem, tried[_best(tried)]
    images, temperature = problem.images, np.float32(best.temperature)
    everything = np.ones((1, len(images.labels)), bool)
    solution = solve(problem, everything, best.weights, best.strength, _EXACT)
    kernel, bias = images.rows.unscale(problem.design.standardised(solution[0] / temperature))
    rows, logits = choice.judged(problem, beginning.held_out, best.fold_weights)
    names = ("val_loss", "val_accuracy", "temperature")
    columns = {name: tuple(getattr(trial, name) for trial in tried) for name in names}
    strengths = tuple(trial.strength for trial in tried)
    return LogisticPath(kernel, bias, best.strength, strengths, **columns, judged=(rows, logits / temperature))


def _best(tried):
    """Position of the best trial: a weaker strength has to be worth it."""
    best = 0
    for i, trial in enumerate(tried):
        if trial.val_loss < (1 - _WORTHWHILE) * tried[best].val_loss:
            best = i
    return best


def can_hold_out(labels, groups=None):
    """Whether some images can be held out to compare strengths on: see `Examples` for the arguments."""
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
        is_few = in_turn and len(labels) < _CROSS_VALIDATED
        return self._masks(labels, groups, len(labels) // _HELD_OUT, None if is_few else 1)

    def divide(self, labels, groups=None):
        """Returns bool `(folds, n)` for folds that together hold out all images that can be; see `hold_out`."""
        return self._masks(labels, groups)

    def _masks(self, labels, groups, fewest=0, wanted=None):
        """What each fold holds out, of the first `wanted` of at least `fewest` folds."""
        most, stands_alone = _most_folds(labels, groups), _stands_alone(labels, groups)
        if not most:
            return np.zeros((0, len(labels)), bool)
        folds = max(2, min(max(self.folds, fewest), most))
        kind = StratifiedKFold if groups is None else StratifiedGroupKFold
        splitter = kind(folds, shuffle=True, random_state=self.seed)
        masks = []
        with warnings_filtered(("ignore", UserWarning, "The least populated class")):  # only some folds hold it out
            for _, rows in splitter.split(np.zeros(len(labels)), labels, groups):
                mask = np.zeros(len(labels), bool)
                mask[rows] = ~stands_alone[rows]
                masks += [mask] if mask.any() else []
                if len(masks) == (wanted or folds):
                    break
        return np.array(masks)

    def judge(self, problem, held_out, weights):
        """Judges the weights of each fold on the images it did not see, as they are, all folds together.

        Images that no fold holds out have no weight, but count for the sizes of the classes in Platt's targets. They
        are left out where the logits would be too large.
        """
        images, is_judged = problem.images, held_out.any(axis=0)
        is_counted = is_judged | (is_judged.size * problem.num_classes <= _LOGIT_FLOATS)
        logits = _held_out_logits(problem, held_out, weights, is_counted)
        labels, weights = problem.loss.judged_labels(images)[is_counted], images.weights[is_counted]
        return judge_at_best_temperature(logits, labels, weights, is_judged[is_counted])

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
        labels = problem.loss.judged_labels(self.others)
        return judge_at_best_temperature(logits, labels, self.others.weights)

    def judged(self, problem, held_out, weights):
        """Returns the indices of the others, and their logits."""
        logits = compute_logits(self.others.rows, problem.design.standardised(weights[0]), problem.workers)
        return np.arange(len(logits)), logits
