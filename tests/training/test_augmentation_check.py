"""Augmentation that is checked against the images before the backbone trains."""

import numpy as np
import pytest

from transferkit import Augmentation, Phase, TransferClassifier
from transferkit.data.augmentation.augmentation import STRENGTHS
from transferkit.data.augmentation.parts import PARTS
from transferkit.training.augmentation_check import Judge, adapt_augmentation

FLIPS = Augmentation(horizontal_flip=True, vertical_flip=True)


def noisy(count, seed=0):
    return np.random.default_rng(seed).uniform(0, 60, (count, 12, 12, 3)).astype("float32")


def sided_images(count=120):
    """Classes 0 and 1: the left or the right half is brighter."""
    images, truth = noisy(count), np.arange(count) % 2
    images[truth == 0, :, :6] += 60
    images[truth == 1, :, 6:] += 60
    return images, truth


def side(images):
    """Logits of who looks at the sides."""
    score = (images[:, :, 6:].mean(axis=(1, 2, 3)) - images[:, :, :6].mean(axis=(1, 2, 3))) / 10
    return np.stack([-score, score], axis=1)


def brightness(images):
    """Logits of who looks at how bright an image is."""
    score = (images.mean(axis=(1, 2, 3)) - 60) / 5
    return np.stack([-score, score], axis=1)


def judge(images, truth, logits_of):
    return Judge(logits_of, images, truth, 0.5, seed=0)


def test_mirroring_is_left_out_where_sides_have_a_meaning():
    left, notes = adapt_augmentation(FLIPS, judge(*sided_images(), side))
    assert left == Augmentation(vertical_flip=True)
    assert notes == [
        "Left-right mirroring is left out: a quick head's held-out accuracy falls from 1.00 to 0.00 on mirror images."
    ]


def test_mirroring_stays_where_images_are_as_often_the_other_way_round():
    images, truth = noisy(200), np.arange(200) % 2
    images[truth == 1] += 60
    images[::3, :, :6] += 40  # something on either side, which says nothing about the class
    images[1::3, :, 6:] += 40
    # Whatever a head looks at, mirror images are no harder for it, be it as biased as it may.
    for share in (0, 0.3, 1):
        looks = judge(images, truth, lambda images, share=share: brightness(images) + share * side(images))
        assert adapt_augmentation(FLIPS, looks) == (FLIPS, [])


def test_what_costs_much_is_weakened_until_it_does_not():
    images, truth = noisy(120), np.arange(120) % 2
    images[truth == 1] += 60
    augmentation = Augmentation(brightness=(0.05, 1.0))
    left, notes = adapt_augmentation(augmentation, judge(images, truth, brightness))
    assert left.brightness[0] > 0.05
    assert left.brightness[1] == 1
    assert len(notes) == 1
    assert notes[0].startswith("Changing brightness is weakened to 1/")


def test_what_costs_much_however_weak_is_left_out():
    images, truth = noisy(120), np.arange(120) % 2
    images[truth == 1] += 60
    wild = judge(images, truth, lambda given: brightness(given) * (1 if np.array_equal(given, images) else -1))
    left, notes = adapt_augmentation(Augmentation(rotation=8, width_shift=0.1), wild)
    assert left is None
    assert [note.partition(":")[0] for note in notes] == ["Rotation is left out", "Shifting is left out"]


def test_a_harmless_change_stays_as_it_is():
    looks = judge(*sided_images(), side)
    augmentation = Augmentation(height_shift=0.2, zoom=(0.9, 1.0))
    assert adapt_augmentation(augmentation, looks) == (augmentation, [])


def test_any_number_of_labels_are_judged_label_by_label():
    images, truth = sided_images()
    many = np.stack([truth == 0, truth == 1, np.ones(len(truth))], axis=1).astype("float32")

    def logits_of(images):
        return np.concatenate([side(images), np.full((len(images), 1), 5.0)], axis=1)

    left, _ = adapt_augmentation(FLIPS, Judge(logits_of, images, many, 0.6, seed=0))
    assert left == Augmentation(vertical_flip=True)


def test_a_head_that_guesses_is_no_judge():
    images, truth = sided_images()
    assert judge(images, truth, side).is_better_than_guessing
    assert not judge(
        images, truth, lambda images: np.random.default_rng(0).normal(size=(len(images), 2))
    ).is_better_than_guessing


@pytest.fixture(scope="module")
def sided_data():
    """Uint8 images of two classes that are mirror images of each other, and a pattern the network can see."""
    images, truth = sided_images(240)
    images[..., 0] = images[..., 0] * np.linspace(0.2, 1.8, 12)  # edges that differ from side to side
    return images.clip(0, 255).astype("uint8"), truth


def fit(backbone, data, **options):
    phases = [Phase("logistic"), Phase("all", 1, 1e-3)]
    settings = {"schedule": phases, "batch_size": 64, "verbose": 2} | options
    return TransferClassifier(backbone, **settings).fit(*data)


def test_the_check_says_what_it_leaves_out(tiny_backbone, sided_data, capsys, eagerly):
    fit(tiny_backbone, sided_data)
    assert "Left-right mirroring is left out: a quick head's held-out accuracy falls" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:__array__")  # that of keras, caught and raised again from elsewhere
@pytest.mark.parametrize("chosen", ["light", FLIPS], ids=["by name", "an object"])
def test_what_was_asked_for_is_done_with_a_warning(tiny_backbone, sided_data, capsys, eagerly, chosen):
    with pytest.warns(UserWarning, match="`augmentation` has left-right mirroring, .* It is done as you asked"):
        fit(tiny_backbone, sided_data, augmentation=chosen)
    assert "left out" not in capsys.readouterr().out


def test_few_images_are_said_to_be_too_few(tiny_backbone, sided_data, capsys, eagerly):
    images, truth = sided_data
    fit(tiny_backbone, (images[:60], truth[:60]))
    assert "Augmentation could not be checked against the images: that takes 40" in capsys.readouterr().out


def test_nothing_is_checked_where_nothing_is_augmented(tiny_backbone, sided_data, capsys, eagerly):
    fit(tiny_backbone, sided_data, augmentation=None)
    fit(tiny_backbone, sided_data, schedule="linear")
    assert "mirroring" not in (said := capsys.readouterr().out)
    assert "Checking" not in said


def test_gray_images_are_checked_without_their_colours(sided_data, capsys, eagerly, tiny_backbone):
    images, truth = sided_data
    fit(tiny_backbone, (images.mean(axis=3).astype("uint8"), truth))
    assert "Left-right mirroring is left out" in capsys.readouterr().out


def test_what_is_left_out_is_not_done(tiny_backbone, sided_data, eagerly):
    # The same network comes out as of an augmentation that has no mirroring to begin with.
    mirroring = next(part for part in PARTS if "left-right" in part.title)
    fitted = [
        fit(tiny_backbone, sided_data, augmentation=augmentation, verbose=0)
        for augmentation in ("auto", mirroring.without(STRENGTHS["light"]))
    ]
    for left_out, never_there in zip(*(classifier.model_.get_weights() for classifier in fitted), strict=True):
        np.testing.assert_array_equal(left_out, never_there)
