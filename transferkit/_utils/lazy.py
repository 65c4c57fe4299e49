"""Public names that are loaded when they are first used, so that importing a package stays quick."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def loader_of(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Makes the `__getattr__` of a package whose public names are loaded on demand (PEP 562).

    Args:
        package: Full name of the package.
        homes: Module below `transferkit` that defines each public name.

    Returns:
        A function from a name to what it stands for, which the package then has as an attribute.
    """

    def load(name):
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f"transferkit.{homes[name]}"), name)
        setattr(import_module(package), name, value)  # the next time, Python finds it without asking
        return value

    return load
