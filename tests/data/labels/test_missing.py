import numpy as np
import pytest

from transferkit.data.labels.missing import is_missing, missing_places


def test_whatever_stands_for_nothing_is_missing():
    values = ["a", None, 0, float("nan"), "", False, " \t", np.datetime64("NaT"), np.nan, b"", "nan", [], np.zeros(0)]
    assert missing_places(values) == [1, 3, 4, 6, 7, 8, 9]
    pandas = pytest.importorskip("pandas")
    assert is_missing(pandas.NA)
    assert is_missing(pandas.NaT)
