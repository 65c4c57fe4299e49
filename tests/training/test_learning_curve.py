import numpy as np
import pytest

from transferkit import TransferClassifier
from transferkit.data.inputs.convert import LABELLED, as_source
from transferkit.training.learning_curve import _divide, _growing


@pytest.fixture
def clf(tiny_backbone):
    return TransferClassifier(tiny_backbone, batch_size=16, verbose=0)


@pytest.fixture(scope="module")
def pictures():
    """120 images whose class is the brightest channel, but barely: more of them help."""
    rng = np.random.default_rng(0)
    codes = np.arange(120) % 3
    pixels = rng.integers(0, 200, (120, 16, 16, 3))
    pixels[np.arange(120), ..., codes] += 25
    return pixels.clip(0, 255).astype("uint8"), np.array(["blue", "green", "red"])[codes]


def test_more_images_are_better_and_sizes_double(clf, pictures):
    curve = clf.learning_curve(*pictures, sizes=4, folds=4)
    assert curve.sizes.tolist() == [12, 24, 45, 90]
    assert curve.scores.shape == (4, 4)
    assert curve.means[-1] > curve.means[0]
    assert not hasattr(clf, "fitted_")


def test_the_same_seed_gives_the_same_curve(clf, pictures):
    curves = [clf.learning_curve(*pictures, sizes=2, folds=2) for _ in range(2)]
    assert np.array_equal(curves[0].scores, curves[1].scores)


def test_any_number_of_labels_is_welcome(clf, pictures):
    images, labels = pictures
    several = [(label, "many") if row % 2 else (label,) for row, label in enumerate(labels)]
    assert clf.learning_curve(images, several, sizes=2, folds=2).scores.shape == (2, 2)


def test_sizes_that_are_the_same_are_left_out(clf, pictures):
    images, labels = pictures
    curve = clf.learning_curve(images[:12], labels[:12], sizes=6, folds=2)
    assert curve.sizes.tolist() == [6]


def source_of(labels, groups=None):
    return as_source(np.zeros((len(labels), 4, 4, 3), "uint8"), labels, groups=groups, label_rule=LABELLED)


def test_parts_hold_those_before_and_every_class():
    source = source_of(["a"] * 40 + ["b"] * 10 + ["c"])
    rows = np.arange(51)
    parts = [set(part.tolist()) for part in _growing(source, rows, [0.125, 0.25, 1], 0)]
    assert parts[0] < parts[1] < parts[2] == set(rows.tolist())
    assert np.bincount(source.labels[list(parts[0])]).tolist() == [5, 2, 1]


def test_smaller_parts_have_fewer_groups():
    groups = np.arange(60) // 10
    source = source_of(["a"] * 60, groups)
    half = next(iter(_growing(source, np.arange(60), [0.5], 0)))
    assert len(np.unique(groups[half])) == 3


def test_no_group_is_on_both_sides():
    groups = np.arange(24) // 3
    source = source_of(["a", "b"] * 12, groups)
    for training, held_out in _divide(source, 4, 0):
        assert not set(groups[training]) & set(groups[held_out])


def test_what_cannot_be_is_said(clf, pictures):
    images, labels = pictures
    with pytest.raises(ValueError, match="`folds` at least 2. Received: sizes=3, folds=1"):
        clf.learning_curve(images, labels, sizes=3, folds=1)
    with pytest.raises(ValueError, match="No images can be held out"):
        clf.learning_curve(images, labels, groups=np.zeros(120, int))
