"""How much more images would help: held-out accuracy of the logistic head on growing parts of the images."""

from functools import partial

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from transferkit._utils import console
from transferkit._utils.quiet import warnings_filtered
from transferkit.evaluation.learning import LearningCurve
from transferkit.solvers.path import LogisticProblem, Search, fit_logistic_path
from transferkit.training.on_features import work_on_features

_FEWEST = 2  # images of a class, where it has as many
_HALF = 0.5  # threshold where an image can have any number of labels


def find_learning_curve(request, x, y=None, groups=None, *, sizes=6, folds=5, steps=None):
    """Fits the logistic head to growing parts of the images, and judges it on images that are held out.

    Features of the pretrained network are computed once, kept and found as in `fit`.

    Args:
        request: The `Request` of a classifier.
        x: Images; see `as_source`.
        y: Labels, or `None` for what brings its own.
        groups: What each image belongs to, `(n,)`, or `None`; no fold divides a group.
        sizes: Number of sizes, each twice the one before, the last of which is all that is not held out.
        folds: Number of parts, of which each is held out in turn.
        steps: Number of batches to read from a stream. Default: all, if it has an end.

    Returns:
        A `LearningCurve`.

    Raises:
        ValueError: If `sizes` or `folds` are too few, or the images cannot be divided.
    """
    if sizes < 1 or folds < 2:
        raise ValueError(f"`sizes` must be at least 1 and `folds` at least 2. Received: {sizes=}, {folds=}.")
    return work_on_features(partial(_measure, sizes, folds), request, x, y, groups, steps)


def _measure(sizes, folds, request, source, examples):
    parts = _divide(source, folds, request.seed)
    shares = 0.5 ** np.arange(sizes)[::-1]
    counts, scores = np.zeros((sizes, len(parts))), np.zeros((sizes, len(parts)))
    with console.step("Fitting to growing parts", scores.size, "part") as advance:
        for fold, (training, held_out) in enumerate(parts):
            for size, subset in enumerate(_growing(source, training, shares, request.seed + fold)):
                counts[size, fold] = len(subset)
                scores[size, fold] = _score(source, examples, subset, held_out, request.seed)
                advance(1)
    return _without_repeats(counts.mean(axis=1), scores)


def _divide(source, folds, seed):
    """Pairs of the images to fit to and those that are held out, for each fold."""
    most = int(np.bincount(source.labels).max())
    divided, groups = StratifiedKFold, source.groups
    if groups is not None:
        divided, most = StratifiedGroupKFold, min(most, len(np.unique(groups)))
    if most < 2:
        raise ValueError("No images can be held out: there is one image of each class, or one group.")
    # Classes with fewer images than folds are not in all of them, which is as well.
    with warnings_filtered(("ignore", UserWarning, "The least populated class")):
        splitter = divided(min(folds, most), shuffle=True, random_state=seed)
        return list(splitter.split(source.labels, source.labels, groups))


def _growing(source, rows, shares, seed):
    """Parts of the rows, each a share of every class, and each with all of the part before."""
    labels = source.labels[rows]
    # Images of a group follow each other, so that smaller parts have fewer groups and not fewer images of each.
    rng = np.random.default_rng(seed)
    groups = np.arange(len(rows)) if source.groups is None else np.unique(source.groups[rows], return_inverse=True)[1]
    order = np.lexsort([rng.random(len(rows)), rng.permutation(groups.max() + 1)[groups], labels])
    sizes = np.bincount(labels)
    place = np.empty(len(rows), int)
    place[order] = np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return [rows[place < np.maximum(np.ceil(share * sizes), _FEWEST)[labels]] for share in shares]


def _score(source, examples, subset, held_out, seed):
    """Accuracy on the held-out images of the head that is fitted to a part."""
    problem = LogisticProblem(examples.take(subset), len(source.class_names), source.task.activation)
    path = fit_logistic_path(problem, Search(seed=seed))
    logits = examples.features[held_out] @ path.kernel + path.bias
    weights = None if source.weights is None else source.weights[held_out]
    thresholds = np.full(len(source.class_names), _HALF)
    return source.task.accuracy(source.truth[held_out], source.task.probabilities(logits), thresholds, weights)


def _without_repeats(sizes, scores):
    """A `LearningCurve` without sizes that could not be smaller than the next, where classes have few images."""
    differs = np.append(np.diff(sizes) > 0, True)
    return LearningCurve(sizes[differs], scores[differs])
