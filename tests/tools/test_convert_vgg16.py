"""Nothing but the published weights is converted, and each number comes to its place."""

import io

import numpy as np
import pytest

LAST = np.array([-0.5, 0.5, 1.0, 2.0, 4.0], "float32")


@pytest.fixture
def script(import_tool, monkeypatch):
    """The script, for a network of two layers."""
    script = import_tool("convert_vgg16")
    monkeypatch.setattr(script, "FIRST_NUMBERS", {"block1_conv1": (0.25, 0.125), "block5_conv3": (0.75, -0.5)})
    monkeypatch.setattr(script, "LAST_BIAS", (LAST.mean(), LAST.std(), -0.5, 4))
    monkeypatch.setattr(script, "NUM_PARAMETERS", 3 * 3 * 3 * 4 + 4 + 3 * 3 * 4 * 5 + 5)
    return script


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    arrays = {
        "block1_conv1/kernel": rng.normal(size=(3, 3, 3, 4)).astype("float32"),
        "block1_conv1/bias": np.array([0.125, 1, 2, 3], "float32"),
        "block5_conv3/kernel": rng.normal(size=(3, 3, 4, 5)).astype("float32"),
        "block5_conv3/bias": LAST.copy(),
    }
    arrays["block1_conv1/kernel"][0, 0, 2, 0] = 0.25
    arrays["block5_conv3/kernel"][0, 0, 0, 0] = 0.75
    return arrays


def test_the_published_numbers_pass(script, arrays):
    script.check(arrays)


def test_a_kernel_that_was_trained_further_is_found(script, arrays):
    arrays["block5_conv3/kernel"] += np.float32(1e-6)
    with pytest.raises(ValueError, match="block5_conv3 is not that of the published weights: it begins with"):
        script.check(arrays)


def test_channels_in_another_order_are_found(script, arrays):
    arrays["block1_conv1/kernel"] = arrays["block1_conv1/kernel"][:, :, ::-1]
    with pytest.raises(ValueError, match="block1_conv1 is not that of the published weights"):
        script.check(arrays)


def test_a_bias_that_differs_behind_its_first_number_is_found(script, arrays):
    arrays["block5_conv3/bias"][2] += 0.01
    with pytest.raises(ValueError, match="The bias of block5_conv3 is not the published one"):
        script.check(arrays)


def test_another_number_of_weights_is_found(script, arrays):
    arrays["block5_conv3/kernel"] = arrays["block5_conv3/kernel"][..., :4]
    with pytest.raises(ValueError, match="VGG16 without its classifier has 297"):
        script.check(arrays)


def test_an_onnx_file_is_converted_number_by_number(script, arrays):
    onnx = pytest.importorskip("onnx", reason='reading the package needs pip install ".[convert]"')
    tensors = []
    for name, array in arrays.items():
        layer, weight = name.split("/")
        end = "convolution/ReadVariableOp" if weight == "kernel" else "Squeeze"
        values = array.transpose(3, 2, 0, 1) if weight == "kernel" else array
        tensors.append(onnx.numpy_helper.from_array(np.ascontiguousarray(values), f"functional_1/{layer}_1/{end}:0"))
    model = onnx.helper.make_model(onnx.helper.make_graph([], "graph", [], [], tensors))
    data = script.convert(model.SerializeToString())
    with np.load(io.BytesIO(data), allow_pickle=False) as read:
        assert set(read.files) == set(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(read[name], array.astype("float16"))
