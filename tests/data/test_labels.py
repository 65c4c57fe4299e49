import numpy as np
import pytest

from transferkit.data.labels import encode_labels


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["b", "a", "b"], ["a", "b"]),
        ([30, 7, 30], [7, 30]),
        (np.array([30, 7, 30], "uint8"), [7, 30]),
        (np.array(["b", "a", "b"], object), ["a", "b"]),
        (np.array([[1.0], [0.0], [1.0]]), [0, 1]),
        ([True, False, True], [False, True]),
    ],
)
def test_labels_of_any_kind_become_codes_and_keep_their_names(labels, names):
    codes, class_names = encode_labels(labels, 3)
    assert codes.tolist() == [1, 0, 1]
    assert codes.dtype == "int64"
    assert class_names.tolist() == names
    assert type(class_names.tolist()[0]) is type(names[0])


def test_order_of_appearance_can_be_kept():
    codes, class_names = encode_labels(["2", "10", "2"], 3, ordered=True)
    assert class_names.tolist() == ["2", "10"]
    assert codes.tolist() == [0, 1, 0]


def test_known_classes_give_their_codes():
    codes, class_names = encode_labels(["c", "a"], 2, class_names=["a", "b", "c"])
    assert codes.tolist() == [2, 0]
    assert class_names.tolist() == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a", "b"], "must have the same length. Received: 3 images and 2 labels"),
        (["a", 1, "b"], "labels of type int, str"),
        (["a", float("nan"), "b"], "all integers or all strings, none missing. Received: labels of type float, str"),
        ([0.0, 1.0, float("nan")], r"Labels are missing \(NaN\): 1 of 3, the first at position 2"),
        (["a", None, "b"], "labels of type NoneType, str"),
        ([0.5, 1.0, 2.0], "must be integers or strings"),
        (np.eye(3), "For one-hot labels pass `y.argmax"),
    ],
)
def test_unusable_labels_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        encode_labels(labels, 3)


def test_an_unknown_label_is_refused_and_the_known_ones_are_named():
    with pytest.raises(ValueError, match=r"not among the classes of the training data: 'x'. Known classes: 'a', 'b'"):
        encode_labels(["a", "x"], 2, class_names=["a", "b"])


@pytest.mark.parametrize("labels", ["aba", 3])
def test_what_is_no_sequence_of_labels_is_refused(labels):
    with pytest.raises(TypeError, match="`y` must be a sequence of labels, one for each image"):
        encode_labels(labels, 3)
