import sys
from types import ModuleType

import pytest

from transferkit._utils.lazy import loader_of
from transferkit.exceptions import ArchiveError


@pytest.fixture
def package(monkeypatch):
    package = ModuleType("some_package")
    package.__getattr__ = loader_of("some_package", {"ArchiveError": "exceptions", "Gone": "exceptions"})
    monkeypatch.setitem(sys.modules, "some_package", package)
    return package


def test_a_name_is_loaded_once(package):
    assert "ArchiveError" not in vars(package)
    assert package.ArchiveError is ArchiveError
    assert vars(package)["ArchiveError"] is ArchiveError


def test_a_name_that_is_not_listed_is_an_attribute_error(package):
    with pytest.raises(AttributeError, match="module 'some_package' has no attribute 'ImageReadError'"):
        _ = package.ImageReadError


def test_a_name_that_its_module_lacks_is_one_as_well(package):
    with pytest.raises(AttributeError, match="Gone"):
        _ = package.Gone
