import numpy as np
import pytest

from transferkit import ImageReadError
from transferkit.inspection.predictions import evaluate, predict_files, predict_labels, predict_probabilities, score


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
