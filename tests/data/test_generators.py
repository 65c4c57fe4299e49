import numpy as np
import pytest
from tensorflow.keras.preprocessing.image import ImageDataGenerator

from transferkit.data.generators import is_stream, read_stream


def batches(images, labels, size=8):
    for start in range(0, len(images), size):
        yield images[start : start + size], labels[start : start + size]


def test_generators_and_keras_iterators_are_streams(images, image_folder):
    assert is_stream(batches(images, images))
    assert is_stream(ImageDataGenerator().flow(images, np.arange(len(images))))
    assert not is_stream(images)
    assert not is_stream(str(image_folder))
    assert not is_stream([images[0]])


def test_a_generator_is_read_for_so_many_batches(images, labels):
    x, y, notes = read_stream(batches(images, labels), 2)
    assert np.array_equal(x, images[:16])
    assert np.array_equal(y, labels[:16])
    assert notes == ()


def test_one_hot_labels_become_integers(images):
    codes = np.arange(len(images)) % 3
    _, y, _ = read_stream(batches(images, np.eye(3)[codes]), 3)
    assert np.array_equal(y, codes)


def test_a_generator_that_ends_early_is_used_and_it_is_said(images, labels):
    x, _, notes = read_stream(batches(images, labels), 10)
    assert len(x) == len(images)
    assert notes == ("The generator ended after 3 of 10 batches: these are used.",)


def test_a_generator_needs_a_number_of_batches(images, labels):
    with pytest.raises(ValueError, match="Say how many batches to read: `steps_per_epoch=...`"):
        read_stream(batches(images, labels))


def test_an_empty_generator_and_one_without_labels_are_refused(images):
    with pytest.raises(ValueError, match="gave no batches"):
        read_stream(iter(()), 1)
    with pytest.raises(ValueError, match="must give pairs \\(images, labels\\). Received: ndarray"):
        read_stream(iter([images]), 1)


def test_the_arrays_of_a_keras_iterator_are_taken_as_they_are(images):
    codes = np.arange(len(images)) % 3
    iterator = ImageDataGenerator(rotation_range=90).flow(images, codes, batch_size=5)
    x, y, (note,) = read_stream(iterator)
    assert np.array_equal(x, images)
    assert np.array_equal(y, codes)
    assert "without its augmentation" in note


def test_the_files_of_a_keras_iterator_are_taken_with_their_labels(image_folder, image_paths, labels, capsys):
    x, y, _ = read_stream(ImageDataGenerator().flow_from_directory(image_folder, batch_size=5))
    assert dict(zip(x, y, strict=True)) == dict(zip(image_paths, labels, strict=True))
