import numpy as np
import pytest

from transferkit.data.inputs.convert import as_source
from transferkit.data.targets import encode_matrix, encode_sets, is_label_matrix, is_label_sets, stand_in_codes

PIXELS = np.zeros((3, 4, 4, 3), "uint8")


@pytest.mark.parametrize(
    ("labels", "is_matrix", "are_sets"),
    [
        (["a", "b", "c"], False, False),
        (np.array([1, 2, 3]), False, False),
        (np.eye(3), True, False),
        (np.ones((3, 1)), False, False),
        ([[0, 1], [1, 1], [0, 0]], True, False),
        ([[3, 7], [7, 9], [1, 2]], False, True),
        ([["a"], [], ["a", "b"]], False, True),
        ([{"a"}, {"b"}, set()], False, True),
        ([("a",), None, ("b",)], False, True),
    ],
)
def test_kinds_of_labels_are_told_apart(labels, is_matrix, are_sets):
    assert is_label_matrix(labels) == is_matrix
    assert is_label_sets(labels) == are_sets


def test_one_hot_labels_are_one_class_each_unless_many_are_asked_for():
    for task, expected in (("auto", False), ("multiclass", False), ("multilabel", True)):
        targets, names, is_multilabel = encode_matrix(np.eye(3, dtype=int), 3, task=task)
        assert is_multilabel == expected
        assert names.tolist() == [0, 1, 2]
        assert targets.dtype == "float32"


def test_any_number_of_ones_means_any_number_of_labels():
    targets, _, is_multilabel = encode_matrix([[0, 1], [1, 1], [0, 0]], 3)
    assert is_multilabel
    assert targets.tolist() == [[0, 1], [1, 1], [0, 0]]


def test_shares_are_soft_labels():
    targets, names, is_multilabel = encode_matrix(np.array([[0.25, 0.75], [1, 0], [0.5, 0.5004]]), 3, ["x", "y"])
    assert not is_multilabel
    assert names.tolist() == ["x", "y"]
    assert targets.sum(axis=1) == pytest.approx(1, abs=1e-6)


def test_columns_of_a_data_frame_are_classes():
    pandas = pytest.importorskip("pandas")
    _, names, _ = encode_matrix(pandas.DataFrame({"cat": [1, 0, 1], "dog": [1, 1, 0]}), 3)
    assert names.tolist() == ["cat", "dog"]


@pytest.mark.parametrize(
    ("labels", "task", "message"),
    [
        (np.eye(2), "auto", r"a row for each of 3 images and a column for each of 2 classes. Received: shape \(2, 2\)"),
        (np.full((3, 2), np.nan), "auto", "none missing"),
        (
            np.full((3, 2), 0.7),
            "auto",
            r"or 0 and 1. Received: values from 0.7 to 0.7, rows that sum to 1.4",
        ),
        (np.full((3, 2), 0.5), "multilabel", "must hold 0 and 1. Received: values from 0.5"),
        (np.ones((3, 2)), "multiclass", "soft labels"),
    ],
)
def test_other_matrices_are_refused(labels, task, message):
    with pytest.raises(ValueError, match=message):
        encode_matrix(labels, 3, task=task)


def test_sets_become_rows_and_may_be_empty():
    targets, names = encode_sets([["b", "a"], [], {"b"}], 3)
    assert names.tolist() == ["a", "b"]
    assert targets.tolist() == [[1, 1], [0, 0], [0, 1]]
    targets, names = encode_sets([(10, 9), np.array([10]), ()], 3, [9, 10, 11])
    assert names.tolist() == [9, 10, 11]
    assert targets.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    ("labels", "names", "message"),
    [
        ([["a"], ["b"]], None, "Received: 3 images and 2 sets of labels"),
        ([["a"], None, "b"], None, "Received: None at position 1, and 1 more like it"),
        ([["a"], [1], []], None, "labels of type int, str"),
        ([["a"], [2.5], []], None, "labels of type float, str"),
        ([["a"], ["z"], []], ["a", "b"], "not among the classes of the training data: 'z'. Known classes: 'a', 'b'"),
    ],
)
def test_other_sets_are_refused(labels, names, message):
    with pytest.raises(ValueError, match=message):
        encode_sets(labels, 3, names)


def test_images_are_divided_by_their_rarest_label():
    targets = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0], [1, 0, 1], [1, 1, 0]], "float32")
    assert stand_in_codes(targets, is_multilabel=True).tolist() == [1, 0, 0, 2, 1]
    assert stand_in_codes(np.array([[0.4, 0.6], [0.9, 0.1]]), is_multilabel=False).tolist() == [1, 0]


def test_sources_keep_targets_with_their_images():
    source = as_source(PIXELS, [["a"], [], ["b", "a"]])
    assert source.is_multilabel
    assert source.take([2, 0]).targets.tolist() == [[1, 1], [1, 0]]
    soft = as_source(PIXELS, np.array([[0.2, 0.8], [1, 0], [0.5, 0.5]]))
    assert (soft.is_multilabel, soft.labels.tolist()) == (False, [1, 0, 0])


def test_the_task_has_to_fit_the_labels():
    with pytest.raises(ValueError, match="task='multilabel', `y` must hold a list .*Received: 'a' for the first"):
        as_source(PIXELS, ["a", "b", "a"], task="multilabel")
    with pytest.raises(ValueError, match="With task='binary' there must be two classes. Received: a, b, c"):
        as_source(PIXELS, ["a", "b", "c"], task="binary")
    assert as_source(PIXELS, ["a", "b", "a"], task="binary").class_names.tolist() == ["a", "b"]
