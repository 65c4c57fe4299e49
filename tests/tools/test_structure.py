"""The numbers about the structure are those that a person would count."""

import ast
import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "tools" / "structure.py"

SOURCE = '''
def pass_on(images, channels=3):
    """Reads."""
    return read(images, channels=channels), check(images, channels)

def use(images, channels):
    return read(images, channels)[..., :channels]

class TransferClassifier:
    def __init__(self, a, b):
        """Keeps "logistic"."""

    def fit(self, channels):
        def inner(row):
            return row
        return [inner(channels) for _ in "logistic"]
'''


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("structure", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture
def trees():
    return {"transferkit/module.py": ast.parse(SOURCE)}


def test_functions_that_only_pass_a_value_on_are_told_from_those_that_use_it(script, trees):
    every = list(script.functions(trees))
    assert script.travelling(every, "channels") == (3, 1, 2)


def test_functions_know_their_class_and_the_length_of_their_body(script, trees):
    found = {function.node.name: function for function in script.functions(trees)}
    assert list(found) == ["pass_on", "use", "__init__", "fit", "inner"]
    assert (found["fit"].owner, found["fit"].body_lines, found["__init__"].body_lines) == ("TransferClassifier", 3, 0)


def test_words_count_where_they_are_code_and_not_in_docstrings(script, trees):
    assert script.files_that_name(trees, "logistic") == ["transferkit/module.py"]
    only_docstrings = {"a.py": ast.parse('"""logistic"""\ndef f():\n    """logistic"""\n')}
    assert script.files_that_name(only_docstrings, "logistic") == []


def test_this_checkout_is_measured(script):
    numbers = dict(script.rows(SCRIPT.parents[1]))
    assert numbers["functions"] > 500
    assert numbers["constructor arguments"] > 10
