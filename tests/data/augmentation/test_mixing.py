import random

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from transferkit.data.augmentation.mixing import mix

NUM = 40
LEVELS = np.arange(1, NUM + 1, dtype="float32")


def plain_images(height=9, width=11):
    """Images of one gray level each, a class of its own: the level of a blend says what its label must be."""
    images = np.tile(LEVELS[:, None, None, None], (1, height, width, 3))
    return tf.constant(images), tf.eye(NUM)


def mixed(seed=0, **strengths):
    images, labels = mix(*plain_images(), [seed, 0], **strengths)
    return images.numpy(), labels.numpy()


def shares_of(labels):
    """The share that each image keeps; images that met themselves left out."""
    rows = (labels > 0).sum(axis=1) == 2
    return labels.diagonal()[rows]


@pytest.mark.parametrize("strengths", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 1.0}])
def test_labels_are_blended_as_the_pixels_are(strengths):
    images, labels = mixed(**strengths)
    assert np.allclose(labels.sum(axis=1), 1, atol=1e-6)
    assert np.allclose(images.mean(axis=(1, 2, 3)), labels @ LEVELS, atol=1e-4)
    assert ((labels > 0).sum(axis=1) <= 2).all()


def test_mixup_blends_every_pixel_alike():
    images, labels = mixed(mixup=1.0)
    assert np.allclose(images, (labels @ LEVELS)[:, None, None, None], atol=1e-4)
    assert len(set(shares_of(labels).round(4))) > NUM / 2  # every image has a share of its own


def test_cutmix_pastes_a_box_of_whole_pixels():
    images, labels = mixed(cutmix=1.0)
    boxes = 0
    for image, label, level in zip(images, labels, LEVELS, strict=True):
        pasted = image[..., 0] != level
        assert set(np.unique(image)) <= {level, LEVELS[label.argsort()[-2]], LEVELS[label.argmax()]}
        assert label[int(level) - 1] == pytest.approx(1 - pasted.mean(), abs=1e-6)
        if pasted.any():
            rows, columns = np.flatnonzero(pasted.any(axis=1)), np.flatnonzero(pasted.any(axis=0))
            assert pasted[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
            boxes += 1
    assert boxes > NUM / 2


def test_with_both_on_each_image_is_mixed_by_one_of_them():
    images, labels = mixed(mixup=1.0, cutmix=1.0)
    flat = images.reshape(NUM, -1)
    is_blend = (flat.max(axis=1) - flat.min(axis=1) < 1e-4) & (labels.max(axis=1) < 1)
    is_box = [set(np.unique(image)) <= set(LEVELS) for image in flat]
    assert 8 < is_blend.sum() < 32
    assert (is_blend | is_box).all()


@pytest.mark.parametrize("alpha", [0.4, 1.0, 3.0])
def test_shares_of_mixup_have_a_beta_distribution(alpha):
    images, labels = tf.zeros((1500, 1, 1, 3)), tf.eye(1500)
    shares = shares_of(mix(images, labels, [1, 0], mixup=alpha)[1].numpy())
    assert stats.kstest(shares, stats.beta(alpha, alpha).cdf).pvalue > 0.01


def test_boxes_of_cutmix_are_as_large_as_in_the_paper():
    images, labels = tf.zeros((1500, 60, 80, 1)), tf.eye(1500)
    shares = shares_of(mix(images, labels, [1, 0], cutmix=1.0)[1].numpy())
    rng = np.random.default_rng(0)
    expected = [1 - reference_area(rng, 60, 80) / 4800 for _ in range(1500)]
    assert stats.ks_2samp(shares, [share for share in expected if share < 1]).pvalue > 0.01


def reference_area(rng, height, width):
    """Written as in the paper's own words: a box of area `1 - λ` around a place in the image, cut off at its edges."""
    cut = np.sqrt(1 - rng.beta(1, 1))
    x, y = rng.integers(width), rng.integers(height)
    half_width, half_height = int(width * cut) // 2, int(height * cut) // 2
    across = min(x + half_width, width) - max(x - half_width, 0)
    return across * (min(y + half_height, height) - max(y - half_height, 0))


def test_off_means_untouched():
    images, labels = plain_images()
    same, also = mix(images, labels, [0, 0])
    assert same is images
    assert also is labels


def test_the_seed_decides_and_global_generators_have_no_part():
    before = random.getstate(), np.random.get_state()[1].tolist()
    one, again, other = (mixed(seed, mixup=0.3, cutmix=0.7) for seed in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert not np.array_equal(one[1], other[1])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before


def test_in_tf_data_the_result_is_the_same():
    images, labels = plain_images()
    dataset = tf.data.Dataset.range(3).map(
        lambda number: mix(images, labels, [0, number], mixup=0.3, cutmix=0.7), num_parallel_calls=2
    )
    for number, (some, their) in enumerate(dataset):
        expected = mix(images, labels, [0, number], mixup=0.3, cutmix=0.7)
        assert np.allclose(some, expected[0], atol=1e-4)
        assert np.allclose(their, expected[1], atol=1e-6)


def test_tiny_strengths_leave_images_whole():
    images, labels = mixed(mixup=1e-4)
    assert np.isfinite(images).all()
    assert np.allclose(labels.max(axis=1), 1, atol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mixup": -0.1}, "`mixup` must be a number of at least 0.* Received: mixup=-0.1"),
        ({"cutmix": float("inf")}, "`cutmix` must be a number of at least 0"),
        ({"mixup": "0.2"}, "`mixup` must be a number of at least 0"),
    ],
)
def test_strengths_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        mix(*plain_images(), [0, 0], **arguments)


def test_labels_must_be_one_row_an_image():
    with pytest.raises(ValueError, match=r"`labels` must have shape \(batch, num_classes\). Received: shape \(40,\)"):
        mix(plain_images()[0], tf.zeros(NUM), [0, 0], mixup=0.2)
