import warnings
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from transferkit import Head, ImageReadError, TransferClassifier
from transferkit.evaluation.calibration import fit_temperature, logits_of
from transferkit.inspection.calibration import calibrate
from transferkit.inspection.predictions import predict_labels, predict_probabilities


@pytest.fixture(scope="module")
def others(images, labels):
    """Images that were not trained on, and labels, a third of which are wrong."""
    pixels = np.clip(images.astype(int) + np.random.default_rng(1).integers(-20, 20, images.shape), 0, 255)
    return pixels.astype("uint8"), np.where(np.arange(24) % 3, labels, np.roll(labels, 1))


@pytest.fixture
def fitted(fitted_classifier):
    return fitted_classifier.fitted_


def test_the_temperature_is_part_of_the_model_and_no_label_changes(fitted, others):
    before = predict_probabilities(fitted, others[0])
    calibrated = calibrate(fitted, *others)
    codes = np.searchsorted(fitted.class_names, others[1])
    temperature = fit_temperature(logits_of(before, codes), codes)
    assert calibrated.temperature == pytest.approx(temperature)
    assert temperature > 1.1
    after = predict_probabilities(calibrated, others[0])
    expected = before ** (1 / temperature) / (before ** (1 / temperature)).sum(axis=1, keepdims=True)
    assert after == pytest.approx(expected, abs=1e-5)
    assert calibrated.model(others[0]).numpy() == pytest.approx(after, abs=1e-5)
    assert np.array_equal(predict_labels(calibrated, others[0]), predict_labels(fitted, others[0]))


def test_what_fit_has_calibrated_stays_unless_images_contradict_it(fitted, others, labels, tiny_backbone, images):
    calibrated = calibrate(fitted, others[0], labels)
    assert calibrated.temperature == 1
    assert predict_probabilities(calibrated, images) == pytest.approx(predict_probabilities(fitted, images), abs=1e-6)
    assert calibrated.conformal.origin == "held-out images"
    balanced = TransferClassifier(tiny_backbone, class_weight="balanced", verbose=0).fit(images, labels).fitted_
    assert calibrate(balanced, others[0], labels).temperature != 1


def test_what_was_there_before_is_as_it_was(fitted, others):
    before = predict_probabilities(fitted, others[0])
    kept = fitted.conformal, fitted.familiarity
    calibrate(fitted, *others)
    assert np.array_equal(predict_probabilities(fitted, others[0]), before)
    assert (fitted.conformal, fitted.familiarity, fitted.temperature) == (*kept, 1.0)


def test_a_second_time_finds_nothing_left_to_do(fitted, others):
    once = calibrate(fitted, *others)
    twice = calibrate(once, *others)
    assert twice.temperature == pytest.approx(once.temperature, rel=1e-3)
    assert predict_probabilities(twice, others[0]) == pytest.approx(predict_probabilities(once, others[0]), abs=1e-3)
    assert twice.conformal.ranking.ranks.tolist() == once.conformal.ranking.ranks.tolist()


def test_sets_and_familiarity_are_those_of_the_images_it_was_given(fitted, others):
    calibrated = calibrate(fitted, *others)
    after = predict_probabilities(calibrated, others[0])
    codes = np.searchsorted(fitted.class_names, others[1])
    assert calibrated.conformal.ranking.probabilities == pytest.approx(after[np.arange(24), codes], abs=1e-5)
    assert calibrated.conformal.origin == "held-out images"
    assert len(calibrated.familiarity.usual) == 24


@pytest.mark.parametrize("as_files", [False, True])
def test_images_that_were_trained_on_are_known_by_their_content(
    as_files, fitted, others, images, labels, image_paths, tiny_backbone, tmp_path
):
    if as_files:
        fitted = TransferClassifier(tiny_backbone, verbose=0).fit(image_paths, labels).fitted_
    Image.fromarray(others[0][0]).save(tmp_path / "other.png")
    known = [*image_paths[3:5], str(tmp_path / "other.png")] if as_files else [*images[3:5], others[0][0]]
    with pytest.warns(UserWarning, match="2 of 3 images to calibrate on were trained on"):
        calibrate(fitted, known, labels[[3, 4, 0]])


def test_images_that_only_chose_the_epoch_are_no_training_images(tiny_backbone, images, labels, others):
    classifier = TransferClassifier(tiny_backbone, head=Head(units=()), epochs=1, schedule="head", verbose=0)
    classifier.fit(images, labels)
    held_out = [int(name.removeprefix("image ")) for name in classifier.split_.validation]
    assert held_out
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        calibrate(classifier.fitted_, images[held_out], labels[held_out])
    assert len(classifier.fitted_.training_prints) == 24 - len(held_out)


def test_the_warning_points_at_the_line_of_the_user(tiny_backbone, images, labels):
    classifier = TransferClassifier(tiny_backbone, verbose=0).fit(images, labels)
    with pytest.warns(UserWarning, match="were trained on") as caught:
        classifier.calibrate(images, labels)
    assert caught[0].filename == __file__


def test_without_prints_nobody_is_warned(fitted, images, labels):
    calibrate(replace(fitted, training_prints=None), images, labels)


def test_one_image_or_one_class_will_do(fitted, others):
    one = calibrate(fitted, others[0][:1], others[1][:1])
    assert 0.5 < one.temperature < 2
    assert one.familiarity is fitted.familiarity  # one image tells nothing about what is usual
    alike = others[1] == others[1][0]
    calibrate(fitted, others[0][alike], others[1][alike])


def test_classes_that_were_never_trained_on_are_refused(fitted, others):
    with pytest.raises(ValueError, match="not among the classes of the training data: 'violet'"):
        calibrate(fitted, others[0], np.where(others[1] == "red", "violet", others[1]))


def test_images_that_cannot_be_read_are_refused_or_passed_over(fitted, image_paths, labels, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"nothing")
    fitted = replace(fitted, training_prints=None)
    paths = [*image_paths[:5], str(broken)]
    with pytest.raises(ImageReadError, match="1 of 6 images"):
        calibrate(fitted, paths, labels[:6])
    calibrated = calibrate(fitted, paths, labels[:6], on_bad_image="skip")
    assert len(calibrated.conformal) == 5
    assert calibrated.temperature == pytest.approx(calibrate(fitted, paths[:5], labels[:5]).temperature, rel=1e-5)


def test_any_number_of_labels(tiny_backbone, images, labels):
    named = [[str(label), *(["dark"] if i % 2 else [])] for i, label in enumerate(labels)]
    fitted = TransferClassifier(tiny_backbone, verbose=0).fit(images, named).fitted_
    wrong = [[str(label)] for label in np.roll(labels, 1)]
    calibrated = calibrate(replace(fitted, training_prints=None), images, wrong)
    assert calibrated.temperature > 1.05
    assert calibrated.conformal is None
    assert not np.allclose(calibrated.thresholds, fitted.thresholds)
    assert predict_labels(calibrated, images).tolist() == predict_labels(fitted, images).tolist()


def test_what_a_phase_has_trained_is_calibrated_too(tiny_backbone, images, labels, others):
    """A head of several layers."""
    classifier = TransferClassifier(tiny_backbone, head=Head(units=(4,)), epochs=2, schedule="head", verbose=0)
    fitted = classifier.fit(images, labels).fitted_
    assert (fitted.conformal, fitted.familiarity) == (None, None)
    calibrated = calibrate(fitted, *others)
    assert len(calibrated.conformal) == len(calibrated.familiarity.usual) == 24
