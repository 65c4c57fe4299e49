import numpy as np
import pytest
import tensorflow as tf
from scipy.sparse import csr_array
from sklearn.preprocessing import LabelBinarizer

from transferkit.data.labels.codes import encode_labels, label_array, names_of, read_labels


def objects(rows):
    """An object array that holds rows."""
    array = np.empty(len(rows), object)
    array[:] = list(rows)
    return array


def series(rows):
    pandas = pytest.importorskip("pandas")
    return pandas.Series(list(rows))


def frame(rows):
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(np.array(list(rows)))


CONTAINERS = [list, tuple, objects, series]
MATRIX_CONTAINERS = [*CONTAINERS, frame, csr_array, tf.constant, lambda matrix: np.array(matrix, object)]


@pytest.mark.parametrize("contain", MATRIX_CONTAINERS)
@pytest.mark.parametrize("dtype", ["int64", "uint8", "float32"])
@pytest.mark.parametrize("task", ["auto", "multilabel"])
def test_a_matrix_is_read_alike_in_every_container(contain, dtype, task):
    matrix = np.eye(3, dtype=dtype)[[2, 0, 1, 1]]
    read = read_labels(contain(matrix), task)
    assert read.kind == "columns"
    assert read.values.dtype.kind in "iuf"
    assert np.array_equal(read.values, matrix)


def test_what_a_label_binarizer_gives_is_read_alike_as_a_matrix_and_as_its_rows():
    matrix = LabelBinarizer().fit_transform(["a", "b", "c", "b"])
    for labels in (matrix, list(matrix), matrix.tolist(), csr_array(matrix)):
        read = read_labels(labels)
        assert read.kind == "columns"
        assert read.values.tolist() == matrix.tolist()


@pytest.mark.parametrize("contain", [*CONTAINERS, np.array])
@pytest.mark.parametrize("rows", [[[0], [1], [1]], [["a"], ["b"], ["b"]]])
def test_rows_of_one_label_each_are_one_label_each_in_every_container(contain, rows):
    read = read_labels(contain(rows))
    assert read.kind == "classes"
    assert read.values.tolist() == [row[0] for row in rows]
    assert read_labels(contain(rows), "multilabel").kind == "sets"


@pytest.mark.parametrize("contain", CONTAINERS)
@pytest.mark.parametrize(
    "rows", [[["a"], [], ["a", "b"]], [["a", "b"], ["b", "c"]], [(3, 7), (7, 9)], [{0, 1}, {1, 0}], [np.array([3]), ()]]
)
def test_sets_of_labels_are_sets_in_every_container(contain, rows):
    read = read_labels(contain(rows))
    assert read.kind == "sets"
    assert [set(row) for row in read.values] == [set(row) for row in rows]


def test_rows_that_could_be_columns_or_labels_are_refused_unless_something_tells():
    rows = [[0, 1], [1, 0]]
    for task in ("auto", "multilabel"):
        with pytest.raises(ValueError, match=r"can be read in two ways: \[0, 1\] may be .*`np.array\(y\)` for columns"):
            read_labels(rows, task)
        assert read_labels(rows, task, num_classes=5).kind == "sets"
        assert read_labels(np.array(rows), task).kind == "columns"
    assert read_labels(rows, "multiclass").kind == "columns"
    assert read_labels([[0, 1], [1, 1]]).kind == "columns"


def test_a_frame_keeps_the_names_of_its_columns():
    pandas = pytest.importorskip("pandas")
    read = read_labels(pandas.DataFrame({"dog": [1, 0], "cat": [0, 1]}))
    assert read.columns.tolist() == ["dog", "cat"]
    mixed = read_labels(pandas.DataFrame({"dog": [True, False], "cat": [0.0, 1.0]}))
    assert mixed.values.tolist() == [[1, 0], [0, 1]]
    assert read_labels(pandas.DataFrame({"species": ["ant", "bee"]})).values.tolist() == ["ant", "bee"]


def test_tensors_in_a_list_are_rows_or_labels_by_their_axes():
    read = read_labels([tf.constant([0, 1]), tf.constant([1, 0])])
    assert read.kind == "columns"
    assert read.values.tolist() == [[0, 1], [1, 0]]
    read = read_labels([tf.constant(3), tf.constant(7)])
    assert read.kind == "classes"
    assert read.values.tolist() == [3, 7]


@pytest.mark.parametrize("labels", [[3, 7, 3], ["a", "b", "a"], [True, False, True]])
@pytest.mark.parametrize("contain", [*CONTAINERS, np.array, tf.constant])
def test_one_label_an_image_is_read_alike_in_every_container(contain, labels):
    read = read_labels(contain(labels))
    assert read.kind == "classes"
    assert read.values.tolist() == labels
    assert read.columns is None


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        ([["a"], None, "b"], ValueError, "Received: None at position 1, and 1 more like it"),
        ([["0", "1"], ["1", "1"]], ValueError, "must hold numbers. Received: the texts '0', '1'"),
        ([[0.5, None], [0.1, 0.9]], ValueError, "must hold numbers, none missing"),
        (np.zeros((2, 2, 2)), ValueError, r"an array of shape \(2, 2, 2\)"),
        ([np.zeros((2, 2)), np.ones((2, 2))], ValueError, "labels of type ndarray"),
        ({"a": 1}, TypeError, "`y` must be a sequence of labels"),
        ("aba", TypeError, "`y` must be a sequence of labels, one for each image"),
        (3, TypeError, "`y` must be a sequence of labels, one for each image"),
    ],
)
def test_what_cannot_be_read_is_refused(labels, error, message):
    with pytest.raises(error, match=message):
        read_labels(labels)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["b", "a", "b"], ["a", "b"]),
        ([b"b", b"a", b"b"], ["a", "b"]),
        ([30, 7, 30], [7, 30]),
        (np.array([30, 7, 30], "uint8"), [7, 30]),
        (np.array(["b", "a", "b"], object), ["a", "b"]),
        (np.array([1.0, 0.0, 1.0]), [0, 1]),
        ([True, False, True], [False, True]),
        ([tf.constant(30), np.int8(7), 30], [7, 30]),
    ],
)
def test_labels_of_any_kind_become_codes_and_keep_their_names(labels, names):
    codes, class_names = encode_labels(label_array(labels))
    assert codes.tolist() == [1, 0, 1]
    assert codes.dtype == "int64"
    assert class_names.tolist() == names
    assert type(class_names.tolist()[0]) is type(names[0])


def test_order_of_appearance_can_be_kept():
    codes, class_names = encode_labels(np.array(["2", "10", "2"]), ordered=True)
    assert class_names.tolist() == ["2", "10"]
    assert codes.tolist() == [0, 1, 0]


def test_known_classes_give_their_codes():
    codes, class_names = encode_labels(np.array(["c", "a"]), class_names=["a", "b", "c"])
    assert codes.tolist() == [2, 0]
    assert class_names.tolist() == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a", 1, "b"], "labels of type int, str"),
        ([0.5, 1.0, 2.0], "must be integers or strings"),
        ([1.0, float("inf")], "must be integers or strings. Received: an infinite number"),
        ([1.0, 1e300], "must be integers or strings"),
        ([1, 2**70], "must be integers of 64 bits, or strings. Received: 1180591620717411303424"),
        (["a", "a\0"], r"must not end with the character NUL. Received: 'a\\x00'"),
    ],
)
def test_unusable_labels_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        label_array(labels)


def test_integers_are_taken_as_far_as_they_are_told_apart():
    ends = [-(2**63), 2**63 - 1]
    assert label_array(ends).tolist() == ends
    for label in (-(2**63) - 1, 2**63):
        with pytest.raises(ValueError, match=f"integers of 64 bits, or strings. Received: {label}"):
            label_array([0, label])
    assert label_array([0.0, 2.0**53 - 1]).tolist() == [0, 2**53 - 1]
    with pytest.raises(ValueError, match="labels of type float64"):
        label_array([0.0, 2.0**53 + 2])


def test_codes_and_rows_of_codes_get_their_names():
    assert names_of([1, 0, 1], ["a", "b"]).tolist() == ["b", "a", "b"]
    assert names_of([[1, 0], [], np.array([1])], ["a", "b"]) == [{"a", "b"}, set(), {"b"}]


@pytest.mark.parametrize("missing", [None, float("nan"), "", " ", np.datetime64("NaT"), "NA of pandas"])
def test_missing_labels_are_no_class(missing):
    if missing == "NA of pandas":
        missing = pytest.importorskip("pandas").NA
    with pytest.raises(ValueError, match=r"Labels are missing: 2 of 4, the first at position 1. Give each"):
        label_array(["a", missing, "b", missing])
    with pytest.raises(ValueError, match=r"Labels are missing: 1 of 3, the first at position 2"):
        label_array(np.array([0.0, 1.0, float("nan")]))
    with pytest.raises(ValueError, match=r"Labels are missing: 1 of 2, the first at position 1"):
        label_array(np.array(["a", ""]))


def test_an_unknown_label_is_refused_and_the_known_ones_are_named():
    with pytest.raises(ValueError, match=r"not among the classes of the training data: 'x'. Known classes: 'a', 'b'"):
        encode_labels(np.array(["a", "x"]), class_names=["a", "b"])
