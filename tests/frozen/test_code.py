import dataclasses
import functools
import math
import types

import keras
import numpy as np
import pytest

from transferkit._utils.fingerprints import fingerprint
from transferkit.frozen.code import UnknownCodeError, describe, is_foreign

FACTOR = 2


@dataclasses.dataclass
class Settings:
    factor: float

    @property
    def double(self):
        return 2 * self.factor

    @staticmethod
    def half(x):
        return x / 2


def print_of(value):
    return fingerprint(describe(value))


def multiply(x, factor=FACTOR, *, shift=0):
    return x * factor + shift


VALUES = {
    "number": lambda n: float(n),
    "array": lambda n: np.arange(n),
    "list": lambda n: [1, [n]],
    "dict": lambda n: {"a": n},
    "set": lambda n: {"a", n},
    "object": lambda n: Settings(n),
    "partial": lambda n: functools.partial(multiply, factor=n),
    "method": lambda n: Settings(n).__eq__,
    "closure": lambda n: lambda x: x + n,
    "variable": lambda n: keras.Variable(float(n)),
    "constant": lambda n: eval(f"lambda x: x in {{'a', 'b', {n}}}"),
    "default": lambda n: eval(f"lambda x={n}: x"),
    "keyword": lambda n: eval(f"lambda *, x={n}: x"),
    "inner": lambda n: eval(f"lambda x: [y + {n} for y in x]"),
    "initializer": lambda n: keras.initializers.RandomNormal(seed=n),
}


@pytest.mark.parametrize("make", VALUES.values(), ids=VALUES)
def test_values_are_described_by_what_they_are(make):
    assert print_of(make(3)) == print_of(make(3))
    assert print_of(make(3)) != print_of(make(4))


def test_kinds_differ():
    values = [
        1,
        1.0,
        True,
        "1",
        None,
        [1],
        (1,),
        {1: 1},
        np.int64(1),
        np.array([1]),
        Settings(1),
        Settings,
        multiply,
        math.sin,
        math.cos,
        np.sin,
        np,
        keras,
        len,
        types.SimpleNamespace,
    ]
    assert len({print_of(value) for value in values}) == len(values)


def test_what_refers_to_itself_comes_to_an_end():
    namespace = {}
    exec("def even(n): return n == 0 or odd(n - 1)\ndef odd(n): return n != 0 and even(n - 1)", namespace)
    assert print_of(namespace["even"]) != print_of(namespace["odd"])
    exec("class Node:\n    def make(self): return Node(), __class__", namespace)
    assert print_of(namespace["Node"])


def test_comments_and_places_do_not_count():
    one, other = {}, {}
    exec("def f(x):\n    return x + 1", one)
    exec("\n\n\n# first\ndef f(x):\n    # of all\n    return x + 1", other)
    assert print_of(one["f"]) == print_of(other["f"])


class Slotted:
    __slots__ = ("value",)


@pytest.mark.parametrize(
    "value",
    [iter([1]), object(), Slotted(), keras.layers.Dense(3), (n for n in "ab"), np.array([object()]), {object()}],
    ids=lambda value: type(value).__name__,
)
def test_what_may_hide_something_is_not_described(value):
    values = {"it": value}
    with pytest.raises(UnknownCodeError):
        describe(lambda: values)


@pytest.mark.parametrize("code", ["eval(x)", "open(x).read()", "globals()[x]", "[exec(y) for y in x]"])
def test_what_may_run_anything_is_not_described(code):
    with pytest.raises(UnknownCodeError, match="calls (eval|open|globals|exec)"):
        describe(eval(f"lambda x: {code}"))


@pytest.mark.parametrize(
    ("value", "expected"),
    [(keras.ops.relu, False), (np.linalg.norm, False), (functools.wraps, False), (Settings, True), (multiply, True)],
)
def test_code_of_installed_libraries_follows_from_their_version(value, expected):
    assert is_foreign(value) is expected
