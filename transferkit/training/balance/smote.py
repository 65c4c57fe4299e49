"""Synthetic features of rare classes (SMOTE)."""

from dataclasses import replace

import numpy as np

from transferkit.data.splits import stratified_split
from transferkit.solvers.examples import Examples
from transferkit.solvers.path import DEFAULT_SEARCH
from transferkit.training.logistic import fit_logistic_head

_HELD_OUT = 0.2  # share of the images that choose the strength where none are given for that
_NEIGHBOURS = 5  # of an image, between which and itself SMOTE makes features up


def check_smote(schedule, source, has_validation=False):
    """Raises an error if SMOTE does not fit this `Schedule` or these images."""
    if not schedule.only_solves:
        raise ValueError(
            "SMOTE makes up features, not images, so that it needs the logistic head on a frozen backbone: "
            "schedule='linear' and head='logistic'. Received: balance='smote'."
        )
    if source.weights is not None and np.ptp(source.weights) > 0:
        raise ValueError(
            "What lies between two images has no weight that SMOTE knows: leave out `sample_weight`, or try "
            f"balance='oversample'. Received: weights from {source.weights.min():g} to {source.weights.max():g}."
        )
    if source.targets is not None and not np.isin(source.targets, (0, 1)).all():
        raise ValueError(
            "SMOTE makes up features between images of one class, so that each image needs one: give labels instead of "
            "shares, or try balance='oversample'. Received: soft labels."
        )
    if not has_validation:
        stratified_split(source.labels, _HELD_OUT, 0, source.groups)  # an error where nothing can be set aside
    _import_smote()


def fit_head_by_smote(dense, examples, search=DEFAULT_SEARCH):
    """Fits the logistic head to features oversampled to equal class sizes (SMOTE; Chawla et al., JAIR 2002).

    Synthetic features lie between images, so they must not be made from images that validate. Without validation data,
    the strength of the penalty is chosen on a part that is set aside first, and the head is then refitted to all
    images, oversampled.

    Args:
        dense: `keras.Model` that `build_dense(LOGISTIC, ...)` made. Changed in place.
        examples: `Examples` with labels and, if there are any, groups.
        search: `Search`; all classes count alike in its validation data, as in training. Its seed is also that of the
            split and of the synthetic features.

    Returns:
        The `LogisticPath` on which the strength was chosen.
    """
    # Features may be read from disk; imbalanced-learn needs an array.
    examples, seed = replace(examples, features=np.asarray(examples.features)), search.seed
    num_classes = dense.output_shape[-1]
    # A class may have no image here: its weight is never used, but must not divide by 0.
    by_class = (1 / np.maximum(np.bincount(examples.labels, minlength=num_classes), 1)).astype("float32")
    if search.validation is not None:
        validation = _weigh_classes(search.validation, by_class)
        return fit_logistic_head(dense, _make_even(examples, seed), replace(search, validation=validation))
    rows, held_out = stratified_split(examples.labels, _HELD_OUT, seed, examples.groups)
    validation = _weigh_classes(examples.take(held_out), by_class)
    path = fit_logistic_head(dense, _make_even(examples.take(rows), seed), replace(search, validation=validation))
    best = int(np.argmin(path.val_loss))
    chosen = replace(search, strengths=(path.strengths[best],))
    # The temperature is the one found on real images: folds of synthetic features would judge what they were made of.
    fit_logistic_head(dense, _make_even(examples, seed), chosen, temperature=path.temperature[best])
    return path


def _weigh_classes(examples, by_class):
    weights = by_class[examples.labels]
    return replace(examples, weights=weights if examples.weights is None else weights * examples.weights)


def _make_even(examples, seed):
    """Adds synthetic features until all classes are as large as the largest. A class of one image is repeated.

    Groups are dropped: a feature between two images would belong to the groups of both.
    """
    smote, repeat = _import_smote()
    features, labels = examples.features, examples.labels
    counts = np.bincount(labels)
    most = counts.max()
    # SMOTE raises an error for a class that has no more images than neighbours.
    neighbours = min(_NEIGHBOURS, counts[counts > 1].min(initial=most) - 1)
    single = dict.fromkeys(np.flatnonzero(counts == 1), most)
    # A class of one image has no neighbour to interpolate towards.
    if single:
        features, labels = repeat(sampling_strategy=single, random_state=seed).fit_resample(features, labels)
    wanted = dict.fromkeys(np.flatnonzero((counts > 1) & (counts < most)), most)
    if wanted:
        sampler = smote(sampling_strategy=wanted, k_neighbors=neighbours, random_state=seed)
        features, labels = sampler.fit_resample(features, labels)
    return Examples(features, labels)


def _import_smote():
    try:
        from imblearn.over_sampling import SMOTE, RandomOverSampler
    except ImportError as error:
        raise ImportError(
            "balance='smote' needs imbalanced-learn, which is not installed here. "
            'Install it with: pip install "transferkit[smote]"'
        ) from error
    return SMOTE, RandomOverSampler
