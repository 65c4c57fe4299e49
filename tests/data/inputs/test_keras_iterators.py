import numpy as np
import pytest
from tensorflow.keras.preprocessing.image import ImageDataGenerator

from transferkit.data.inputs.convert import LABELLED, as_source
from transferkit.data.inputs.keras_iterators import is_keras_iterator, read_keras_iterator


def test_only_iterators_of_keras_are_meant(images):
    assert is_keras_iterator(ImageDataGenerator().flow(images, np.arange(len(images))))
    assert not is_keras_iterator(images)
    assert not is_keras_iterator(iter([images]))


def test_arrays_are_taken_as_they_are_with_weights(images):
    codes, weights = np.arange(len(images)) % 3, np.linspace(1, 2, len(images))
    iterator = ImageDataGenerator(rotation_range=90).flow(images, codes, batch_size=5, sample_weight=weights)
    given = read_keras_iterator(iterator)
    assert np.array_equal(given.images, images)
    assert np.array_equal(given.labels, codes)
    assert given.sample_weight.tolist() == weights.tolist()


def test_files_are_taken_with_their_classes(image_folder, image_paths, labels, capsys):
    given = read_keras_iterator(ImageDataGenerator().flow_from_directory(image_folder, batch_size=5))
    assert dict(zip(given.images, given.labels, strict=True)) == dict(zip(image_paths, labels, strict=True))
    assert given.class_names.tolist() == ["blue", "green", "red"]
    assert given.sample_weight is None


def test_the_order_of_classes_is_that_of_the_iterator(image_folder, capsys):
    classes = ["red", "blue", "green"]
    given = read_keras_iterator(ImageDataGenerator().flow_from_directory(image_folder, classes=classes))
    assert given.class_names.tolist() == classes
    assert all(label in path for path, label in zip(given.images, given.labels, strict=True))


def test_a_part_of_the_images_is_a_part(image_folder, capsys):
    generator = ImageDataGenerator(validation_split=0.25)
    counts = [
        len(read_keras_iterator(generator.flow_from_directory(image_folder, subset=subset)).images)
        for subset in ("training", "validation")
    ]
    assert counts == [18, 6]


def test_data_frames_are_read(image_paths, labels, capsys):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"filename": image_paths, "class": labels, "w": np.arange(24)})
    given = read_keras_iterator(ImageDataGenerator().flow_from_dataframe(frame, weight_col="w"))
    assert dict(zip(given.images, given.labels, strict=True)) == dict(zip(image_paths, labels, strict=True))
    assert list(given.sample_weight) == list(range(24))


def test_images_without_labels_have_none(image_folder, capsys):
    assert read_keras_iterator(ImageDataGenerator().flow_from_directory(image_folder, class_mode=None)).labels is None


def test_augmentation_is_handed_on_without_scaling(images):
    generator = ImageDataGenerator(horizontal_flip=True, rescale=1 / 255, preprocessing_function=np.sqrt)
    given = read_keras_iterator(generator.flow(images, np.arange(24)))
    assert given.augmentation.horizontal_flip
    assert given.augmentation.rescale is given.augmentation.preprocessing_function is None
    assert generator.rescale == 1 / 255
    assert "Left out, since the model scales its own input: rescale, preprocessing_function." in given.notes[0]


def test_a_generator_that_changes_nothing_is_no_augmentation(images):
    assert read_keras_iterator(ImageDataGenerator(rescale=1 / 255).flow(images, np.arange(24))).augmentation is None


def test_plain_augmentation_leaves_nothing_out(images):
    (note,) = read_keras_iterator(ImageDataGenerator().flow(images, np.arange(24))).notes
    assert "Left out" not in note


def test_lists_of_classes_are_any_number_of_labels(image_paths, capsys):
    pandas = pytest.importorskip("pandas")
    rows = [["a"], ["a", "b"], ["b"], ["c", "a"]]
    frame = pandas.DataFrame({"filename": image_paths[:4], "class": rows})
    source = as_source(ImageDataGenerator().flow_from_dataframe(frame), label_rule=LABELLED)
    assert source.class_names.tolist() == ["a", "b", "c"]
    assert source.targets.tolist() == [[1, 0, 0], [1, 1, 0], [0, 1, 0], [1, 0, 1]]
