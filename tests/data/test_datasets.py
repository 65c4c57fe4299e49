import gc
import random
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from transferkit.backbones.preprocessing import build_preprocessing
from transferkit.data.datasets import (
    ONE_IN_ORDER,
    Targets,
    Variation,
    activation_batches,
    read_into_memory,
    stream_images,
    training_batches,
    validation_batches,
)
from transferkit.data.epochs import Epochs
from transferkit.data.inputs.convert import LABELLED, as_source
from transferkit.data.resizing import ImageFormat

ONE, TWO = Epochs(seed=5), Epochs(2, seed=5)


def batches_of(x, image_size=(10, 12), batch_size=5):
    return [np.asarray(batch) for batch in stream_images(as_source(x), ImageFormat(image_size), batch_size)]


def test_one_array_travels_as_it_is(images):
    batches = batches_of(images)
    assert [len(batch) for batch in batches] == [5, 5, 5, 5, 4]
    assert batches[0].dtype == "uint8"
    assert np.array_equal(np.concatenate(batches), images)


def test_files_are_resized_as_the_model_would(images, image_paths):
    expected = np.asarray(build_preprocessing("none", (10, 12))(images))
    assert np.array_equal(np.concatenate(batches_of(image_paths)), expected)


def test_images_in_memory_are_those_of_the_stream_or_the_same_in_whole_gray_levels(image_paths):
    counts = []
    expected = np.concatenate(batches_of(image_paths))
    source = read_into_memory(as_source(image_paths), ImageFormat((10, 12)), 5, counts.append)
    assert np.array_equal(source.images, expected)
    assert sum(counts) == len(image_paths)
    small = read_into_memory(as_source(image_paths), ImageFormat((10, 12)), 5, dtype="uint8")
    assert small.images.dtype == "uint8"
    assert np.array_equal(small.images, np.rint(expected).clip(0, 255))


@pytest.mark.parametrize("resize", ["crop", "pad"])
def test_training_and_prediction_see_the_same_pixels(images, image_paths, resize):
    image_format = ImageFormat((10, 10), resize=resize, background="orange")
    preprocessing = build_preprocessing("none", (10, 10), resize, image_format.background_levels)
    expected = np.asarray(preprocessing(images))
    source = as_source(image_paths)
    assert np.array_equal(np.concatenate(list(stream_images(source, image_format, 5))), expected)
    for x in (images, image_paths):
        with validation_batches(as_source(x), Targets(np.zeros(24, int), 1), image_format, 5) as batches:
            assert np.array_equal(np.concatenate([pixels for pixels, _ in batches]), expected)
    assert np.array_equal(read_into_memory(source, image_format, 5).images, expected)


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


# ---- targets ----

WEIGHTS = np.array([1.0, 4.0, 0.5], "float32")


def test_targets_are_one_hot_smoothed_as_keras_does_it():
    targets = Targets(np.array([2, 0, 1, 1]), 3, label_smoothing=0.2)
    (labels,) = targets.finish(targets.weighted([0, 3]))
    probabilities = np.array([[0.2, 0.3, 0.5], [0.1, 0.1, 0.8]], "float32")
    plain = np.eye(3, dtype="float32")[[2, 1]]
    smoothed = keras.losses.CategoricalCrossentropy(label_smoothing=0.2)(plain, probabilities)
    assert float(keras.losses.CategoricalCrossentropy()(labels, probabilities)) == pytest.approx(float(smoothed))
    assert labels.dtype == "float32"
    assert targets.weighted([0, 3]).tolist() == plain.tolist()


def test_a_label_keeps_the_weight_of_its_image_smoothed_or_not():
    for smoothing in (0.0, 0.3):
        targets = Targets(np.array([2, 0, 1]), 3, np.array([0.5, 0, 4], "float32"), smoothing)
        labels, weights = targets.finish(targets.weighted(np.arange(3)))
        assert np.asarray(weights).tolist() == [[0.5], [0], [4]]
        expected = (1 - smoothing) * np.eye(3)[[2, 0, 1]] + smoothing / 3
        assert np.asarray(labels)[[0, 2]] == pytest.approx(expected[[0, 2]])
        assert np.isfinite(labels).all()


def test_each_part_of_a_mixed_label_keeps_its_weight_in_the_loss():
    targets, share = Targets(np.array([0, 1]), 3, np.array([1, 4], "float32"), 0.1), 0.6
    one, other = targets.weighted(np.arange(2))
    (mixed,), ((weight,),) = targets.finish(np.array([share * one + (1 - share) * other]))
    log_probabilities = np.log([0.2, 0.5, 0.3])
    smooth = [0.9 * np.eye(3)[code] + 0.1 / 3 for code in (0, 1)]
    expected = share * 1 * (smooth[0] @ log_probabilities) + (1 - share) * 4 * (smooth[1] @ log_probabilities)
    assert float(weight) * (mixed.numpy() @ log_probabilities) == pytest.approx(expected, rel=1e-5)


# ---- features ----


def epochs_of(count, epochs=ONE_IN_ORDER):
    """Codes in each epoch of a stream of features that are twice their code."""
    features, targets = np.arange(2 * count, dtype="float32").reshape(count, 2), Targets(np.arange(count), count)
    with activation_batches([features], targets, 4, epochs) as batches:
        parts = [(features.numpy(), labels.numpy().argmax(axis=1)) for features, labels in batches]
    assert all(np.array_equal(features[:, 0], 2 * codes) for features, codes in parts)
    codes = np.concatenate([codes for _, codes in parts])
    return codes.reshape(epochs.count, count).tolist()


def test_activations_come_in_order_or_in_a_new_order_in_every_epoch():
    assert epochs_of(10) == [list(range(10))]
    first, second, third = epochs_of(10, Epochs(3, seed=1))
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second
    assert epochs_of(10, Epochs(1, first=2, seed=1)) == [third]
    assert epochs_of(10, Epochs(seed=2)) != [first]


def test_activations_may_bring_weights():
    targets = Targets(np.array([0, 1, 2, 1, 0]), 3, np.array([1, 2, 3, 4, 5], "float32"))
    with activation_batches([np.zeros((5, 2), "float32")], targets, 3) as batches:
        found = [[part.numpy() for part in batch] for batch in batches]
    assert [len(part) for part in found[0]] == [3, 3, 3]
    assert found[1][2].ravel().tolist() == [4, 5]


def test_activations_are_let_go():
    features = np.zeros((5, 2), "float32")
    witness = weakref.ref(features)
    with activation_batches([features], Targets(np.zeros(5, int), 1), 2) as batches:
        assert len(list(batches)) == 3
        del features
    gc.collect()
    assert witness() is None


# ---- images with labels ----


def numbered(count=11, kind="array", dtype="uint8"):
    """A source of images that are filled with their number, labelled with it modulo 3."""
    images = np.zeros((count, 6, 8, 3), dtype) + np.arange(count, dtype=dtype)[:, None, None, None]
    if kind == "list":
        images = [np.full((6 + i % 2, 8, 3), i, dtype) for i in range(count)]
    return as_source(images, np.arange(count) % 3, label_rule=LABELLED)


def stream(source, targets=None, batch_size=4, image_size=(6, 8), epochs=ONE, **options):
    """All batches of a training stream as arrays."""
    targets = targets or Targets(source.labels, 3)
    variation = Variation(**options)
    with training_batches(source, targets, ImageFormat(image_size), batch_size, epochs, variation) as batches:
        return arrays(batches)


def arrays(batches):
    return [tuple(np.asarray(part) for part in batch) for batch in batches]


def order(batches):
    """Numbers of the images, which belong to their labels."""
    images, labels = (np.concatenate(part) for part in zip(*(batch[:2] for batch in batches), strict=True))
    numbers = np.round(images.mean(axis=(1, 2, 3))).astype(int)
    assert np.abs(images - numbers[:, None, None, None]).max() < 1e-3
    assert np.array_equal(labels.argmax(axis=1), numbers % 3)
    return numbers.tolist()


@pytest.mark.parametrize("kind", ["array", "list"])
def test_every_image_comes_once_an_epoch_with_its_label_and_in_another_order(kind):
    source = numbered(kind=kind)
    batches = stream(source, epochs=Epochs(3, seed=5))
    assert [len(images) for images, _ in batches] == [4, 4, 3] * 3
    assert {images.dtype.name for images, _ in batches} == {"float32"}
    epochs = [order(batches[i : i + 3]) for i in (0, 3, 6)]
    assert all(sorted(epoch) == list(range(11)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert order(stream(source, epochs=Epochs(3, seed=5))) == order(batches)
    assert order(stream(source, epochs=Epochs(3, seed=6))) != order(batches)
    assert order(stream(source, epochs=Epochs(2, first=1, seed=5))) == epochs[1] + epochs[2]
    assert order(stream(source, batch_size=7)) == epochs[0]  # the order is not that of batches


def test_paths_give_the_same_stream_as_arrays(images, image_paths, labels):
    from_paths, from_array = (
        stream(as_source(x, labels, label_rule=LABELLED), image_size=(10, 12)) for x in (image_paths, images)
    )
    for one, other in zip(from_paths, from_array, strict=True):
        assert one[0] == pytest.approx(other[0], abs=1e-3)
        assert np.array_equal(one[1], other[1])


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_gray_and_float_arrays_are_welcome(dtype):
    x = np.arange(5, dtype=dtype)[:, None, None] + np.zeros((5, 6, 8), dtype)
    (batch, _), *_ = stream(as_source(x, np.arange(5) % 3, label_rule=LABELLED), batch_size=5)
    assert batch.shape == (5, 6, 8, 3)
    assert sorted(batch[:, 0, 0, 0].round()) == [0, 1, 2, 3, 4]


def test_the_number_of_batches_is_known():
    source = numbered()
    targets = Targets(source.labels, 3)
    with training_batches(source, targets, ImageFormat((6, 8)), 4, Epochs(5, seed=0)) as batches:
        assert int(batches.cardinality()) == 15
    with validation_batches(source, targets, ImageFormat((6, 8)), 4) as batches:
        assert int(batches.cardinality()) == 3


@pytest.mark.parametrize("kind", ["array", "list"])
def test_validation_images_come_in_order_as_they_are_resized_like_the_model_would(kind):
    rng, source = np.random.default_rng(0), numbered(kind=kind)
    pixels = rng.integers(0, 256, (5, 9, 7, 3)).astype("uint8")
    noisy = as_source(pixels if kind == "array" else list(pixels), np.arange(5) % 3, label_rule=LABELLED)
    targets = Targets(source.labels, 3, WEIGHTS[source.labels])
    with validation_batches(source, targets, ImageFormat((6, 8)), 4) as batches:
        found = arrays(batches)
    assert order(found) == list(range(11))
    assert np.concatenate([weights for *_, weights in found]).ravel() == pytest.approx(WEIGHTS[np.arange(11) % 3])
    with validation_batches(noisy, Targets(noisy.labels, 3), ImageFormat((6, 8)), 8) as batches:
        ((resized, _),) = batches
    assert np.asarray(resized) == pytest.approx(np.asarray(build_preprocessing("none", (6, 8))(pixels)), abs=1e-3)


class Tint:
    """Stands for an augmentation: adds what its key says."""

    is_stateless = True

    def augment(self, images, key):
        return images + tf.random.stateless_uniform((tf.shape(images)[0], 1, 1, 1), key)


def test_augmentation_has_a_key_for_every_batch_and_goes_on_after_an_interruption():
    source = numbered()
    plain, tinted = stream(source, epochs=TWO), stream(source, epochs=TWO, augmenter=Tint())
    tints = [(one[0] - other[0])[:, 0, 0, 0] for one, other in zip(tinted, plain, strict=True)]
    assert len({tint.round(4) for batch in tints for tint in batch}) == 22
    again = stream(source, epochs=Epochs(1, first=1, seed=5), augmenter=Tint())
    assert all(np.array_equal(one, other) for one, other in zip(again[0], tinted[3], strict=True))
    other = stream(source, epochs=Epochs(seed=6), augmenter=Tint())
    assert not np.array_equal(other[0][0] - np.round(other[0][0]), tinted[0][0] - np.round(tinted[0][0]))


def test_labels_and_weights_are_mixed_as_images_are():
    source = numbered()
    targets = Targets(source.labels, 3, WEIGHTS[source.labels], 0.1)
    (images, labels, weights), *rest = stream(source, targets, mixup=1.0, batch_size=11)
    assert rest == []
    parts = (labels - 0.1 / 3) / 0.9 * weights / WEIGHTS  # of the images that were mixed
    assert parts.sum(axis=1) == pytest.approx(np.ones(11), abs=1e-5)
    assert ((parts > 0.01).sum(axis=1) > 1).any()
    assert weights == pytest.approx(parts @ WEIGHTS[:, None], abs=1e-4)
    assert not np.allclose(images[:, 0, 0, 0], images[:, 0, 0, 0].round())
    again = stream(source, targets, mixup=1.0, batch_size=11)[0]
    assert all(np.array_equal(one, other) for one, other in zip(again, (images, labels, weights), strict=True))


def test_a_stream_leaves_global_generators_alone_and_does_not_listen_to_them():
    states = random.getstate(), np.random.get_state()[1].copy()
    tf.random.set_seed(1)
    one = stream(numbered(), augmenter=Tint())
    tf.random.set_seed(2)
    again = stream(numbered(), augmenter=Tint())
    assert all(np.array_equal(a, b) for a, b in zip(sum(one, ()), sum(again, ()), strict=True))
    assert random.getstate() == states[0]
    assert np.array_equal(np.random.get_state()[1], states[1])


@pytest.mark.parametrize("kind", ["array", "list"])
@pytest.mark.parametrize("is_training", [True, False])
@pytest.mark.parametrize("is_finished", [True, False])
def test_images_of_a_stream_are_forgotten_afterwards(kind, is_training, is_finished):
    source = numbered(kind=kind)
    targets = Targets(source.labels, 3)
    witness = weakref.ref(source.images if kind == "array" else source.images[0])
    opened = (
        training_batches(source, targets, ImageFormat((6, 8)), 4, Epochs(3, seed=0))
        if is_training
        else validation_batches(source, targets, ImageFormat((6, 8)), 4)
    )
    with opened as batches:
        for _ in batches:
            if not is_finished:
                break
    del source, targets, batches, opened
    gc.collect()
    assert witness() is None


def test_images_of_a_stream_that_fit_has_read_are_forgotten_afterwards():
    source = numbered()
    witness = weakref.ref(source.images)
    image = keras.Input((6, 8, 3))
    model = keras.Model(image, keras.layers.Dense(3, "softmax")(keras.layers.GlobalAveragePooling2D()(image)))
    model.compile("sgd", "categorical_crossentropy", jit_compile=False)
    targets = Targets(source.labels, 3)
    with training_batches(source, targets, ImageFormat((6, 8)), 4, Epochs(2, seed=0)) as batches:
        model.fit(batches, epochs=2, steps_per_epoch=3, shuffle=False, verbose=0)
    del source, targets, batches
    gc.collect()
    assert witness() is None
