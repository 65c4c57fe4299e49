"""What stands below the cells of a fresh notebook, one in which matplotlib was never asked to draw anything."""

import json
from typing import NamedTuple

import pytest

# A kernel's shell as far as output is concerned, without the sockets. rich knows notebooks by the name of its class.
SHELL = """
import json, sys
from IPython.core.displayhook import CapturingDisplayHook
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.io import capture_output


class ZMQInteractiveShell(InteractiveShell):
    display_pub_class = CapturingDisplayPublisher


shell = ZMQInteractiveShell.instance(colors="nocolor")
for cell in json.loads(sys.argv[1]):
    values, shell.display_pub.outputs = [], []
    with capture_output(display=False) as printed:
        hook = CapturingDisplayHook(shell=shell, outputs=values)
        sys.displayhook, shell.display_trap.hook = hook, hook
        shell.run_cell(cell).raise_error()
    value = {kind: str(content) for kind, content in values[-1]["data"].items()} if values else {}
    shown = [(output["data"], output.get("update", False)) for output in shell.display_pub.outputs]
    print(json.dumps([value, shown, printed.stdout + printed.stderr]))
"""

CELLS = {
    "short step": """
        from transferkit._utils import console
        with console.Console().step("Checking images", 4) as advance:
            advance(4)""",
    "long step": """
        with console.Console(patience=0).step("Computing features", 4) as advance:
            advance(2)
            advance(2)""",
    "step without a bar": """
        with console.Console(patience=0).step("Solving", 1):  # it stopped before anything was done
            pass""",
    "grid": """
        import numpy as np
        from transferkit.inspection.images import draw_grid
        draw_grid([np.zeros((2, 8, 8, 3))])""",
    "axes": """
        from transferkit.evaluation.report import EvaluationReport
        EvaluationReport(np.array(["cat", "dog"]), np.array([0, 1]), np.eye(2)).plot_confusion_matrix()""",
    "explanation": """
        from transferkit import Explanations, ImageFormat
        from transferkit.data.inputs.convert import as_source
        source = as_source(np.zeros((2, 8, 8, 3), "uint8"))
        Explanations(np.array(["cat", "dog"]), np.ones(2), np.ones((2, 3, 3)), source, ImageFormat((8, 8)))""",
    "report": """
        from transferkit.evaluation.report import EvaluationReport
        EvaluationReport(np.array(["cat", "<dog>"]), np.array([0, 1]), np.eye(2))""",
    "multilabel report": """
        from transferkit.evaluation.multilabel import MultilabelReport
        MultilabelReport(np.array(["cat", "<dog>"]), np.eye(2), np.eye(2), np.full(2, 0.5))""",
    "data report": """
        from transferkit.data.quality.report import DataReport
        DataReport({"training": 2}, rare_classes={"<dog>": 1})""",
}


class Outputs(NamedTuple):
    value: dict
    shown: list
    printed: str


@pytest.fixture(scope="module")
def below(in_fresh_process):
    pytest.importorskip("IPython")
    import textwrap

    lines = in_fresh_process(SHELL, json.dumps([textwrap.dedent(cell) for cell in CELLS.values()])).splitlines()
    return {name: Outputs(*json.loads(line)) for name, line in zip(CELLS, lines, strict=True)}


def test_a_short_step_leaves_nothing(below):
    assert below["short step"] == ({}, [], "")


def test_the_bar_of_a_long_step_becomes_its_line(below):
    value, shown, printed = below["long step"]
    texts = [data["text/plain"] for data, _ in shown]
    assert value == {}
    assert printed == ""
    assert [is_update for _, is_update in shown] == [False] + [True] * (len(shown) - 1)
    assert texts[0].startswith("Computing features ━━━━━━━━━━━━━━━─────────────── 2/4, 0:00:00")
    assert texts[-1].startswith("Computing features: 4 images in 0.0 s")


def test_a_step_that_showed_no_bar_leaves_its_line_as_well(below):
    assert below["step without a bar"].printed.startswith("Solving: 0 images in 0.0 s")
    assert below["step without a bar"].shown == []


@pytest.mark.parametrize("name", ["grid", "explanation"])
def test_a_figure_shows_itself(below, name):
    assert below[name].value["image/png"]


def test_axes_show_the_figure_that_they_are_in(below):
    assert below["axes"].value["image/png"]


@pytest.mark.parametrize("name", ["report", "multilabel report", "data report"])
def test_reports_show_as_html_with_names_escaped(below, name):
    html = below[name].value["text/html"]
    assert "&lt;dog&gt;" in html
    assert "<dog>" not in html
