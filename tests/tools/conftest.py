"""Scripts in `tools/` as modules, with what they share beside them."""

import importlib
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools"


@pytest.fixture
def import_tool(monkeypatch):
    """A function that imports a script by its name, as Python does when it runs one."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(TOOLS)
    yield importlib.import_module
    for name in {path.stem for path in TOOLS.glob("*.py")} - before:
        sys.modules.pop(name, None)
