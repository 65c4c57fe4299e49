import gc
import weakref

import numpy as np
import pytest
from PIL import Image

from transferkit.data.datasets import FeatureBatches, stream_images
from transferkit.data.source import as_source


def batches_of(x, image_size=(10, 12), batch_size=5):
    return [np.asarray(batch) for batch in stream_images(as_source(x), image_size, batch_size, "bicubic")]


def test_one_array_travels_as_it_is(images):
    batches = batches_of(images)
    assert [len(batch) for batch in batches] == [5, 5, 5, 5, 4]
    assert batches[0].dtype == "uint8"
    assert np.array_equal(np.concatenate(batches), images)


def test_files_are_resized_as_the_model_would(images, image_paths):
    from transferkit.backbones.preprocessing import build_preprocessing

    expected = np.asarray(build_preprocessing("none", (10, 12))(images))
    assert np.allclose(np.concatenate(batches_of(image_paths)), expected, atol=1e-3)


def test_images_of_many_sizes_come_in_order():
    sizes = [(8, 8), (30, 9), (5, 40), (64, 64)]
    images = [Image.new("RGB", size, (number * 10,) * 3) for number, size in enumerate(sizes)]
    (batch,) = batches_of(images)
    assert batch.shape == (4, 10, 12, 3)
    assert batch.mean(axis=(1, 2, 3)) == pytest.approx([0, 10, 20, 30], abs=1e-3)


def test_gray_arrays_get_three_channels():
    (batch,) = batches_of(np.full((3, 8, 8), 9, "uint8"))
    assert batch.shape == (3, 8, 8, 3)


def test_images_are_forgotten_after_use():
    for make in (lambda: np.zeros((6, 8, 8, 3), "uint8"), lambda: [np.zeros((8, 8 + i, 3), "uint8") for i in range(6)]):
        images = make()
        witness = weakref.ref(images if isinstance(images, np.ndarray) else images[0])
        batches_of(images)
        del images
        gc.collect()
        assert witness() is None


def one_pass(batches):
    parts = [batches[i] for i in range(len(batches))]
    features, codes = (np.concatenate(part) for part in zip(*parts, strict=True))
    assert np.array_equal(features[:, 0], 2 * codes)
    return codes.tolist()


def test_features_come_in_order_or_in_a_new_order_in_every_epoch():
    features, labels = np.arange(20, dtype="float32").reshape(10, 2), np.arange(10)
    assert one_pass(FeatureBatches(features, labels, 4)) == list(range(10))
    shuffled = FeatureBatches(features, labels, 4, seed=1)
    first = one_pass(shuffled)
    shuffled.on_epoch_end()
    second = one_pass(shuffled)
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second
    assert one_pass(FeatureBatches(features, labels, 4, seed=1)) == first
