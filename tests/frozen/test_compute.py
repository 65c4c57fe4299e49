import numpy as np
import pytest

from transferkit import Compute


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"precision": "bfloat16"},
        {"engine": "openvino"},
        {"cache": False},
        {"cache": "disk", "cache_dir": "somewhere"},
    ],
)
def test_what_is_known_is_kept(options):
    compute = Compute(**options)
    assert {name: getattr(compute, name) for name in options} == options


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"precision": "int8"},
            ValueError,
            "`precision` must be 'auto', 'float32', 'bfloat16', 'float16'. Received: .*int8",
        ),
        (
            {"engine": "onnx"},
            ValueError,
            "`engine` must be one of 'auto', 'keras', 'openvino'. Received: engine='onnx'",
        ),
        ({"cache": True}, ValueError, "`cache` must be 'auto', 'memory', 'disk' or False. Received: cache=True"),
        ({"cache": 0}, ValueError, "`cache` must be .* Received: cache=0"),
        ({"cache": np.zeros(2)}, ValueError, "`cache` must be"),
        (
            {"strategy": "mirrored"},
            TypeError,
            "`strategy` must be a tf.distribute.Strategy. Received: strategy='mirrored'",
        ),
    ],
)
def test_what_is_not_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        Compute(**options)
