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
def material(make_bench):
    return make_bench(batch_size=10).material


@pytest.fixture
def activations(material):
    rng = np.random.default_rng(0)
    sources = material.training, material.validation
    features = [rng.normal(size=(len(source), 5)).astype("float32") for source in sources]
    return Activations(None, [features[0], features[0] + 100], features[1])


def arrays(batches):
    return [tuple(np.asarray(part) for part in batch) for batch in batches]


def test_steps_and_classes_follow_from_the_images(material):
    assert material.steps_per_epoch == 3  # of 10, 10 and 4 images
    assert material.num_classes == 3


def test_activations_come_with_the_targets_of_the_phase(make_bench, activations):
    weights = np.array([1, 2, 3], "float32")
    material = make_bench(batch_size=10, class_weights=weights).material
    with material.activations_for(Phase("head", label_smoothing=0.3), activations, 0) as (training, validation):
        found, held_out = arrays(training)[:3], arrays(validation)
    assert [len(batch[0]) for batch in found] == [10, 10, 4]
    rows = [activations.training[0].tolist().index(row) for batch in found for row in batch[0].tolist()]
    assert sorted(rows) == list(range(24))
    assert rows != list(range(24))
    codes = material.training.labels[rows]
    assert np.concatenate([labels for _, labels, _ in found]) == pytest.approx(0.7 * np.eye(3)[codes] + 0.1)
    assert np.concatenate([found_weights for *_, found_weights in found]).ravel() == pytest.approx(weights[codes])
    images, labels, found_weights = (np.concatenate(part) for part in zip(*held_out, strict=True))
    assert np.array_equal(images, activations.validation)
    assert np.array_equal(labels, np.eye(3)[material.validation.labels])
    assert np.array_equal(found_weights.ravel(), weights[material.validation.labels])


def test_views_take_turns_and_activations_come_in_the_order_of_the_images(material, activations):
    phase, orders = Phase("stage3", epochs=3), []
    with material.images_for(phase, 2) as (images, _), material.activations_for(phase, activations, 2) as (batches, _):
        by_image = {image.tobytes(): row for row, image in enumerate(material.training.images.astype("float32"))}
        expected = [by_image[image.tobytes()] for batch, _ in arrays(images) for image in batch]
        for number, (rows, _) in enumerate(arrays(batches)):
            view = activations.training[(2 + number // 3) % 2]
            orders += [view.tolist().index(row) for row in rows.tolist()]
    assert orders == expected


def test_images_are_augmented_and_mixed_for_training_only(make_bench):
    weights = np.array([1, 2, 3], "float32")
    material = make_bench(batch_size=10, class_weights=weights, augmenter_for=lambda phase: Brighten()).material
    with material.images_for(Phase("all", epochs=2, label_smoothing=0.3), 0) as (training, validation):
        found, held_out = arrays(training), arrays(validation)
    assert [len(batch[0]) for batch in found] == [10, 10, 4] * 2
    images, labels, found_weights = (np.concatenate(part) for part in zip(*found[:3], strict=True))
    codes = labels.argmax(axis=1)
    assert images.min() >= 1000
    assert labels == pytest.approx(0.7 * np.eye(3)[codes] + 0.1)
    assert found_weights.ravel() == pytest.approx(weights[codes])
    assert [len(batch) for batch in held_out] == [3, 3]
    images, labels, found_weights = (np.concatenate(part) for part in zip(*held_out, strict=True))
    assert np.array_equal(images, material.validation.images)
    assert np.array_equal(labels, np.eye(3)[material.validation.labels])
    assert np.array_equal(found_weights.ravel(), weights[material.validation.labels])


def test_soft_labels_and_weights_of_held_out_images_reach_the_batches(make_bench):
    shares = np.random.default_rng(0).dirichlet(np.ones(3), 24).astype("float32")
    own, by_class = np.linspace(1, 2, 24).astype("float32"), np.array([1, 2, 3], "float32")
    plain = make_bench().material
    training = replace(plain.training, targets=shares, weights=own)
    validation = replace(plain.validation, targets=shares[:12], weights=own[:12])
    material = make_bench(training=training, validation=validation, class_weights=by_class).material
    for targets, count in ((material.targets(), 24), (material.held_out_targets, 12)):
        rows = targets.weighted(np.arange(count))
        assert rows[:, :-1] == pytest.approx(own[:count, None] * shares[:count] * by_class, rel=1e-5)


def test_a_phase_goes_on_with_the_epochs_of_the_one_before(material):
    def epochs(phase, first):
        with material.images_for(phase, first) as (training, _):
            return [batch[0] for batch in arrays(training)]

    whole, end = epochs(Phase("all", epochs=3), 0), epochs(Phase("stage2", epochs=2), 1)
    assert all(np.array_equal(one, other) for one, other in zip(whole[3:], end, strict=True))


def test_batches_reach_a_step_as_tensors_of_known_rank(material):
    with material.images_for(Phase("all", epochs=1), 0) as (training, validation):
        for batches in (training, validation):
            images, labels = batches.element_spec
            assert images.dtype == labels.dtype == tf.float32
            assert images.shape.as_list() == [None, 16, 16, 3]
            assert labels.shape.as_list() == [None, 3]
