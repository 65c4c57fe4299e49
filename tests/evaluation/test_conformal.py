import numpy as np
import pytest

from transferkit.evaluation.conformal import (
    PENALTY,
    SET_METHODS,
    Conformal,
    conformal_quantile,
    images_needed,
    rank_classes,
    unusualness,
)

PROBABILITIES = np.array([[0.2, 0.5, 0.3], [0.4, 0.4, 0.2]], "float32")


def draw(count, num_classes=6, seed=0, sharpness=2.0):
    """Probabilities, and labels drawn by others that are less sure."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(count, num_classes)) * rng.uniform(0.5, 3, (count, 1))
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (shares.cumsum(axis=1) > rng.random((count, 1))).argmax(axis=1)
    sharp = shares**sharpness
    return (sharp / sharp.sum(axis=1, keepdims=True)).astype("float32"), labels


def test_classes_are_ranked_from_the_most_probable_and_ties_go_to_the_first():
    ranking = rank_classes(PROBABILITIES)
    assert ranking.ranks.tolist() == [[2, 0, 1], [0, 1, 2]]
    assert ranking.masses == pytest.approx(np.array([[1, 0.5, 0.8], [0.4, 0.8, 1]]))


@pytest.mark.parametrize(
    ("method", "draws", "expected"),
    [
        ("lac", 1.0, [0.8, 0.5, 0.7]),
        ("aps", 0.0, [1, 0.5, 0.8]),
        ("aps", 1.0, [0.8, 0, 0.5]),
        ("aps", 0.5, [0.9, 0.25, 0.65]),
        ("raps", 1.0, [0.8 + 2 * PENALTY, 0, 0.5 + PENALTY]),
        ("raps", 0.0, [1 + 2 * PENALTY, 0.5, 0.8 + PENALTY]),
    ],
)
def test_how_unusual_a_class_is_worked_out_by_hand(method, draws, expected):
    assert unusualness(rank_classes(PROBABILITIES), method, draws)[0] == pytest.approx(expected, abs=1e-6)


def test_the_quantile_is_that_of_one_image_more():
    scores = np.array([5.0, 1, 3, 2, 4, 9, 8, 7, 6])
    assert conformal_quantile(scores, 0.9) == 9  # the ninth of ten
    assert conformal_quantile(scores, 0.5) == 5
    assert conformal_quantile(scores, 0.91) == np.inf
    assert conformal_quantile(scores[:0], 0.5) == np.inf


@pytest.mark.parametrize(("coverage", "count"), [(0.5, 1), (0.8, 4), (0.9, 9), (0.95, 19), (0.99, 99)])
def test_so_many_images_are_needed_and_no_fewer(coverage, count):
    assert images_needed(coverage) == count
    assert conformal_quantile(np.arange(count), coverage) < np.inf
    assert conformal_quantile(np.arange(count - 1), coverage) == np.inf


@pytest.mark.parametrize("method", SET_METHODS)
@pytest.mark.parametrize("randomised", [False, True])
def test_sets_hold_the_right_class_as_often_as_was_asked_for(method, randomised):
    covered = []
    for seed in range(40):
        probabilities, labels = draw(700, seed=seed)
        conformal = Conformal.of(probabilities[:200], labels[:200])
        generator = np.random.default_rng(seed) if randomised else None
        sets = conformal.sets(probabilities[200:], 0.9, method, generator=generator)
        covered.append(sets[np.arange(500), labels[200:]].mean())
    assert np.mean(covered) == pytest.approx(0.9, abs=0.012)


def test_no_set_is_empty_and_the_most_probable_class_is_in_each():
    probabilities, labels = draw(400, sharpness=1.0)
    conformal = Conformal.of(probabilities, labels)
    for method in SET_METHODS:
        sets = conformal.sets(probabilities, 0.05, method, generator=np.random.default_rng(0))
        assert sets[np.arange(400), probabilities.argmax(axis=1)].all()
        assert sets.sum() == 400


def test_sets_that_spare_nothing_are_larger():
    probabilities, labels = draw(2000, sharpness=1.0)
    ranking = rank_classes(probabilities)
    scores = unusualness(ranking, "aps", 0.0)
    whole = scores <= conformal_quantile(scores[np.arange(2000), labels], 0.9)
    ours = Conformal.of(probabilities, labels).sets(probabilities, 0.9)
    assert ours.sum() < 0.9 * whole.sum()


def test_a_set_is_made_of_the_most_probable_classes():
    probabilities, labels = draw(300)
    sets = Conformal.of(probabilities, labels).sets(probabilities, 0.9)
    in_order = np.take_along_axis(sets, np.argsort(-probabilities, axis=1, kind="stable"), axis=1)
    assert (np.diff(in_order.astype(int), axis=1) <= 0).all()


def test_each_class_is_covered_if_that_is_asked_for():
    probabilities, labels = draw(6000, num_classes=3)
    probabilities[:, 0] *= 0.2  # a class that the classifier overlooks
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    conformal, (rest, truth) = Conformal.of(probabilities[:3000], labels[:3000]), (probabilities[3000:], labels[3000:])
    for per_class, expected in ((True, 0.9), (False, 0.8)):
        sets = conformal.sets(rest, 0.9, per_class=per_class)
        of_first = sets[truth == 0, 0].mean()
        assert of_first > 0.87 if per_class else of_first < expected


def test_a_class_without_images_is_in_every_set_if_each_is_to_be_covered():
    probabilities, labels = draw(300, num_classes=3)
    conformal = Conformal.of(probabilities[labels != 1], labels[labels != 1])
    assert conformal.class_counts[1] == 0
    assert conformal.sets(probabilities, 0.9, per_class=True)[:, 1].all()
    assert not conformal.sets(probabilities, 0.9)[:, 1].all()
