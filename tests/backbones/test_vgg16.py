"""VGG16 with its real weights, where `make vgg16-weights` has put them."""

from pathlib import Path

import numpy as np
import pytest

from transferkit.backbones.applications import VGG16_WEIGHTS
from transferkit.backbones.registry import get_backbone

DATA = Path(__file__).parents[2] / "examples" / "data" / "cifar10-mini"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not VGG16_WEIGHTS.path.is_file(), reason="no weights of VGG16: run make vgg16-weights"),
]

# Where Keras has no file, and downloads end at a port where nobody listens.
OFFLINE = """
import sys, urllib.request
import keras
from keras.src.backend import config
config._KERAS_DIR = sys.argv[1]
proxy = urllib.request.ProxyHandler(dict.fromkeys(("http", "https"), "http://127.0.0.1:9"))
urllib.request.install_opener(urllib.request.build_opener(proxy))
"""


def test_its_numbers_are_the_published_ones():
    arrays = VGG16_WEIGHTS.read()
    assert sum(array.size for array in arrays.values()) == get_backbone("vgg16").num_parameters
    assert np.isfinite(np.concatenate([array.ravel() for array in arrays.values()])).all()
    last = arrays["block5_conv3/bias"]
    found = (last.mean(), last.std(), last.min(), last.max())
    np.testing.assert_allclose(found, (0.14986369, 0.4928213, -0.50036746, 9.431553), rtol=5e-4)
    np.testing.assert_allclose(
        arrays["block1_conv1/kernel"][0, 0, :, 0], (0.42947057, 0.55037946, 0.4800154), rtol=5e-4
    )


def test_it_classifies_without_a_network(in_fresh_process, tmp_path):
    """0.70 of 300 images of 64 pixels; random weights reach less than half of that."""
    code = OFFLINE + (
        "from transferkit import TransferClassifier\n"
        "classifier = TransferClassifier('vgg16', image_size=64, verbose=2).fit(sys.argv[2] + '/train')\n"
        "print('accuracy', classifier.evaluate(sys.argv[2] + '/test').accuracy)"
    )
    lines = in_fresh_process(code, tmp_path, DATA).splitlines()
    assert sum("`make vgg16-weights` made are used" in line for line in lines) == 1
    assert float(lines[-1].removeprefix("accuracy ")) > 0.66
