import json
from dataclasses import replace

import keras
import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from transferkit import ImageReadError
from transferkit.inspection.predictions import (
    context_of,
    evaluate,
    predict_files,
    predict_labels,
    predict_probabilities,
    score,
)


@pytest.fixture
def fitted(fitted_classifier):
    return fitted_classifier.fitted_


@pytest.fixture
def spoiled(image_paths, tmp_path):
    """Paths of images, the second of which is none."""
    path = tmp_path / "broken.png"
    path.write_bytes(b"nothing")
    return [image_paths[0], str(path), image_paths[2]]


def test_labels_are_the_most_probable_classes(fitted, images):
    probabilities = predict_probabilities(fitted, images)
    assert np.array_equal(predict_labels(fitted, images), fitted.class_names[probabilities.argmax(axis=1)])


def test_the_batch_size_changes_nothing(fitted, images):
    assert predict_probabilities(fitted, images, batch_size=5) == pytest.approx(predict_probabilities(fitted, images))


def test_a_row_is_never_out_of_place(fitted, spoiled):
    for predict in (predict_probabilities, predict_labels, predict_files):
        with pytest.raises(ImageReadError, match="1 of 3 images could not be read"):
            predict(fitted, spoiled)


def test_files_that_cannot_be_read_have_no_label(fitted, spoiled):
    first, broken, last = predict_files(fitted, spoiled, on_bad_image="skip")
    assert (broken.label, np.isnan(broken.probability), broken.path) == (None, True, spoiled[1])
    assert [first.label, last.label] == predict_labels(fitted, [spoiled[0], spoiled[2]]).tolist()


def test_what_is_skipped_is_not_judged(fitted, spoiled, labels):
    own = [labels[0], labels[1], labels[2]]
    report = evaluate(fitted, spoiled, own, on_bad_image="skip")
    assert report.num_images == 2
    assert score(fitted, spoiled, own, on_bad_image="skip", sample_weight=[1, 9, 1]) == report.accuracy
    with pytest.raises(ImageReadError):
        evaluate(fitted, spoiled, own)


def test_the_score_is_the_accuracy_of_the_report(fitted, images, labels):
    wrong = np.roll(labels, 1)
    assert score(fitted, images, wrong) == evaluate(fitted, images, wrong).accuracy < 1
    weights = (predict_labels(fitted, images) == wrong).astype(float) + 1
    expected = np.average(predict_labels(fitted, images) == wrong, weights=weights)
    assert score(fitted, images, wrong, sample_weight=weights) == pytest.approx(expected)


def test_a_report_knows_its_images_and_its_classifier(fitted, image_paths, labels):
    report = evaluate(fitted, image_paths, labels)
    assert list(report.names) == image_paths
    assert report.context["backbone"] == fitted.backbone.name
    assert np.array_equal(report.probabilities, predict_probabilities(fitted, image_paths))
    first, _ = report.images([0, len(labels) - 1])
    assert (first.dtype, first.shape[2]) == (np.uint8, 3)
    assert np.array_equal(first, fitted.reader.read(image_paths[0]))
    assert evaluate(fitted, np.zeros((2, 8, 8, 3), "uint8"), labels[:2]).names == ("image 0", "image 1")


def test_names_and_images_are_those_of_the_images_that_can_be_read(fitted, spoiled, labels):
    report = evaluate(fitted, spoiled, [labels[0], labels[1], labels[2]], on_bad_image="skip")
    assert report.names == (spoiled[0], spoiled[2])
    assert np.array_equal(report.images([1])[0], fitted.reader.read(spoiled[2]))


def test_intervals_are_over_groups_where_there_are_some(fitted, images, labels):
    groups = [f"scene {place // 3}" for place in range(len(labels))]
    report = evaluate(fitted, images, labels, groups=groups)
    assert len(np.unique(report.groups)) == len(set(groups))
    with pytest.raises(ValueError, match="`groups` must have one entry for each image"):
        evaluate(fitted, images, labels, groups=groups[1:])


def test_metrics_of_the_user_are_checked_before_and_computed_with_the_others(fitted, images, labels):
    report = evaluate(fitted, images, labels, metrics={"kappa": cohen_kappa_score})
    assert report.metrics["kappa"].value == cohen_kappa_score(labels, predict_labels(fitted, images))
    with pytest.raises(TypeError, match="`metrics` must be a dict"):
        evaluate(fitted, "no such folder", metrics=[cohen_kappa_score])


def test_what_a_report_keeps_of_its_classifier_is_json_without_folders(fitted):
    parameters = {**fitted.parameters, "weights": "/home/me/own.weights.h5", "optimizer": keras.optimizers.Adam()}
    history = {"epoch": [0], "loss": [np.float32(0.5)], "val_loss": [float("nan")]}
    text = json.dumps(context_of(replace(fitted, parameters=parameters, history=history)), allow_nan=False)
    context = json.loads(text)
    assert context["settings"]["weights"] == "own.weights.h5"
    assert context["settings"]["optimizer"] == "Adam(…)"
    assert context["history"] == {"epoch": [0], "loss": [0.5], "val_loss": [None]}
    assert context["versions"]["keras"] == keras.__version__
    assert "/home/me" not in text
