"""Importing the package is cheap, and every public name is there when it is asked for."""

import subprocess
import sys

import pytest

import transferkit


def run_in_fresh_process(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.parametrize("library", ["tensorflow", "keras", "sklearn", "matplotlib"])
def test_importing_the_package_leaves_heavy_libraries_alone(library):
    loaded = run_in_fresh_process("import sys, transferkit; print(*sys.modules)")
    assert "transferkit" in loaded
    assert library not in loaded


@pytest.mark.parametrize("name", transferkit.__all__)
def test_every_public_name_resolves(name):
    assert getattr(transferkit, name) is not None


def test_public_names_are_listed_by_dir():
    assert set(transferkit.__all__) <= set(dir(transferkit))


def test_an_unknown_name_is_an_attribute_error_that_names_it():
    with pytest.raises(AttributeError, match="TransferClasifier"):
        _ = transferkit.TransferClasifier


def test_the_version_is_public():
    assert run_in_fresh_process("import transferkit; print(transferkit.__version__)") == [transferkit.__version__]
