from dataclasses import replace

import numpy as np
import pytest

from transferkit import TransferClassifier
from transferkit.evaluation.familiarity import Familiarity
from transferkit.inspection.familiarity import check_reject_below, familiarity
from transferkit.inspection.predictions import predict_labels
from transferkit.inspection.running import compute_features


@pytest.fixture
def fitted(fitted_classifier):
    return fitted_classifier.fitted_


@pytest.fixture(scope="module")
def strange():
    """Images without the noise of the others."""
    return np.tile(np.linspace(0, 255, 24, dtype="uint8")[None, None, :, None], (4, 20, 1, 3))


def sets_of(labels):
    return [[str(label)] for label in labels]


def test_fit_learns_it_from_the_features_of_a_frozen_network(fitted, images, strange):
    features, _, _ = compute_features(fitted, fitted.reader.source(images), 32)
    expected = Familiarity.of(features)
    assert fitted.familiarity.usual == pytest.approx(expected.usual, abs=1e-3)
    assert familiarity(fitted, strange) == pytest.approx(1 / 25)
    assert familiarity(fitted, images).mean() > 0.4


def test_unlike_images_have_no_label(fitted, images, strange):
    mixed = np.concatenate([images, strange])
    found = predict_labels(fitted, mixed, reject_below=0.05)
    assert found[24:].tolist() == [None] * 4
    kept = [label for label in found[:24] if label is not None]
    assert len(kept) >= 22
    plain = predict_labels(fitted, mixed)
    assert all(own in (label, None) for own, label in zip(found, plain, strict=True))
    assert None not in plain.tolist()


def test_it_is_known_for_any_number_of_labels(tiny_backbone, images, labels, strange):
    fitted = TransferClassifier(tiny_backbone, task="multilabel", verbose=0).fit(images, sets_of(labels)).fitted_
    found = predict_labels(fitted, np.concatenate([images, strange]), reject_below=0.05)
    assert found[24:].tolist() == [None] * 4
    assert isinstance(found[0], tuple)


def test_a_share_that_is_too_fine_is_refused(fitted, images):
    with pytest.raises(ValueError, match="must be above 0.04: that is as fine as 24 familiar images can tell"):
        predict_labels(fitted, images, reject_below=0.03)
    with pytest.raises(ValueError, match="must be between 0 and 1. Received: reject_below=5"):
        check_reject_below(fitted, 5)


def test_who_has_learnt_nothing_says_what_to_do(fitted, images):
    fitted = replace(fitted, familiarity=None)
    with pytest.raises(ValueError, match=r"`reject_below` needs .* Call `calibrate\(x, y\)`"):
        predict_labels(fitted, images, reject_below=0.1)
    with pytest.raises(ValueError, match=r"`familiarity` needs .* Call `calibrate\(x, y\)`"):
        familiarity(fitted, images)
