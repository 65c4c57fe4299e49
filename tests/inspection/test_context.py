import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from transferkit import Head
from transferkit.inspection.context import context_of


@pytest.fixture
def fitted(fitted_classifier):
    return fitted_classifier.fitted_


def test_it_is_what_the_classifier_knows_of_itself(fitted):
    context = context_of(fitted)
    assert context["backbone"] == "tiny"
    assert context["image_size"] == [16, 16]
    assert context["phases"] == ["linear"]
    assert context["settings"]["seed"] == 0
    assert context["history"] == {name: list(column) for name, column in fitted.history.items()}
    assert context["data"] == {"training images": 24, "validation images": "none: cross-validated"}
    assert context["versions"] == fitted.versions
    assert not {"compute", "verbose"} & set(context["settings"])


def test_it_is_ready_for_json_and_names_no_folder(fitted):
    parameters = {**fitted.parameters, "head": Head(), "weights": Path("/home/me/weights.h5"), "epochs": np.int64(3)}
    history = {"l2": [1.0], "val_loss": [float("nan")]}
    context = context_of(replace(fitted, parameters=parameters, history=history))
    assert json.loads(json.dumps(context, allow_nan=False)) == context
    assert context["settings"]["head"] == {"repr": repr(Head())}
    assert context["settings"]["weights"] == "weights.h5"
    assert context["settings"]["epochs"] == 3
    assert context["history"]["val_loss"] == [None]
