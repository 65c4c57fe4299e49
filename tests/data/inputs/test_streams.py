import io
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from transferkit.data.decoder import RGB, Decoder
from transferkit.data.inputs import spool, streams
from transferkit.data.inputs.convert import LABELLED, as_source
from transferkit.data.inputs.streams import Steps, is_stream, read_stream


class Batches(keras.utils.PyDataset):
    def __init__(self, images, labels, length=3):
        super().__init__()
        self.images, self.labels, self.length = images, labels, length

    @property
    def num_batches(self):
        return self.length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        rows = slice(8 * (index % 3), 8 * (index % 3) + 8)
        return self.images[rows], self.labels[rows]


def generate(*columns, size=8):
    for start in range(0, len(columns[0]), size):
        yield tuple(column[start : start + size] for column in columns)


def dataset_of(folder, **options):
    return keras.utils.image_dataset_from_directory(
        folder, class_names=["blue", "green", "red"], image_size=(20, 24), batch_size=5, verbose=False, **options
    )


@pytest.fixture
def codes(images):
    return np.arange(len(images)) % 3


def test_what_streams_are(images, image_folder, codes):
    dataset = tf.data.Dataset.from_tensor_slices((images, codes))
    assert all(map(is_stream, [dataset, dataset.batch(4), Batches(images, codes), generate(images), iter([1])]))
    assert not any(map(is_stream, [images, str(image_folder), [images[0]], {"image": 1}, io.BytesIO()]))


def check(given, images, labels):
    assert given.images.dtype == "uint8"
    assert np.array_equal(given.images, images)
    assert np.array_equal(given.labels, labels)


@pytest.mark.parametrize("batch_size", [None, 5])
def test_datasets_are_read_to_their_end(images, codes, batch_size):
    dataset = tf.data.Dataset.from_tensor_slices((images, codes))
    check(read_stream(dataset.batch(batch_size) if batch_size else dataset), images, codes)


def test_datasets_of_unknown_length_are_read_to_their_end(images, codes):
    dataset = tf.data.Dataset.from_tensor_slices((images, codes)).batch(5).filter(lambda *batch: True)
    assert dataset.cardinality() == tf.data.UNKNOWN_CARDINALITY
    check(read_stream(dataset), images, codes)


def test_weights_come_along(images, codes):
    dataset = tf.data.Dataset.from_tensor_slices((images, codes, np.arange(24.0)))
    assert read_stream(dataset).sample_weight.tolist() == list(range(24))
    assert read_stream(dataset.batch(7)).sample_weight.tolist() == list(range(24))
    assert read_stream(dataset.map(lambda image, label, weight: (image, label))).sample_weight is None


@pytest.mark.parametrize("key", ["weight", "sample_weight"])
def test_weights_in_dicts_come_along(images, codes, key):
    dataset = tf.data.Dataset.from_tensor_slices({"image": images, "label": codes, key: np.arange(24.0)})
    for stream in (dataset, dataset.batch(7)):
        assert read_stream(stream).sample_weight.tolist() == list(range(24))
        assert as_source(stream, label_rule=LABELLED).weights.tolist() == list(range(24))


def test_dicts_as_of_tensorflow_datasets(images, labels):
    dataset = tf.data.Dataset.from_tensor_slices({"image": images, "label": labels.astype("S"), "id": range(24)})
    check(read_stream(dataset), images, labels)
    with pytest.raises(ValueError, match=r"must have the key 'image'. Received: the keys \['id'\]"):
        read_stream(dataset.map(lambda row: {"id": row["id"]}))


def test_keras_datasets_of_a_folder_have_class_names(image_folder, labels):
    given = read_stream(dataset_of(image_folder))
    assert given.class_names.tolist() == ["blue", "green", "red"]
    assert sorted(given.labels) == sorted(labels)
    for image, label in zip(given.images, given.labels, strict=True):
        assert image.mean(axis=(0, 1)).argmax() == 2 - given.class_names.tolist().index(label)


def test_labels_in_columns_come_as_they_are_or_by_name(images, codes):
    given = read_stream(tf.data.Dataset.from_tensor_slices((images, np.eye(3)[codes])).batch(5))
    assert np.array_equal(given.labels, np.eye(3)[codes])
    source = as_source(tf.data.Dataset.from_tensor_slices((images, codes[:, None])).batch(5), label_rule=LABELLED)
    assert np.array_equal(source.labels, codes)


def test_one_hot_labels_of_a_folder_become_names(image_folder, labels):
    dataset = dataset_of(image_folder, label_mode="categorical")
    assert sorted(read_stream(dataset).labels) == sorted(labels)


def test_images_of_many_sizes_come_one_by_one(images, codes):
    dataset = tf.data.Dataset.range(4).map(lambda i: (tf.zeros([10 + tf.cast(i, tf.int32), 9, 3], tf.uint8), i))
    given = read_stream(dataset)
    assert [image.shape for image in given.images] == [(10 + i, 9, 3) for i in range(4)]


@pytest.mark.parametrize("size", [1, 2])
def test_sets_of_labels_come_in_streams_as_well(images, size):
    labels = [["a"], ["a", "b"], [], ["b"]]
    batches = ((images[i : i + size], labels[i : i + size]) for i in range(0, 4, size))
    ragged = tf.data.Dataset.from_tensor_slices((images[:4], tf.ragged.constant(labels)))
    for stream, steps in ((batches, 9), (ragged, None), (ragged.batch(size), None)):
        source = as_source(stream, steps=Steps(steps), label_rule=LABELLED)
        assert source.class_names.tolist() == ["a", "b"]
        assert source.targets.tolist() == [[1, 0], [1, 1], [0, 0], [0, 1]]


def test_floats_of_zero_and_one_are_judged_as_in_an_array(images, codes):
    masks = (images > 127).astype("float32")
    dataset = tf.data.Dataset.from_tensor_slices((masks, codes))
    for x in (masks, dataset, dataset.batch(5)):
        with pytest.raises(
            ValueError, match=r"must hold raw pixels in \[0, 255\]. Received: floats with maximum 1, so"
        ):
            as_source(x, codes if x is masks else None)
    for pixels in (masks * 255, masks.astype("uint8"), masks * 0):
        assert as_source(tf.data.Dataset.from_tensor_slices(pixels)).images.max() == pixels.max()
    with pytest.raises(ValueError, match="NaN or infinite"):
        as_source(tf.data.Dataset.from_tensor_slices(np.where(masks > 0, np.nan, masks)))


@pytest.mark.parametrize("batch_size", [None, 5])
def test_paths_may_come_in_streams(image_paths, labels, batch_size):
    dataset = tf.data.Dataset.from_tensor_slices((image_paths, labels))
    for stream in (dataset.batch(batch_size) if batch_size else dataset, iter(zip(image_paths, labels, strict=True))):
        source = as_source(stream, label_rule=LABELLED, steps=Steps(99))
        assert source.paths == image_paths
        assert source.class_names[source.labels].tolist() == labels.tolist()


def test_labels_beside_a_stream_are_refused_and_what_to_do_is_said(image_paths, labels):
    with pytest.raises(ValueError, match=r"`y` must be left out: .*`list\(x\)` makes a list.*x=generator"):
        as_source((path for path in image_paths), labels)


def test_pil_images_in_streams_are_read_as_they_are_elsewhere(images):
    plain = [Image.fromarray(image) for image in images[:4]]
    palette = [image.quantize(16) for image in plain]
    for given in (plain, palette, [image.convert("L") for image in plain]):
        expected = np.stack([RGB.decode(image) for image in given])
        assert np.array_equal(as_source(iter(given), steps=Steps(9)).images, expected)
        assert np.array_equal(
            as_source(iter([(given[:2], [0, 1]), (given[2:], [1, 0])]), steps=Steps(9)).images, expected
        )
    gray = iter([image.convert("L") for image in plain])
    assert as_source(gray, steps=Steps(9), decoder=Decoder(1)).images.shape[-1] == 1
    with pytest.raises(ValueError, match=r"transparent parts.*`image.convert\('RGB'\)`"):
        as_source(iter([plain[0].convert("RGBA")]), steps=Steps(1))
    with pytest.raises(ValueError, match=r"must give \(images, labels"):
        as_source(iter([plain[:2]]), steps=Steps(1))


def test_images_alone_have_no_labels(images):
    for dataset in (tf.data.Dataset.from_tensor_slices(images), tf.data.Dataset.from_tensor_slices((images,)).batch(9)):
        given = read_stream(dataset)
        assert np.array_equal(given.images, images)
        assert given.labels is None


def test_py_datasets_are_read_once_batch_by_batch(images, codes):
    check(read_stream(Batches(images, codes)), images, codes)
    check(read_stream(Batches(images, codes), Steps(2)), images[:16], codes[:16])
    check(read_stream(Batches(images, codes, length=None), Steps(3)), images, codes)


def test_generators_are_read_for_so_many_batches(images, codes):
    given = read_stream(generate(images, codes), Steps(2))
    check(given, images[:16], codes[:16])
    assert given.notes == ()


def test_a_generator_that_ends_early_is_used_and_it_is_said(images, codes):
    given = read_stream(generate(images, codes), Steps(10))
    check(given, images, codes)
    assert given.notes == ("The generator ended after 3 of 10 batches: these are used.",)


def test_what_may_never_end_needs_a_number_of_batches(images, codes):
    endless = tf.data.Dataset.from_tensor_slices((images, codes)).repeat()
    for x, kind in (
        (generate(images), "generator"),
        (endless, "tf.data.Dataset"),
        (Batches(images, codes, None), "PyDataset"),
    ):
        with pytest.raises(ValueError, match=f"The {kind} may never end. Say how many batches to read: `steps=...`"):
            read_stream(x, steps=Steps(argument="steps"))
    check(read_stream(endless.batch(8), Steps(3)), images, codes)


def without_length(images, codes, endless):
    """A data set of a generator, which does not say its length."""

    def generate_one_by_one():
        while True:
            yield from zip(images, codes, strict=True)
            if not endless:
                return

    signature = (tf.TensorSpec(images.shape[1:], tf.uint8), tf.TensorSpec((), tf.int64))
    dataset = tf.data.Dataset.from_generator(generate_one_by_one, output_signature=signature)
    assert dataset.cardinality() == tf.data.UNKNOWN_CARDINALITY
    return dataset


def test_a_dataset_that_does_not_say_its_length_is_not_read_for_ever(monkeypatch, images, codes):
    monkeypatch.setattr(spool, "free_memory", lambda: 40_000)
    disk = SimpleNamespace(free=200_000)
    monkeypatch.setattr(streams, "shutil", SimpleNamespace(disk_usage=lambda folder: disk))
    endless = without_length(images, codes, endless=True)
    with (
        pytest.warns(UserWarning, match=r"does not say how long it is.*temporary file, up to 100 kB. If it never ends"),
        pytest.raises(
            ValueError, match=r"has not ended after 70 images \(101 kB.*to read: `steps=...`. If it does end"
        ),
    ):
        read_stream(endless, steps=Steps(argument="steps"))
    given = read_stream(endless, Steps(100))  # no limit for who says how much
    assert len(given.images) == 100
    disk.free = 2 * images.nbytes
    with pytest.warns(UserWarning, match="does not say how long it is"):
        check(read_stream(without_length(images, codes, endless=False)), images, codes)


def test_what_fits_into_memory_is_read_without_a_word(images, codes):
    check(read_stream(without_length(images, codes, endless=False)), images, codes)


def test_labels_that_do_not_fit_their_images_are_refused(images, codes):
    with pytest.raises(ValueError, match="one of its labels for each image. Received: 8 images and 7 labels"):
        read_stream(iter([(images[:8], codes[:7]), (images[8:16], codes[:9])]), Steps(2))
    with pytest.raises(
        ValueError, match=r"Received: labels of shape \(20, 24, 3\). `np.stack\(images\)` makes a batch"
    ):
        read_stream(iter([[images[0], images[1]]]), Steps(1))


def test_nothing_and_too_much_are_refused(images):
    with pytest.raises(ValueError, match="The generator gave nothing. Was it used up before"):
        read_stream(iter(()), Steps(1))
    with pytest.raises(ValueError, match=r"must give \(images, labels\[, weights\]\). Received: 4 parts"):
        read_stream(iter([(images,) * 4]), Steps(1))
