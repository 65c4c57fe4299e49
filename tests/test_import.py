"""Importing the package is cheap, and every public name is there when it is asked for."""

import subprocess
import sys

import pytest

import transferkit
import transferkit.models

PACKAGES = (transferkit, transferkit.models)


def run_in_fresh_process(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


@pytest.fixture(scope="module")
def loaded():
    """The modules that importing the package loads."""
    return run_in_fresh_process("import sys, transferkit, transferkit.models; print(*sys.modules)")


@pytest.mark.parametrize("library", ["tensorflow", "keras", "sklearn", "matplotlib"])
def test_importing_the_package_leaves_heavy_libraries_alone(library, loaded):
    assert {"transferkit", "transferkit.models"} <= set(loaded)
    assert library not in loaded


@pytest.mark.parametrize(("package", "name"), [(package, name) for package in PACKAGES for name in package.__all__])
def test_every_public_name_resolves(package, name):
    assert getattr(package, name) is not None


@pytest.mark.parametrize("package", PACKAGES)
def test_public_names_are_listed_by_dir(package):
    assert set(package.__all__) <= set(dir(package))


def test_an_unknown_name_is_an_attribute_error_that_names_it():
    with pytest.raises(AttributeError, match="TransferClasifier"):
        _ = transferkit.TransferClasifier


def test_the_version_is_public():
    assert run_in_fresh_process("import transferkit; print(transferkit.__version__)") == [transferkit.__version__]
