import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from transferkit.data.inputs.convert import as_source
from transferkit.data.quality import similarity
from transferkit.data.quality.inspection import inspect_images
from transferkit.data.quality.similarity import similar_pairs


def compressed(image, quality):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)


CHANGES = {
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.7),
    "more contrast": lambda image: ImageEnhance.Contrast(image).enhance(1.2),
    "compressed": lambda image: compressed(image, 30),
    "cropped": lambda image: image.crop((2, 1, 96, 95)),
    "cropped on all sides": lambda image: image.crop((2, 2, 94, 94)),
    "smaller": lambda image: image.resize((60, 60), Image.Resampling.BICUBIC),
    "gray": lambda image: image.convert("L"),
}
OTHERS = {
    "mirrored": ImageOps.mirror,
    "turned": lambda image: image.rotate(90),
    "inverted": ImageOps.invert,
    "half of it": lambda image: image.crop((0, 0, 48, 96)),
}


def thumbnails_of(images):
    return inspect_images(as_source(images), has_thumbnails=True).thumbnails


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_version_of_each_image_is_found_and_nothing_else(photos, name):
    count = len(photos)
    pairs = similar_pairs(thumbnails_of([*photos, *map(CHANGES[name], photos)]))
    assert pairs.tolist() == [[row, row + count] for row in range(count)]


@pytest.mark.parametrize("name", OTHERS)
def test_what_looks_different_is_not_found(photos, name):
    assert not similar_pairs(thumbnails_of([*photos, *map(OTHERS[name], photos)])).tolist()


def test_flat_images_are_like_nothing():
    levels = np.arange(0, 250, 10, dtype="uint8")
    assert len(similar_pairs(np.broadcast_to(levels[:, None, None], (25, 32, 32)).copy())) == 0


@pytest.mark.parametrize("count", [0, 1])
def test_none_and_one_have_no_pairs(photos, count):
    thumbnails = np.zeros((count, 32, 32), "uint8")
    assert similar_pairs(thumbnails).shape == (0, 2)


def test_many_copies_are_all_connected_by_few_pairs(photos):
    rng = np.random.default_rng(0)
    base = thumbnails_of(photos[:1]).astype(int)
    copies = (base + rng.integers(-2, 3, (100, 32, 32))).clip(0, 255).astype("uint8")
    pairs = similar_pairs(copies)
    assert len(pairs) <= 100 * similarity._NEIGHBOURS
    group = np.arange(100)
    for first, second in pairs:  # union by hand
        group[group == group[second]] = group[first]
    assert len(np.unique(group)) == 1


def test_candidates_are_all_pairs_beyond_the_threshold():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(3000, 4)).astype("float32")
    vectors = vectors[:1500] / np.linalg.norm(vectors[:1500], axis=1, keepdims=True)
    products = np.triu(vectors @ vectors.T, 1)
    expected = np.argwhere(products >= similarity._CANDIDATE)
    found = similarity._candidates(vectors)
    assert {tuple(pair) for pair in found.tolist()} <= {tuple(pair) for pair in expected.tolist()}
    few = np.flatnonzero((products >= similarity._CANDIDATE).sum(axis=1) <= similarity._NEIGHBOURS)
    assert np.isin(few, found[:, 0]).sum() == np.isin(few, expected[:, 0]).sum()


def test_buckets_miss_almost_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(4000, 35)).astype("float32")
    vectors = np.concatenate([vectors, vectors[:2000] + rng.normal(0, 0.3, (2000, 35)).astype("float32")])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    everything = similarity._candidates(vectors)
    monkeypatch.setattr(similarity, "_COMPARED_AT_ONCE", 1000)
    assert sum(len(members) ** 2 for members in similarity._buckets(vectors)) < 3 * len(vectors) ** 2
    found = similarity._candidates(vectors)
    assert len(everything) > 1900
    assert len(found) >= 0.99 * len(everything)
