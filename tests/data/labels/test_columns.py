import numpy as np
import pytest

from transferkit.data.inputs.convert import as_source
from transferkit.data.labels.columns import as_groups, as_weights


def test_weights_become_float32():
    assert as_weights([1, 0, 2], 3).tolist() == [1, 0, 2]
    assert as_weights(np.array([True, False]), 2).dtype == "float32"
    assert as_weights(None, 3) is None


@pytest.mark.parametrize(
    ("weights", "received"),
    [
        ([1, -1], "values from -1 to 1"),
        ([0, 0], "values from 0 to 0"),
        ([1, np.nan], "NaN or infinite values"),
        (["a", "b"], "dtype <U1"),
        ([1, 2, 3], r"2 images and an array of shape \(3,\)"),
        ([[1], [2]], r"2 images and an array of shape \(2, 1\)"),
    ],
)
def test_weights_that_are_none_are_refused(weights, received):
    with pytest.raises(ValueError, match=f"`sample_weight` must .*Received: {received}"):
        as_weights(weights, 2)


@pytest.mark.parametrize(
    "groups", [["b", "a", "b"], [7, 3, 7], np.array([2.5, 1.5, 2.5]), np.array(["x", 1, "x"], object)]
)
def test_groups_become_codes(groups):
    codes = as_groups(groups, 3)
    assert codes[0] == codes[2] != codes[1]
    assert as_groups(None, 3) is None


def test_groups_are_one_for_each_image_and_none_is_missing():
    with pytest.raises(
        ValueError, match=r"`groups` must have one entry for each image. Received: 2 images and .*\(3,\)"
    ):
        as_groups([1, 2, 3], 2)
    with pytest.raises(ValueError, match="`groups` are missing for 2 of 3 images, the first at position 1"):
        as_groups(np.array(["a", None, float("nan")], object), 3)


def test_groups_without_a_name_are_missing_and_not_one_group():
    with pytest.raises(ValueError, match=r"missing for 2 of 3 images, the first at position 0.*Received: ''"):
        as_groups(["", "p1", ""], 3)
    pandas = pytest.importorskip("pandas")
    for values in (["p1", pandas.NA], pandas.Series(["p1", pandas.NA], dtype="string"), pandas.Series([1, None])):
        with pytest.raises(ValueError, match="`groups` are missing for 1 of 2 images, the first at position 1"):
            as_groups(values, 2)


def test_groups_that_differ_stay_apart():
    assert as_groups(["a", "a\0", "a"], 3).tolist() == [0, 1, 0]
    assert as_groups(["1", 1, "1"], 3).tolist() == [1, 0, 1]


def test_a_part_of_a_source_keeps_its_columns():
    source = as_source(np.zeros((3, 4, 4, 3), "uint8"), ["a", "b", "a"], sample_weight=[1, 2, 3], groups=[5, 5, 4])
    part = source.take([2, 0])
    assert part.weights.tolist() == [3, 1]
    assert part.groups.tolist() == [0, 1]
