"""What the documentation shows as a session in Python is what happens."""

import doctest
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("name", ["data.md"])
def test_examples_do_what_they_show(name):
    result = doctest.testfile(str(DOCS / name), module_relative=False)
    assert result.attempted > 3
    assert result.failed == 0
