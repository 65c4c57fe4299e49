from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from transferkit.frozen.features import Activations
from transferkit.training.phases import Phase


class Brighten:
    """Stands for an augmentation."""

    is_stateless = True

    def augment(self, images, seed):
        return images + 1000.0


@pytest.fixture
def training_data(make_bench):
    return make_bench(batch_size=10).training_data


@pytest.fixture
def activations(training_data):
    rng = np.random.default_rng(0)
    sources = training_data.training, training_data.validation
    features = [rng.normal(size=(len(source), 5)).astype("float32") for source in sources]
    return Activations(None, [features[0], features[0] + 100], features[1])


def arrays(batches):
    return [tuple(np.asarray(part) for part in batch) for batch in batches]


def test_steps_and_classes_follow_from_the_images(training_data):
    assert training_data.steps_per_epoch == 3  # of 10, 10 and 4 images
    assert training_data.num_classes == 3


def test_activations_come_with_the_targets_of_the_phase(make_bench, activations):
    weights = np.array([1, 2, 3], "float32")
    training_data = make_bench(batch_size=10, class_weights=weights).training_data
    with training_data.activations_for(Phase("head", label_smoothing=0.3), activations, 0) as (training, validation):
        found, held_out = arrays(training)[:3], arrays(validation)
    assert [len(batch[0]) for batch in found] == [10, 10, 4]
    rows = [activations.training[0].tolist().index(row) for batch in found for row in batch[0].tolist()]
    assert sorted(rows) == list(range(24))
    assert rows != list(range(24))
    codes = training_data.training.labels[rows]
    assert np.concatenate([labels for _, labels, _ in found]) == pytest.approx(0.7 * np.eye(3)[codes] + 0.1)
    assert np.concatenate([found_weights for *_, found_weights in found]).ravel() == pytest.approx(weights[codes])
    images, labels, found_weights = (np.concatenate(part) for part in zip(*held_out, strict=True))
    assert np.array_equal(images, activations.validation)
    assert np.array_equal(labels, np.eye(3)[training_data.validation.labels])
    assert np.array_equal(found_weights.ravel(), weights[training_data.validation.labels])


def test_views_take_turns_and_activations_come_in_the_order_of_the_images(training_data, activations):
    phase, orders = Phase("stage3", epochs=3), []
    with (
        training_data.images_for(phase, 2) as (images, _),
        training_data.activations_for(phase, activations, 2) as (batches, _),
    ):
        by_image = {image.tobytes(): row for row, image in enumerate(training_data.training.images.astype("float32"))}
        expected = [by_image[image.tobytes()] for batch, _ in arrays(images) for image in batch]
        for number, (rows, _) in enumerate(arrays(batches)):
            view = activations.training[(2 + number // 3) % 2]
            orders += [view.tolist().index(row) for row in rows.tolist()]
    assert orders == expected


def test_images_are_augmented_and_mixed_for_training_only(make_bench):
    weights = np.array([1, 2, 3], "float32")
    training_data = make_bench(
        batch_size=10, class_weights=weights, augmenter_for=lambda phase: Brighten()
    ).training_data
    with training_data.images_for(Phase("all", epochs=2, label_smoothing=0.3), 0) as (training, validation):
        found, held_out = arrays(training), arrays(validation)
    assert [len(batch[0]) for batch in found] == [10, 10, 4] * 2
    images, labels, found_weights = (np.concatenate(part) for part in zip(*found[:3], strict=True))
    codes = labels.argmax(axis=1)
    assert images.min() >= 1000
    assert labels == pytest.approx(0.7 * np.eye(3)[codes] + 0.1)
    assert found_weights.ravel() == pytest.approx(weights[codes])
    assert [len(batch) for batch in held_out] == [3, 3]
    images, labels, found_weights = (np.concatenate(part) for part in zip(*held_out, strict=True))
    assert np.array_equal(images, training_data.validation.images)
    assert np.array_equal(labels, np.eye(3)[training_data.validation.labels])
    assert np.array_equal(found_weights.ravel(), weights[training_data.validation.labels])


def test_soft_labels_and_weights_of_held_out_images_reach_the_batches(make_bench):
    shares = np.random.default_rng(0).dirichlet(np.ones(3), 24).astype("float32")
    own, by_class = np.linspace(1, 2, 24).astype("float32"), np.array([1, 2, 3], "float32")
    plain = make_bench().training_data
    training = replace(plain.training, targets=shares, weights=own)
    validation = replace(plain.validation, targets=shares[:12], weights=own[:12])
    training_data = make_bench(training=training, validation=validation, class_weights=by_class).training_data
    for targets, count in ((training_data.targets(), 24), (training_data.held_out_targets, 12)):
        rows = targets.weighted(np.arange(count))
        assert rows[:, :-1] == pytest.approx(own[:count, None] * shares[:count] * by_class, rel=1e-5)


def test_a_phase_goes_on_with_the_epochs_of_the_one_before(training_data):
    def epochs(phase, first):
        with training_data.images_for(phase, first) as (training, _):
            return [batch[0] for batch in arrays(training)]

    whole, end = epochs(Phase("all", epochs=3), 0), epochs(Phase("stage2", epochs=2), 1)
    assert all(np.array_equal(one, other) for one, other in zip(whole[3:], end, strict=True))


def test_batches_reach_a_step_as_tensors_of_known_rank(training_data):
    with training_data.images_for(Phase("all", epochs=1), 0) as (training, validation):
        for batches in (training, validation):
            images, labels = batches.element_spec
            assert images.dtype == labels.dtype == tf.float32
            assert images.shape.as_list() == [None, 16, 16, 3]
            assert labels.shape.as_list() == [None, 3]
