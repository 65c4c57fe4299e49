"""The oldest supported versions are read from setup.cfg and from nowhere else."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "tools" / "minimum_requirements.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("minimum_requirements", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def setup_cfg(*requirements):
    return "[options]\ninstall_requires =\n" + "".join(f"    {requirement}\n" for requirement in requirements)


def test_each_minimum_becomes_the_exact_version(script):
    text = setup_cfg("# a comment", "keras>=3.12", "scikit-learn>=1.5.2")
    assert script.minimum_requirements(text) == ["keras==3.12", "scikit-learn==1.5.2"]


def test_the_real_setup_cfg_states_a_minimum_for_everything(script):
    pins = script.minimum_requirements(script.SETUP_CFG.read_text(encoding="utf-8"))
    assert {"tensorflow", "keras", "numpy", "pillow"} <= {pin.split("==")[0] for pin in pins}


@pytest.mark.parametrize("requirement", ["keras", "keras==3.12", "keras>=3.12,<4"])
def test_a_requirement_without_a_plain_minimum_is_an_error(script, requirement):
    with pytest.raises(ValueError, match="name>=version"):
        script.minimum_requirements(setup_cfg(requirement))
