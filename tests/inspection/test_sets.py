from dataclasses import replace

import numpy as np
import pytest

from transferkit import TransferClassifier
from transferkit._utils.console import Console, speaking_to
from transferkit.evaluation.conformal import Conformal
from transferkit.inspection.predictions import predict_probabilities
from transferkit.inspection.sets import PredictionSets, predict_sets


@pytest.fixture
def fitted(fitted_classifier):
    return fitted_classifier.fitted_


@pytest.fixture(scope="module")
def sets():
    return PredictionSets(
        (("cat",), ("dog", "cat"), ("owl", "dog")), ((0.9,), (0.6, 0.3), (0.5, 0.4)), ("a.png", "b.png", "c.png"), 0.9
    )


def test_they_are_a_sequence_of_tuples(sets):
    assert sets[1] == ("dog", "cat")
    assert sets[:2] == (("cat",), ("dog", "cat"))
    assert list(sets) == list(sets.sets)
    assert (len(sets), sets.sizes.tolist(), sets.mean_size) == (3, [1, 2, 2], pytest.approx(5 / 3))


def test_they_are_printed_with_their_sizes(sets):
    text = str(sets)
    assert text.startswith(
        "Sets of 3 images at a coverage of 0.9: 1.67 classes on average, 1 to 2; 33% have one class."
    )
    assert "b.png: dog (60%), cat (30%)" in text
    many = PredictionSets(sets.sets * 10, sets.probabilities * 10, sets.names * 10, 0.9)
    assert str(many).endswith("… and 10 more")


def test_a_logistic_head_is_calibrated_by_fit(fitted, images):
    assert fitted.conformal.origin == "cross-validated training images"
    assert len(fitted.conformal) == 24
    found = predict_sets(fitted, images, 0.8)
    probabilities = predict_probabilities(fitted, images)
    belong = fitted.conformal.sets(probabilities, 0.8)
    for members, shares, row, mask in zip(found, found.probabilities, probabilities, belong, strict=True):
        assert set(members) == set(fitted.class_names[mask].tolist())
        assert list(shares) == sorted(shares, reverse=True)
        assert members[0] == fitted.class_names[row.argmax()]
    assert found.names[2] == "image 2"


def test_validation_images_are_not_called_cross_validated(tiny_backbone, images, labels):
    classifier = TransferClassifier(tiny_backbone, verbose=0)
    classifier.fit(images[:12], labels[:12], validation_data=(images[12:], labels[12:]))
    assert classifier.fitted_.conformal.origin == "validation images"
    assert len(classifier.fitted_.conformal) == 12


def test_balanced_classes_have_no_scores_to_calibrate_on(tiny_backbone, images, labels):
    for options in ({"class_weight": "balanced"}, {"balance": "logit_adjustment"}):
        fitted = TransferClassifier(tiny_backbone, verbose=0, **options).fit(images, labels).fitted_
        assert fitted.conformal is None
        with pytest.raises(ValueError, match=r"Call `calibrate\(x, y\)` with such images first"):
            predict_sets(fitted, images)


def test_too_few_images_for_a_coverage_are_told(fitted, images):
    with pytest.raises(
        ValueError, match="0.99 takes at least 99 images .* Received: 24 cross-validated training images"
    ):
        predict_sets(fitted, images, 0.99)
    with pytest.raises(ValueError, match="at least 9 images of each class .* Received: 8 .* of each class"):
        predict_sets(fitted, images, 0.9, per_class=True)


def test_classes_of_few_images_are_in_every_set(fitted, images, capsys):
    probabilities = predict_probabilities(fitted, images)
    codes = np.arange(24) % 3
    kept = np.flatnonzero((codes > 0) | (np.arange(24) < 6))
    uneven = replace(fitted, conformal=Conformal.of(probabilities[kept], codes[kept]))
    with speaking_to(Console(1)):
        found = predict_sets(uneven, images, 0.8, per_class=True)
    assert all("blue" in members for members in found)
    assert "1 class with fewer than 4 calibration images belong to every set: blue" in capsys.readouterr().out


def test_draws_are_the_same_for_the_same_images(fitted, images):
    once, again, other = (predict_sets(fitted, images, randomised=True, seed=seed).sets for seed in (0, 0, 7))
    assert once == again
    assert len(other) == 24


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"coverage": 1.0}, "`coverage` must be between 0 and 1. Received: coverage=1.0"),
        ({"coverage": 90}, "Received: coverage=90"),
        ({"method": "rap"}, "Unknown `method`. Expected one of 'raps', 'aps', 'lac'. Received: method='rap'"),
    ],
)
def test_wrong_arguments_are_refused(options, message, fitted, images):
    with pytest.raises(ValueError, match=message):
        predict_sets(fitted, images, **options)


def test_any_number_of_labels_is_a_set_already(tiny_backbone, images, labels):
    named = [[str(label)] for label in labels]
    fitted = TransferClassifier(tiny_backbone, task="multilabel", verbose=0).fit(images, named).fitted_
    with pytest.raises(ValueError, match="`predict` returns a set of labels for each image already"):
        predict_sets(fitted, images)
