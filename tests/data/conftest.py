import numpy as np
import pytest
from PIL import Image

from transferkit.data.inputs.convert import as_source


@pytest.fixture
def spoiled(tmp_path):
    """Ten JPEG files, of which the third is cut short and the sixth is text."""
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{number}.jpg" for number in range(10)]
    for path in paths:
        Image.fromarray(rng.integers(0, 255, (64, 64, 3), dtype="uint8")).save(path)
    paths[2].write_bytes(paths[2].read_bytes()[:1500])
    paths[5].write_text("no image")
    return as_source(paths, [0, 1] * 5)
