"""OpenVINO, an optional package, without its telemetry."""

import importlib
import sys
from contextlib import contextmanager

_TELEMETRY = "openvino_telemetry"


@contextmanager
def without_telemetry():
    """Keeps OpenVINO from reporting to its makers that it is used here, while it is imported or converts a model."""
    # A module that is None in `sys.modules` cannot be imported, and OpenVINO goes on without. True of OpenVINO 2026.4;
    # it may go when that has an option for it which it honours before it is imported.
    hides = _TELEMETRY not in sys.modules
    if hides:
        sys.modules[_TELEMETRY] = None
    try:
        yield
    finally:
        if hides:
            del sys.modules[_TELEMETRY]


def import_openvino():
    """Imports OpenVINO.

    Raises:
        ImportError: If it is not installed.
    """
    try:
        with without_telemetry():
            return importlib.import_module("openvino")
    except ImportError as error:
        raise ImportError(
            "engine='openvino' needs OpenVINO, which is not installed here. "
            'Install it with: pip install "transferkit[openvino]"'
        ) from error
