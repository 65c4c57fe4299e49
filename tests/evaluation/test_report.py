import json

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from transferkit.evaluation.report import EvaluationReport


def random_report(num_classes, num_images=200, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, num_classes, num_images)
    probabilities = (
        rng.dirichlet(np.ones(num_classes), num_images)
        + 0.3 * np.eye(num_classes)[(labels + (rng.random(num_images) < 0.2)) % num_classes]
    )
    names = np.array([f"class {i}" for i in range(num_classes)])
    return EvaluationReport(names, labels, probabilities), labels, probabilities.argmax(axis=1)


def test_numbers_agree_with_scikit_learn():
    report, labels, predictions = random_report(5)
    assert report.accuracy == pytest.approx(accuracy_score(labels, predictions))
    assert report.macro_f1 == pytest.approx(f1_score(labels, predictions, average="macro"))
    assert report.f1 == pytest.approx(f1_score(labels, predictions, average=None))
    assert report.balanced_accuracy == pytest.approx(balanced_accuracy_score(labels, predictions))
    assert report.confusion_matrix.sum() == report.num_images == 200
    low, high = report.accuracy_interval
    assert low < report.accuracy < high


def test_classes_that_do_not_occur_do_not_count_in_macro_f1():
    report = EvaluationReport(np.array(list("abc")), np.array([0, 1]), np.array([[0.9, 0.1, 0], [0.2, 0.8, 0]]))
    assert report.macro_f1 == report.balanced_accuracy == 1.0
    assert report.worst_class == ("a", 1.0)


def test_it_prints_as_tables():
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.1, 0.9]])
    report = EvaluationReport(np.array(["cat", "dog"]), np.array([0, 0, 1, 1]), probabilities)
    assert str(report) == (
        "4 images, 2 classes; 95 % intervals over images\n"
        "worst class: cat, with a recall of 0.500\n"
        "\n"
        "accuracy                     0.750  0.301 to 0.954\n"
        "balanced accuracy            0.750  0.000 to 1.000\n"
        "macro F1                     0.733  0.000 to 1.000\n"
        "weighted F1                  0.733  0.000 to 1.000\n"
        "ROC-AUC                      0.750  0.000 to 1.000\n"
        "mean average precision       0.833  0.500 to 1.000\n"
        "log loss                     0.544  0.105 to 1.609\n"
        "Brier score                  0.375  0.020 to 1.280\n"
        "calibration error (15 bins)  0.325  0.000 to 0.557\n"
        "\n"
        "class  precision  recall     F1  images\n"
        "cat        1.000   0.500  0.667       2\n"
        "dog        0.667   1.000  0.800       2\n"
        "\n"
        "true \\ predicted cat dog\n"
        "cat                1   1\n"
        "dog                .   2\n"
        "\n"
        "most frequent mistakes:\n"
        "  cat taken for dog: 1\n"
        "worst mistakes:\n"
        "  image 1: predicted dog (0.800), is cat"
    )
    assert repr(report) == (
        "EvaluationReport(accuracy=0.750, accuracy_interval=(0.301, 0.954), balanced_accuracy=0.750, macro_f1=0.733, "
        "num_images=4, num_classes=2)"
    )


def test_a_notebook_gets_the_same_tables():
    html = random_report(3)[0]._repr_html_()
    assert html.count("<table>") == 3
    assert html.count("<tr>") == 8 + 1 + len(random_report(3)[0].metrics)
    many = random_report(60, 600)[0]._repr_html_()
    assert many.count("<table>") == 2
    assert "<p>most frequent mistakes:</p>" in many


def test_many_classes_print_the_worst_ones_and_the_most_frequent_mistakes():
    report, *_ = random_report(60, 600)
    text = str(report)
    assert "the 30 classes with the lowest F1, of 60" in text
    assert "most frequent mistakes:" in text
    assert len(text.splitlines()) < 60


def test_the_dict_is_plain_json():
    report, *_ = random_report(3)
    plain = json.loads(json.dumps(report.to_dict()))
    assert plain["classes"][1] == {
        "name": "class 1",
        "precision": pytest.approx(report.precision[1]),
        "recall": pytest.approx(report.recall[1]),
        "f1": pytest.approx(report.f1[1]),
        "support": int(report.support[1]),
    }
    assert plain["confusion_matrix"] == report.confusion_matrix.tolist()
