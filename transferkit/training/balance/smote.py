"""Features of rare classes that are made up (SMOTE)."""

import numpy as np

from transferkit.data.splits import stratified_split
from transferkit.training.logistic import fit_logistic_head

_HELD_OUT = 0.2  # share of the images that choose the strength where none are given for that
_NEIGHBOURS = 5  # of an image, between which and itself SMOTE makes features up


def check_smote(schedule, source, has_validation=False):
    """Raises an error if SMOTE cannot be had for this `Schedule` and these images."""
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


def fit_head_by_smote(dense, features, labels, *, groups=None, validation=None, seed=0, **options):
    """Fits the logistic head to features of which all classes have the same number (SMOTE; Chawla et al., JAIR 2002).

    What is made up lies between images, so it must not be made of images that judge. Without others to judge by, the
    strength of the penalty is chosen on a part that is set aside before, and the head is fitted again to what is made
    of all images.

    Args:
        dense: `keras.Model` that `build_dense(LOGISTIC, ...)` made. Changed in place.
        features: `(n, num_features)` float32.
        labels: `(n,)` integer codes.
        groups: `(n,)` integer codes of groups, or `None`.
        validation: `(features, labels, weights)` of other images to choose the strength on, or `None`; all classes
            count alike there, as in training. `weights` may be `None`.
        seed: Seed of the split and of what is made up.
        **options: Further arguments of `fit_logistic_head`.

    Returns:
        The history, as of `fit_logistic_head`.
    """
    features = np.asarray(features)
    by_class = (1 / np.maximum(np.bincount(labels, minlength=dense.output_shape[-1]), 1)).astype("float32")
    if validation is not None:
        others, their_labels, own = validation
        weights = by_class[their_labels] if own is None else by_class[their_labels] * own
        return fit_logistic_head(
            dense, *_make_even(features, labels, seed), validation=(others, their_labels, weights), seed=seed,
            **options,
        )  # fmt: skip
    rows, held_out = stratified_split(labels, _HELD_OUT, seed, groups)
    validation = features[held_out], labels[held_out], by_class[labels[held_out]]
    history = fit_logistic_head(
        dense, *_make_even(features[rows], labels[rows], seed), validation=validation, seed=seed,
        **options,
    )  # fmt: skip
    best = int(np.argmin(history["val_loss"]))
    fit_logistic_head(
        dense, *_make_even(features, labels, seed), strengths=(history["l2"][best],),
        temperature=history["temperature"][best], seed=seed, **options,
    )  # fmt: skip
    return history


def _make_even(features, labels, seed):
    """Adds made-up features until all classes have as many as the largest. A class of one image is repeated."""
    smote, repeat = _import_smote()
    counts = np.bincount(labels)
    most = counts.max()
    neighbours = min(_NEIGHBOURS, counts[counts > 1].min(initial=most) - 1)
    single = dict.fromkeys(np.flatnonzero(counts == 1), most)
    if single:
        features, labels = repeat(sampling_strategy=single, random_state=seed).fit_resample(features, labels)
    wanted = dict.fromkeys(np.flatnonzero((counts > 1) & (counts < most)), most)
    if not wanted:
        return features, labels
    return smote(sampling_strategy=wanted, k_neighbors=neighbours, random_state=seed).fit_resample(features, labels)


def _import_smote():
    try:
        from imblearn.over_sampling import SMOTE, RandomOverSampler
    except ImportError as error:
        raise ImportError(
            "balance='smote' needs imbalanced-learn, which is not installed here. "
            'Install it with: pip install "transferkit[smote]"'
        ) from error
    return SMOTE, RandomOverSampler
