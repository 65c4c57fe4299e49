import json

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, average_precision_score, f1_score

from transferkit.evaluation.multilabel import MultilabelReport, choose_thresholds


@pytest.fixture
def answers():
    """Labels of 400 images and probabilities that are right more often than not, too low for the last label."""
    rng = np.random.default_rng(0)
    targets = (rng.random((400, 3)) < [0.5, 0.2, 0.1]).astype("float32")
    probabilities = np.clip(0.35 * targets + 0.65 * rng.random((400, 3)), 0, 1)
    probabilities[:, 2] /= 4
    return targets, probabilities


def test_thresholds_have_the_best_f1(answers):
    targets, probabilities = answers
    thresholds = choose_thresholds(targets, probabilities)
    for column in range(3):
        found = f1_score(targets[:, column], probabilities[:, column] >= thresholds[column])
        tried = [f1_score(targets[:, column], probabilities[:, column] >= t) for t in np.linspace(0, 1, 200)]
        assert found >= max(tried)
    assert thresholds[2] < 0.25 < thresholds[0]


def test_labels_of_few_images_keep_half(answers):
    targets = np.zeros((50, 3), "float32")
    targets[:4, 0] = targets[:5, 1] = 1
    targets[:46, 2] = 1
    probabilities = np.where(targets == 1, 0.2, 0.1)
    assert choose_thresholds(targets, probabilities) == pytest.approx([0.5, 0.15, 0.5])


def test_numbers_agree_with_scikit_learn(answers):
    targets, probabilities = answers
    thresholds = np.array([0.5, 0.5, 0.1])
    report = MultilabelReport(np.array(["a", "b", "c"]), targets, probabilities, thresholds)
    predicted = probabilities >= thresholds
    assert report.micro_f1 == pytest.approx(f1_score(targets, predicted, average="micro"))
    assert report.macro_f1 == pytest.approx(f1_score(targets, predicted, average="macro"))
    assert report.mean_average_precision == pytest.approx(average_precision_score(targets, probabilities))
    assert report.accuracy == pytest.approx(accuracy_score(targets, predicted))
    assert report.support.tolist() == targets.sum(axis=0).tolist()


def test_labels_that_do_not_occur_do_not_count():
    targets, probabilities = np.array([[1, 0], [0, 0]]), np.array([[0.9, 0.1], [0.2, 0.3]])
    report = MultilabelReport(np.array(["a", "b"]), targets, probabilities, np.array([0.5, 0.5]))
    assert report.macro_f1 == report.mean_average_precision == 1
    assert json.loads(json.dumps(report.to_dict()))["classes"][1]["average_precision"] is None


def test_it_prints_as_a_table():
    targets, probabilities = (
        np.array([[1, 0], [0, 1], [1, 1], [0, 0]]),
        np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.7], [0, 0.6]]),
    )
    report = MultilabelReport(np.array(["cat", "dog"]), targets, probabilities, np.array([0.5, 0.5]))
    assert repr(report) == (
        "MultilabelReport(accuracy=0.500, micro_f1=0.750, macro_f1=0.733, mean_average_precision=1.000, "
        "num_images=4, num_classes=2)"
    )
    assert str(report) == (
        "4 images, 2 labels; 95 % intervals over images\n"
        "\n"
        "all labels right             0.500  0.150 to 0.850\n"
        "micro F1                     0.750  0.000 to 1.000\n"
        "macro F1                     0.733  0.000 to 1.000\n"
        "weighted F1                  0.733  0.000 to 1.000\n"
        "ROC-AUC                      1.000\n"
        "mean average precision       1.000\n"
        "log loss                     0.356  0.105 to 0.636\n"
        "Brier score                  0.114  0.010 to 0.225\n"
        "calibration error (15 bins)  0.263  0.000 to 0.383\n"
        "\n"
        "label  precision  recall     F1     AP  images  threshold\n"
        "cat        1.000   0.500  0.667  1.000       2      0.500\n"
        "dog        0.667   1.000  0.800  1.000       2      0.500\n"
        "\n"
        "worst mistakes:\n"
        "  image 2: predicted dog (0.600), is cat + dog\n"
        "  image 3: predicted dog (0.600), is no label"
    )


def test_weights_of_images_are_numbers_of_them_for_thresholds():
    rng = np.random.default_rng(3)
    targets = rng.integers(0, 2, (80, 2))
    probabilities = (0.3 * targets + 0.7 * rng.uniform(size=(80, 2))).astype("float32")
    weights = 1 + 4 * rng.integers(0, 2, 80) * (targets[:, 0] == (probabilities[:, 0] > 0.6))
    rows = np.repeat(np.arange(80), weights)
    found = choose_thresholds(targets, probabilities, weights)
    assert found == pytest.approx(choose_thresholds(targets[rows], probabilities[rows]))
    assert np.abs(found - choose_thresholds(targets, probabilities)).max() > 0.01
