from types import SimpleNamespace

import keras
import numpy as np
import pytest

from transferkit.data.datasets import Targets
from transferkit.tasks.find import MULTICLASS, MULTILABEL, find_task, task_with

NAMES = np.array(["cat", "dog", "owl"])
ROWS = np.array([[0.7, 0.2, 0.6], [0.1, 0.3, 0.2], [0.2, 0.9, 0.8]], "float32")
THRESHOLDS = np.array([0.5, 0.5, 0.7], "float32")
CODES = SimpleNamespace(labels=np.array([0, 1, 1]), targets=None, class_names=NAMES)
SETS = SimpleNamespace(
    labels=np.array([0, 0, 1]), targets=np.array([[1, 0, 1], [0, 0, 0], [0, 1, 1]], "float32"), class_names=NAMES
)


@pytest.mark.parametrize("task", [MULTICLASS, MULTILABEL])
def test_a_task_is_found_by_its_name_and_by_what_makes_its_probabilities(task):
    assert find_task(task.name) is task
    assert task_with(task.activation) is task


def test_a_name_that_is_none_is_refused():
    with pytest.raises(ValueError, match="Expected one of 'multiclass', 'multilabel'. Received: 'regression'"):
        find_task("regression")


def test_the_truth_of_one_label_an_image_is_its_code_and_that_of_many_a_row():
    assert MULTICLASS.truth(CODES).tolist() == [0, 1, 1]
    assert MULTILABEL.truth(SETS) is SETS.targets


def test_predictions_are_in_the_labels_of_the_user():
    assert MULTICLASS.labels(ROWS, NAMES, None).tolist() == ["cat", "dog", "dog"]
    assert MULTILABEL.labels(ROWS, NAMES, THRESHOLDS).tolist() == [("cat",), (), ("dog", "owl")]


def test_a_prediction_comes_with_its_probability():
    assert MULTICLASS.label_and_probability(ROWS[0], NAMES, None) == ("cat", pytest.approx(0.7))
    labels, probabilities = MULTILABEL.label_and_probability(ROWS[2], NAMES, THRESHOLDS)
    assert labels == ("dog", "owl")
    assert probabilities == pytest.approx((0.9, 0.8))


def test_labels_are_counted_among_the_images_that_are_asked_for():
    assert MULTICLASS.class_counts(CODES).tolist() == [1, 2, 0]
    assert MULTICLASS.class_counts(CODES, [1, 2]).tolist() == [0, 2, 0]
    assert MULTILABEL.class_counts(SETS).tolist() == [1, 1, 2]
    assert MULTILABEL.class_counts(SETS, np.array([0, 1])).tolist() == [1, 0, 1]


def test_a_label_is_named_as_its_user_would():
    assert MULTICLASS.label_of(CODES, 2) == "dog"
    assert [MULTILABEL.label_of(SETS, index) for index in range(3)] == [("cat", "owl"), (), ("dog", "owl")]


def test_accuracy_counts_images_of_which_all_labels_are_right_by_their_weights():
    assert MULTICLASS.accuracy(CODES.labels, ROWS, None) == 1
    assert MULTICLASS.accuracy(np.array([0, 0, 1]), ROWS, None, [1, 3, 1]) == pytest.approx(2 / 5)
    assert MULTILABEL.accuracy(SETS.targets, ROWS, THRESHOLDS, [1, 3, 1]) == pytest.approx(4 / 5)


def test_guessing_knows_how_frequent_labels_are():
    codes = Targets(np.array([0, 1, 1]), 3, np.array([1, 1, 2], "float32"))
    assert MULTICLASS.guessing_accuracy(codes) == pytest.approx(3 / 4)
    rows = Targets(np.array([0, 0, 1]), 3, matrix=SETS.targets, task=MULTILABEL)
    assert MULTILABEL.guessing_accuracy(rows) == pytest.approx(2 / 3)


def test_smoothing_spreads_over_classes_or_over_yes_and_no():
    assert MULTICLASS.smoothing_choices(5) == 5
    assert MULTILABEL.smoothing_choices(5) == 2


def test_only_many_labels_an_image_have_thresholds():
    assert not MULTICLASS.has_thresholds
    assert MULTICLASS.choose_thresholds(CODES.labels, ROWS) is None
    assert MULTILABEL.has_thresholds
    assert MULTILABEL.choose_thresholds(SETS.targets, ROWS).tolist() == [0.5] * 3  # too few to choose on


@pytest.mark.parametrize(("task", "row"), [(MULTICLASS, [0, 1, 0]), (MULTILABEL, [0, 1, 1])])
@pytest.mark.parametrize("focus", [0.0, 2.0])
def test_the_loss_is_the_one_of_its_name(task, row, focus):
    truth, probabilities = np.array([row], "float32"), np.array([[0.2, 0.5, 0.3]], "float32")
    own = np.where(truth == 1, probabilities, 1 - probabilities)
    losses = (1 - own) ** focus * -np.log(own)
    expected = losses[truth == 1].sum() if task is MULTICLASS else losses.mean()
    assert float(task.loss(focus)(truth, probabilities)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("task", [MULTICLASS, MULTILABEL])
def test_what_is_measured_is_called_alike(task):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, task.activation)])
    model.compile("sgd", task.loss(), weighted_metrics=task.metrics())
    logs = model.evaluate(np.zeros((2, 2)), np.eye(3)[:2], verbose=0, return_dict=True)
    assert set(logs) == {"loss", "accuracy", "log_loss"}


@pytest.mark.parametrize(
    "options", [{"class_weight": "balanced", "balance": None}, {"class_weight": None, "balance": "crt"}]
)
def test_labels_that_are_independent_have_no_sizes_to_be_balanced(options):
    MULTICLASS.check_balancing(**options)
    MULTILABEL.check_balancing(None, "focal")
    with pytest.raises(ValueError, match="classes have no sizes to be balanced"):
        MULTILABEL.check_balancing(*options)


def test_logits_become_probabilities_as_in_the_model():
    logits = np.array([[1.0, -2, 0.5]], "float32")
    assert MULTICLASS.probabilities(logits) == pytest.approx(np.array(keras.ops.softmax(logits)))
    assert MULTILABEL.probabilities(logits) == pytest.approx(np.array(keras.ops.sigmoid(logits)))


def test_thresholds_decide_alike_once_logits_are_divided():
    assert MULTICLASS.divided_thresholds(None, 2.0) is None
    divided = MULTILABEL.divided_thresholds(THRESHOLDS, 2.0)
    assert divided == pytest.approx([0.5, 0.5, 1 / (1 + np.sqrt(3 / 7))])
    assert divided.dtype == "float32"
