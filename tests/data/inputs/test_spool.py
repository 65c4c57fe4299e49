import numpy as np
import pytest

from transferkit.data.inputs import spool
from transferkit.data.inputs.spool import Spool


@pytest.fixture(params=[False, True])
def is_on_disk(request, monkeypatch):
    monkeypatch.setattr(spool, "free_memory", lambda: 1000 if request.param else 1e9)
    return request.param


def test_images_come_back_in_order(is_on_disk):
    images = np.random.default_rng(0).integers(0, 255, (9, 6, 5, 3)).astype("uint8")
    collector = Spool()
    collector.extend(images[:5])
    for image in images[5:]:
        collector.append(image)
    collected = collector.collect()
    assert isinstance(collected, np.memmap) == is_on_disk
    assert np.array_equal(collected, images)
    assert collected.dtype == "uint8"


def test_whole_numbers_become_small_and_others_stay(is_on_disk):
    values = np.array([[[[0.0, 255, 7]]], [[[3, 2, 1]]]], "float32").repeat(20, axis=1)
    for factor, dtype in ((1, "uint8"), (0.5, "float32")):
        collector = Spool()
        collector.extend(values * factor)
        collected = collector.collect()
        assert np.array_equal(collected, values * factor)
        assert collected.dtype == dtype


def test_images_of_many_sizes_make_a_list():
    collector = Spool()
    for height in (3, 4):
        collector.append(np.zeros((height, 3, 3), "uint8"))
    assert [image.shape for image in collector.collect()] == [(3, 3, 3), (4, 3, 3)]


def test_many_images_of_many_sizes_are_refused(monkeypatch):
    monkeypatch.setattr(spool, "free_memory", lambda: 100)
    collector = Spool()
    collector.append(np.zeros((3, 3, 3), "uint8"))
    with pytest.raises(
        ValueError, match=r"more images than memory holds.*Received: \(3, 3, 3\) uint8, then \(4, 3, 3\)"
    ):
        collector.append(np.zeros((4, 3, 3), "uint8"))
