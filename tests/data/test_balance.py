import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from transferkit.data.balance import check_class_weight, class_weights

LABELS = np.repeat([0, 1, 2], [6, 3, 1])
NAMES = np.array(["cat", "dog", "owl"])


def test_balanced_weights_are_those_of_scikit_learn():
    expected = compute_class_weight("balanced", classes=np.arange(3), y=LABELS)
    weights = class_weights("balanced", LABELS, NAMES)
    assert weights == pytest.approx(expected)
    assert weights.dtype == "float32"
    assert weights[LABELS].mean() == pytest.approx(1)
    assert np.bincount(LABELS, weights[LABELS]) == pytest.approx([10 / 3] * 3)


def test_a_class_without_images_does_not_divide_by_zero():
    assert np.isfinite(class_weights("balanced", np.array([0, 0, 1]), NAMES)).all()


def test_names_get_their_weights_and_others_count_once():
    assert class_weights({"owl": 4, "cat": 0.5}, LABELS, NAMES).tolist() == [0.5, 1.0, 4.0]


def test_names_may_be_numbers():
    assert class_weights({10: 2.0}, LABELS, np.array([1, 2, 10])).tolist() == [1.0, 1.0, 2.0]
    assert class_weights({np.int64(10): 2.0}, LABELS, np.array([1, 2, 10])).tolist() == [1.0, 1.0, 2.0]


def test_none_is_none():
    assert class_weights(None, LABELS, NAMES) is None


def test_a_class_that_is_not_there_is_named():
    with pytest.raises(ValueError, match=r"not in the data: \['bird'\]. The classes are: \['cat'"):
        class_weights({"bird": 2.0, "cat": 1.0}, LABELS, NAMES)


@pytest.mark.parametrize("value", ["balance", {"cat": 0}, {"cat": -1.0}, {"cat": float("nan")}, [1.0, 2.0, 3.0], 2])
def test_what_is_no_weighting_is_refused(value):
    with pytest.raises(ValueError, match="`class_weight` must be None, 'balanced' or a dict from class to a positive"):
        check_class_weight(value)
