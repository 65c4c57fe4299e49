import numpy as np
import pytest

from transferkit._utils.numbers import is_whole


@pytest.mark.parametrize("value", [0, -3, np.int64(5), np.uint8(1)])
def test_integers_are_whole(value):
    assert is_whole(value)


@pytest.mark.parametrize("value", [True, np.bool_(True), 1.0, np.float32(2), "3", None, np.array([1])])
def test_other_values_are_not(value):
    assert not is_whole(value)
