import tracemalloc

import numpy as np
import pytest
import tensorflow as tf

from transferkit import Head, Phase, TransferClassifier
from transferkit._utils.fingerprints import fingerprint_images
from transferkit.data.datasets import Targets, stream_images, training_batches
from transferkit.data.epochs import Epochs
from transferkit.data.inputs import spool
from transferkit.data.inputs.convert import LABELLED, as_source
from transferkit.data.quality.inspection import inspect_images
from transferkit.data.resizing import ImageFormat


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 255, (40, 32, 24, 3)).astype("uint8")


@pytest.fixture
def spooled(monkeypatch, pixels):
    """A source of a stream that does not fit into memory."""
    monkeypatch.setattr(spool, "free_memory", lambda: 100_000)
    dataset = tf.data.Dataset.from_tensor_slices((pixels, np.arange(40) % 2)).batch(4)
    source = as_source(dataset, label_rule=LABELLED)
    assert isinstance(source.images, np.memmap)
    return source


def test_parts_of_a_mapped_array_are_read_row_by_row(spooled, pixels):
    rows = np.array([30, 2, 17, 5, 9, 1])
    part = spooled.take(rows)
    assert part.is_uniform
    assert (part.images.shape, part.images.dtype, part.images.ndim) == ((6, 32, 24, 3), "uint8", 4)
    assert np.array_equal(np.stack(list(part.images)), pixels[rows])
    assert np.array_equal(part.images[1:4], pixels[rows[1:4]])
    assert np.array_equal(part.take([5, 0]).images[np.array([1, 0])], pixels[[30, 1]])
    assert part.labels.tolist() == (rows % 2).tolist()
    assert part.paths == [None] * 6
    assert part.name(2) == "image 17"  # where it was in what the user gave


def test_parts_of_a_mapped_array_stay_in_their_file(spooled, pixels):
    tracemalloc.start()
    part = spooled.take(np.arange(40)).take(np.arange(39, -1, -1))
    for batch in stream_images(part, ImageFormat((32, 24)), 4):
        assert batch.shape == (4, 32, 24, 3)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < pixels.nbytes / 3


def test_a_mapped_part_goes_wherever_an_array_goes(spooled, pixels):
    rows = np.arange(0, 40, 3)
    mapped, plain = spooled.take(rows), as_source(pixels, np.arange(40) % 2).take(rows)
    read = np.asarray
    assert np.array_equal(fingerprint_images(mapped.images, read), fingerprint_images(plain.images, read))
    assert np.array_equal(inspect_images(mapped).prints, inspect_images(plain).prints)
    epochs = []
    for source in (mapped, plain):
        targets = Targets(source.labels, 2)
        with training_batches(source, targets, ImageFormat((16, 16)), 4, Epochs(2, seed=3)) as batches:
            epochs.append([np.concatenate(parts) for parts in zip(*batches.as_numpy_iterator(), strict=True)])
    for of_mapped, of_plain in zip(*epochs, strict=True):
        assert np.array_equal(of_mapped, of_plain)


def test_a_classifier_learns_the_same_from_a_file_as_from_memory(monkeypatch, images, labels, tiny_backbone):
    dataset = tf.data.Dataset.from_tensor_slices((images, labels)).batch(5)
    probabilities = []
    for free in (1e9, 10_000):
        monkeypatch.setattr(spool, "free_memory", lambda free=free: free)
        schedule = [Phase("head", epochs=1)]
        classifier = TransferClassifier(tiny_backbone, head=Head(units=(4,)), schedule=schedule, verbose=0).fit(dataset)
        probabilities.append(classifier.predict_proba(images))
        assert classifier.evaluate(dataset).num_images == 24
    assert np.array_equal(*probabilities)
