import numpy as np
import pytest

from transferkit.evaluation.base import ConfusedPair, JudgedImage
from transferkit.evaluation.multilabel import MultilabelReport
from transferkit.evaluation.report import EvaluationReport


@pytest.fixture
def report():
    probabilities = np.array([[0.9, 0.1, 0], [0.2, 0.7, 0.1], [0.05, 0.95, 0], [0.3, 0.3, 0.4]])
    names = ("a.png", "b.png", "c.png", "d.png")
    return EvaluationReport(np.array(["cat", "dog", "owl"]), np.array([0, 0, 2, 2]), probabilities, names=names)


@pytest.fixture
def multilabel():
    targets = np.array([[1, 0], [0, 1], [0, 0]])
    probabilities = np.array([[0.9, 0.2], [0.8, 0.4], [0.45, 0.1]])
    return MultilabelReport(np.array(["cat", "dog"]), targets, probabilities, np.array([0.5, 0.5]))


def test_pairs_that_are_confused_come_with_their_share_of_the_class(report):
    assert report.confused_pairs == [ConfusedPair("cat", "dog", 1, 0.5), ConfusedPair("owl", "dog", 1, 0.5)]


def test_the_worst_mistakes_are_the_most_certain(report):
    assert report.worst_mistakes() == [
        JudgedImage(2, "c.png", "owl", "dog", pytest.approx(0.95)),
        JudgedImage(1, "b.png", "cat", "dog", pytest.approx(0.7)),
    ]
    assert len(report.worst_mistakes(1)) == 1


def test_the_least_confident_come_first_right_or_wrong(report):
    assert [image.index for image in report.least_confident(2)] == [3, 1]


def test_a_label_that_is_missed_where_another_is_wrong_is_taken_for_it(multilabel):
    assert multilabel.confused_pairs == [ConfusedPair("dog", "cat", 1, 1.0)]


def test_mistakes_of_many_labels_show_the_most_certain_wrong_answer(multilabel):
    assert multilabel.worst_mistakes() == [JudgedImage(1, "image 1", ("dog",), ("cat",), pytest.approx(0.8))]
    assert multilabel.least_confident(1) == [JudgedImage(2, "image 2", (), (), pytest.approx(0.45))]
