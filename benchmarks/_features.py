"""Features of arrays of images under a resizing rule, kept in a folder so that each is computed once."""

import hashlib
import inspect
import tempfile
from pathlib import Path

import numpy as np
from _common import tell, timed

from transferkit.backbones import efficientnet_lite, preprocessing
from transferkit.data.datasets import stream_images
from transferkit.data.inputs.convert import as_source
from transferkit.data.resizing import ImageFormat
from transferkit.frozen.forward import join, run_model
from transferkit.models.heads import build_pooling

BACKBONE = efficientnet_lite.EFFICIENTNET_LITE0
CACHE = Path(tempfile.gettempdir()) / "transferkit-benchmarks"


def add_cache_argument(parser):
    """Adds the argument that names the folder of the cached features."""
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder that features are kept in")


def load_features(images, interpolation, cache, size=None):
    """Returns the pooled features `(n, 1280)` of the default backbone, from the cache or computed now.

    Args:
        images: `(n, height, width, 3)` uint8.
        interpolation: How they are resized.
        cache: The folder.
        size: To what, in pixels; `None`: what the backbone was trained at.
    """
    path = path_of_features(images, interpolation, cache, size)
    if not path.exists():
        features, seconds = timed(compute_features, images, interpolation, size)
        tell(f"{interpolation}: features of {len(images):,} images in {seconds:.0f} s")
        cache.mkdir(parents=True, exist_ok=True)
        np.save(path, features)
    return np.load(path)


def path_of_features(images, interpolation, cache, size=None):
    """Where `load_features` keeps what it computes."""
    name = interpolation if size is None else f"{interpolation}-{size}"
    return cache / f"{name}-{_fingerprint(images, name)}.npy"


def compute_features(images, interpolation, size=None):
    """Computes the features as `TransferClassifier.fit` does, images resized by `interpolation`, antialiased."""
    size = BACKBONE.image_size if size is None else (size, size)
    first = BACKBONE.build_preprocessing(size, interpolation=interpolation)
    network = BACKBONE.build(size)
    extractor = join(first, network, build_pooling("avg", network.output_shape[1:]))
    batches = stream_images(as_source(images), ImageFormat(size, interpolation=interpolation), 32)
    return run_model(extractor, batches, len(images))


def _fingerprint(images, name):
    """Changes with the images, the rule, the weights and the code that makes the features."""
    code = inspect.getsource(preprocessing) + inspect.getsource(efficientnet_lite)
    facts = f"{name} {efficientnet_lite.WEIGHTS_SHA256} {images.shape} {images.dtype} {code}"
    return hashlib.sha256(facts.encode() + images.tobytes()).hexdigest()[:16]
