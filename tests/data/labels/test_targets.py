import numpy as np
import pytest

from transferkit.data.inputs.convert import LabelRule, as_source
from transferkit.data.labels.targets import encode_matrix, encode_sets, encode_targets
from transferkit.tasks.find import MULTICLASS, MULTILABEL

PIXELS = np.zeros((3, 4, 4, 3), "uint8")


def test_one_hot_labels_are_one_class_each_unless_many_are_asked_for():
    for task, expected in (("auto", False), ("multiclass", False), ("multilabel", True)):
        targets, names, kind = encode_matrix(np.eye(3, dtype=int), task=task)
        assert kind is (MULTILABEL if expected else MULTICLASS)
        assert names.tolist() == [0, 1, 2]
        assert targets.dtype == "float32"


def test_classes_are_sorted_unless_their_order_is_kept():
    assert encode_targets(["b", "a", "b"], 3)["class_names"].tolist() == ["a", "b"]
    assert encode_targets(["b", "a", "b"], 3, ordered=True)["class_names"].tolist() == ["b", "a"]


def test_any_number_of_ones_means_any_number_of_labels():
    targets, names, kind = encode_matrix(np.array([[0, 1], [1, 1], [0, 0]]))
    assert kind is MULTILABEL
    assert names.tolist() == [0, 1]
    assert targets.tolist() == [[0, 1], [1, 1], [0, 0]]


def test_shares_are_soft_labels():
    targets, names, kind = encode_matrix(np.array([[0.25, 0.75], [1, 0], [0.5, 0.5004]]), class_names=["x", "y"])
    assert kind is MULTICLASS
    assert names.tolist() == ["x", "y"]
    assert targets.sum(axis=1) == pytest.approx(1, abs=1e-6)


def test_columns_of_a_data_frame_are_classes():
    pandas = pytest.importorskip("pandas")
    encoded = encode_targets(pandas.DataFrame({"cat": [1, 0, 1], "dog": [1, 1, 0]}), 3)
    assert encoded["class_names"].tolist() == ["cat", "dog"]


def test_columns_of_a_data_frame_hold_numbers():
    pandas = pytest.importorskip("pandas")
    with pytest.raises(ValueError, match="a column for each class must hold finite numbers"):
        encode_targets(pandas.DataFrame({"cat": ["1", "0"], "dog": ["0", "1"]}), 2)


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_columns_are_matched_to_known_classes_by_name(task):
    pandas = pytest.importorskip("pandas")
    known = np.array(["cat", "dog", "owl"])

    def encode(**columns):
        return encode_targets(pandas.DataFrame(columns), 2, known, task)

    assert encode(owl=[0, 0], dog=[1, 0], cat=[0, 1])["targets"].tolist() == [[0, 1, 0], [1, 0, 0]]
    assert encode(dog=[1, 0], cat=[0, 1])["targets"].tolist() == [[0, 1, 0], [1, 0, 0]]
    with pytest.raises(
        ValueError, match=r"not among the classes of the training data: 'horse', 'sheep'. Known .*'cat'"
    ):
        encode(horse=[1, 0], sheep=[0, 1])
    with pytest.raises(ValueError, match=r"not among the classes of the training data: 'horse'"):
        encode(cat=[1, 0], dog=[0, 1], horse=[0, 0])


def test_columns_without_names_are_in_the_order_of_the_classes():
    pandas = pytest.importorskip("pandas")
    known, matrix = np.array(["cat", "dog"]), np.array([[0, 1], [1, 0]])
    for labels in (matrix, pandas.DataFrame(matrix)):
        assert encode_targets(labels, 2, known)["targets"].tolist() == matrix.tolist()
    numbered = pandas.DataFrame({1: [1, 0], 0: [0, 1]})
    assert encode_targets(numbered, 2, np.array([0, 1]))["targets"].tolist() == matrix.tolist()
    for known, expected in (([1, 0], [[1, 0], [0, 1]]), ([0, 1, 2], [[0, 1, 0], [1, 0, 0]])):
        assert encode_targets(pandas.DataFrame(matrix), 2, known)["targets"].tolist() == expected


def test_a_column_that_comes_twice_is_refused():
    pandas = pytest.importorskip("pandas")
    labels = pandas.DataFrame(np.eye(3, dtype=int), columns=["cat", "dog", "cat"])
    with pytest.raises(ValueError, match=r"one column for each class. Received: several columns called 'cat'\.$"):
        encode_targets(labels, 3)


@pytest.mark.parametrize(
    ("labels", "task", "message"),
    [
        (np.eye(2), "auto", "`x` and `y` must have the same length. Received: 3 images and 2 labels"),
        (np.full((3, 2), np.nan), "auto", "none missing"),
        (np.full((3, 2), np.inf), "auto", "must hold finite numbers"),
        (
            np.full((3, 2), 0.7),
            "auto",
            r"or 0 and 1. Received: values from 0.7 to 0.7, rows that sum to 1.4",
        ),
        (np.full((3, 2), 0.5), "multilabel", "must hold 0 and 1. Received: values from 0.5"),
        (np.ones((3, 2)), "multiclass", "soft labels"),
        (
            np.array([[1.5, -0.5], [0, 1], [1, 0]]),
            "auto",
            "soft labels.* values from -0.5 to 1.5, rows that sum to 1 up",
        ),
        (np.array([[3, 7], [7, 9], [1, 2]]), "auto", "soft labels.* rows that sum to 3 up to 16"),
        ([["a"], ["b"]], "auto", "Received: 3 images and 2 labels"),
        ([["a"], ["b", "a"], []], "multiclass", r"one label for each image. Received: \['b', 'a'\] at position 1"),
        ([{"a"}, {"b"}, {"c"}], "multiclass", r"one label for each image. Received: \['a'\] at position 0"),
        ([[], [], []], "auto", "No image has a label. Expected at least two"),
    ],
)
def test_other_labels_are_refused(labels, task, message):
    with pytest.raises(ValueError, match=message):
        encode_targets(labels, 3, task=task)


def test_a_matrix_has_a_column_for_each_known_class():
    with pytest.raises(ValueError, match=r"a column for each of 3 classes: a, b, c. Received: shape \(2, 2\)"):
        encode_targets(np.eye(2), 2, ["a", "b", "c"])


def test_sets_become_rows_and_may_be_empty():
    targets, names = encode_sets([["b", "a"], [], ["b"]])
    assert names.tolist() == ["a", "b"]
    assert targets.tolist() == [[1, 1], [0, 0], [0, 1]]
    targets, names = encode_sets([[10, 9], [10], []], [9, 10, 11])
    assert names.tolist() == [9, 10, 11]
    assert targets.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]
    assert not encode_sets([[], []], [9, 10])[0].any()
    assert encode_sets([["a10", "a9"], ["b"]])[1].tolist() == ["a9", "a10", "b"]


@pytest.mark.parametrize(
    ("labels", "names", "message"),
    [
        ([["a"], [1], []], None, "labels of type int, str"),
        ([["a"], [2.5], []], None, "labels of type float, str"),
        ([["a"], [["b"]], []], None, "labels of type list, str"),
        ([[1.0, 2.0], [1.0]], None, "labels of type float"),
        ([[True, False], [True]], None, "labels of type bool"),
        ([["a"], ["b", ""], []], None, r"missing inside a set of labels.*Received: \['b', ''\] at position 1"),
        ([["a"], ["a\0"]], None, "must not end with the character NUL"),
        ([["a"], ["z"], []], ["a", "b"], "not among the classes of the training data: 'z'. Known classes: 'a', 'b'"),
    ],
)
def test_other_sets_are_refused(labels, names, message):
    with pytest.raises(ValueError, match=message):
        encode_sets(labels, names)


def test_images_are_divided_by_their_rarest_label():
    targets = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0], [1, 0, 1], [1, 1, 0]], "float32")
    assert MULTILABEL.stand_in_codes(targets).tolist() == [1, 0, 0, 2, 1]
    assert MULTILABEL.stand_in_codes(targets[:, ::-1]).tolist() == [1, 2, 2, 0, 1]
    assert MULTICLASS.stand_in_codes(np.array([[0.4, 0.6], [0.9, 0.1]])).tolist() == [1, 0]


def test_sources_keep_targets_with_their_images():
    source = as_source(PIXELS, [["a"], [], ["b", "a"]])
    assert source.task is MULTILABEL
    assert source.take([2, 0]).targets.tolist() == [[1, 1], [1, 0]]
    soft = as_source(PIXELS, np.array([[0.2, 0.8], [1, 0], [0.5, 0.5]]))
    assert (soft.task, soft.labels.tolist()) == (MULTICLASS, [1, 0, 0])


def test_the_task_has_to_fit_the_labels():
    with pytest.raises(ValueError, match="task='multilabel', `y` must hold a list .*Received: 'a' for the first"):
        as_source(PIXELS, ["a", "b", "a"], label_rule=LabelRule(task="multilabel"))
    with pytest.raises(ValueError, match="With task='binary' there must be two classes. Received: a, b, c"):
        as_source(PIXELS, ["a", "b", "c"], label_rule=LabelRule(task="binary"))
    assert as_source(PIXELS, ["a", "b", "a"], label_rule=LabelRule(task="binary")).class_names.tolist() == ["a", "b"]


@pytest.mark.parametrize("task", ["auto", "multilabel"])
def test_a_source_of_one_hot_rows_is_the_same_as_one_of_their_matrix(task):
    matrix = np.eye(3, dtype=int)
    rows = np.empty(3, object)
    rows[:] = list(matrix)
    expected = as_source(PIXELS, matrix, label_rule=LabelRule(task=task))
    for labels in (list(matrix), matrix.tolist(), rows, rows.tolist()):
        source = as_source(PIXELS, labels, label_rule=LabelRule(task=task))
        assert source.task is expected.task is (MULTILABEL if task == "multilabel" else MULTICLASS)
        assert source.class_names.tolist() == [0, 1, 2]
        assert np.array_equal(source.targets, expected.targets)
    assert as_source(PIXELS, [[0], [1], [1]]).task is MULTICLASS
