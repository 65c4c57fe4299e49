"""Whether OpenVINO still reports to its makers, and still goes on without that."""

import importlib.util

import pytest

pytestmark = pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="OpenVINO is not installed")


def test_it_is_imported_without_its_telemetry(in_fresh_process):
    code = """
import sys
from transferkit.data.resizing import ImageFormat
from transferkit._utils.openvino import import_openvino
print(import_openvino().__name__, "openvino_telemetry" in sys.modules)
"""
    assert in_fresh_process(code).split() == ["openvino", "False"]


@pytest.mark.skipif(importlib.util.find_spec("openvino_telemetry") is None, reason="there is no telemetry")
def test_by_itself_it_would_import_its_telemetry(in_fresh_process):
    code = """
import sys
import openvino
openvino.convert_model
print("openvino_telemetry" in sys.modules)
"""
    assert in_fresh_process(code).split()[-1] == "True", "`without_telemetry` may not be needed any more"
