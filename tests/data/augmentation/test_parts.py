"""What an augmentation does, one thing at a time."""

from dataclasses import fields

import numpy as np
import pytest

from transferkit.data.augmentation.augmentation import STRENGTHS, Augmentation
from transferkit.data.augmentation.parts import PARTS, parts_of

HOW = {"keep_aspect", "fill_mode", "fill_value", "interpolation"}  # these say how, not what
EVERYTHING = Augmentation(
    rotation=10,
    width_shift=0.2,
    height_shift=(1, 3),
    shear=5,
    zoom=(0.8, 1.2),
    horizontal_flip=True,
    vertical_flip=True,
    brightness=(0.5, 1.5),
    contrast=(0.5, 1.5),
    saturation=(0.5, 1.5),
    hue=20,
    channel_shift=8,
)


def part(title):
    return next(part for part in PARTS if part.title == title)


def test_every_field_belongs_to_one_part():
    named = [name for part in PARTS for name in part.fields]
    assert sorted(named) == sorted({field.name for field in fields(Augmentation)} - HOW)


def test_parts_are_those_that_do_something():
    assert parts_of(Augmentation()) == []
    assert [part.title for part in parts_of(STRENGTHS["light"])] == ["left-right mirroring", "shifting", "zooming"]
    assert parts_of(EVERYTHING) == list(PARTS)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.title)
def test_a_part_can_be_had_alone_and_be_left_out(part):
    assert parts_of(part.alone(EVERYTHING)) == [part]
    assert parts_of(part.without(EVERYTHING)) == [other for other in PARTS if other != part]


def test_half_of_a_part_is_half_as_far_from_nothing():
    assert part("rotation").halved(EVERYTHING).rotation == 5
    assert part("zooming").halved(EVERYTHING).zoom == (0.9, 1.1)
    halved = part("shifting").halved(EVERYTHING)
    assert (halved.width_shift, halved.height_shift) == (0.1, (0.5, 1.5))
    assert part("shifting").halved(Augmentation(width_shift=6)).width_shift == 3  # whole pixels stay whole
    assert part("shifting").halved(Augmentation(width_shift=1)).width_shift == 1


@pytest.mark.parametrize(("title", "axis"), [("left-right mirroring", 2), ("upside-down mirroring", 1)])
def test_every_image_is_mirrored(title, axis):
    images = np.random.default_rng(0).uniform(0, 255, (5, 6, 8, 3)).astype("float32")
    np.testing.assert_allclose(part(title).apply(EVERYTHING, images, (0, 0)), np.flip(images, axis), atol=1e-3)


def test_other_changes_are_drawn_for_each_image():
    images = np.full((6, 8, 8, 3), 100, "float32")
    changed = part("changing brightness").apply(Augmentation(brightness=(0.5, 1.5), rotation=90), images, (0, 0))
    levels = changed.mean(axis=(1, 2, 3))
    assert len(np.unique(levels.round(3))) == 6
    assert levels.min() >= 50
    assert levels.max() <= 150
