"""What a type checker says: the package is found, its signatures carry types, and misspelt words are errors."""

import inspect
import os
import re
import subprocess
import sys
from typing import get_args

import pytest

import transferkit
import transferkit.models
from transferkit.backbones.preprocessing import SCALINGS, Scaling
from transferkit.training.phases import RECIPES, Recipe
from transferkit.training.rates import SCHEDULES, RateName, as_rate_schedule

# Lines that end with `# wrong` are errors, and all others are not.
SNIPPET = """
from transferkit import (
    Augmentation, Backbone, Checks, Compute, Head, ImageFormat, Phase, StepDecay, TransferClassifier,
)
from transferkit import backbone_from_model, list_backbones
from transferkit.models import build_pooling, select

names: list[str] = list_backbones()
number: int = list_backbones()  # wrong
TransferClassifier("vgg16", schedule="fine_tune", head=Head(pooling="max"), compute=Compute(cache=False), verbose=2)
TransferClassifier(schedule=[Phase("conv5", rate_schedule="cosine")], class_weight={"cat": 2.0}, balance=None)
TransferClassifier(schedule="finetune")  # wrong
TransferClassifier(head="logistics")  # wrong
TransferClassifier(task="multi-label")  # wrong
ImageFormat(resize="fit")  # wrong
TransferClassifier(class_weight="balance")  # wrong
TransferClassifier(balance="over")  # wrong
Compute(precision="half")  # wrong
Compute(engine="onnx")  # wrong
Compute(cache=True)  # wrong
Phase(views="all")  # wrong
Checks(on_bad_image="ignore")  # wrong
Checks(on_leak="ignore")  # wrong
TransferClassifier(verbose=3)  # wrong
Phase("all", rate_schedule="cosinus")  # wrong
Phase("all", batch_norm="train")  # wrong
Head(pooling="mean")  # wrong
Augmentation(fill_mode="mirror")  # wrong
backbone: Backbone = backbone_from_model(None, scaling="torch")
backbone_from_model(None, scaling="pytorch")  # wrong
backbone.build((224, 224), weights=None)
backbone.build("224")  # wrong
Phase("all", rate_schedule=StepDecay(every=3))
build_pooling("mean", (7, 7, 64))  # wrong
select(None, backbone.stages, 3)  # wrong
"""


def test_a_type_checker_finds_the_package_and_misspelt_words(tmp_path):
    (tmp_path / "snippet.py").write_text(SNIPPET, encoding="utf-8")
    # In another folder and without a search path, as a user's checker: it finds what is installed, or nothing.
    command = [sys.executable, "-m", "mypy", "--config-file=", f"--cache-dir={tmp_path / 'cache'}", "snippet.py"]
    variables = {name: value for name, value in os.environ.items() if name != "MYPYPATH"}
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
    found = {int(line) for line in re.findall(r"^snippet.py:(\d+): error", done.stdout, flags=re.MULTILINE)}
    expected = {number for number, line in enumerate(SNIPPET.splitlines(), 1) if line.endswith("# wrong")}
    assert found == expected, done.stdout + done.stderr


def functions_of(thing):
    """The functions that a public name stands for: itself, or its public methods and properties."""
    if not inspect.isclass(thing):
        return [thing] if inspect.isfunction(thing) else []
    members = [value for name, value in vars(thing).items() if not name.startswith("_") or name == "__init__"]
    members = [value.fget if isinstance(value, property) else getattr(value, "__func__", value) for value in members]
    return [value for value in members if inspect.isfunction(value)]


PUBLIC = [(package, name) for package in (transferkit, transferkit.models) for name in package.__all__]


@pytest.mark.parametrize(("package", "name"), PUBLIC)
def test_public_signatures_carry_types(package, name):
    for function in functions_of(getattr(package, name)):
        signature = inspect.signature(function)
        untyped = {key for key, value in signature.parameters.items() if value.annotation is value.empty}
        assert untyped <= {"self", "cls"}, function.__qualname__
        has_result = function.__name__ == "__init__" or signature.return_annotation is not signature.empty
        assert has_result, function.__qualname__


def test_types_name_the_words_that_are_understood():
    assert get_args(Recipe) == RECIPES
    assert get_args(Scaling) == SCALINGS
    assert tuple(type(as_rate_schedule(word)) for word in get_args(RateName)) == SCHEDULES
