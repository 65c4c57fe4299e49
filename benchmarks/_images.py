"""Photograph-sized JPEG files in class folders, made of the small images in examples/data/cifar10-mini."""

import numpy as np
from _common import CIFAR10_MINI
from PIL import Image

SIZE = (500, 375)  # width and height in pixels, those of most images of ImageNet
NOISE = 6.0  # standard deviation in gray levels: files of about 60 KB, as photographs have


def make_jpegs(folder, count, part="train", seed=0):
    """Writes `count` files, as many a class.

    Args:
        folder: Folder to make.
        count: How many, in all ten classes. Beyond 60 a class, images come again with other noise.
        part: `"train"` or `"test"`.
        seed: Seed of the noise.

    Returns:
        `folder`.
    """
    rng = np.random.default_rng(seed)
    for class_folder in sorted((CIFAR10_MINI / part).iterdir()):
        sources = sorted(class_folder.glob("*.png"))
        (folder / class_folder.name).mkdir(parents=True)
        for number in range(count // 10):
            image = enlarge(Image.open(sources[number % len(sources)]), rng)
            image.save(folder / class_folder.name / f"{number:05}.jpg", quality=90)
    return folder


def enlarge(image, rng):
    """Enlarges an image and adds noise, without which the file would be far smaller than that of a photograph."""
    pixels = np.asarray(image.convert("RGB").resize(SIZE, Image.Resampling.BICUBIC), "float32")
    pixels += rng.normal(0, NOISE, (*pixels.shape[:2], 1))
    return Image.fromarray(np.clip(pixels, 0, 255).round().astype("uint8"))
