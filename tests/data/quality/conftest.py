import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def photos():
    """Sixty images of 96 × 96 pixels with shapes in them, as a list of PIL images."""
    rng = np.random.default_rng(3)
    images = []
    for _ in range(60):
        image = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype="uint8"))
        image = image.resize((96, 96), Image.Resampling.BICUBIC)
        for _ in range(3):
            x, y, width, height = rng.integers(0, 60, 4)
            image.paste(tuple(rng.integers(0, 256, 3).tolist()), (x, y, x + width // 2 + 6, y + height // 2 + 6))
        images.append(image)
    return images


@pytest.fixture(scope="session")
def photo_folder(photos, tmp_path_factory):
    """The first forty as JPEG files in the class folders `cat` and `dog`, twenty in each."""
    folder = tmp_path_factory.mktemp("photos")
    for number, image in enumerate(photos[:40]):
        path = folder / ("cat", "dog")[number // 20] / f"{number:02d}.jpg"
        path.parent.mkdir(exist_ok=True)
        image.save(path, quality=90)
    return folder
