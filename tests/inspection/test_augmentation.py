import numpy as np
import pytest

from transferkit import TransferClassifier
from transferkit.inspection.augmentation import draw_augmentation
from transferkit.parameters import check_parameters


def draw(backbone, images, copies, **options):
    classifier = TransferClassifier(backbone, **options)
    figure = draw_augmentation(check_parameters(classifier.get_params(deep=False)), images, copies)
    pixels = [ax.images[0].get_array() for ax in figure.axes if ax.images]
    return figure, np.array(pixels).reshape(-1, copies + 1, *pixels[0].shape)


def test_each_image_is_drawn_as_it_is_and_augmented(tiny_backbone, images):
    figure, drawn = draw(tiny_backbone, images[:3], 2, augmentation="strong")
    assert [ax.get_title() for ax in figure.axes[:3]] == ["as it is", "draw 1", "draw 2"]
    assert len(drawn) == 3
    assert not np.array_equal(drawn[:, 0], drawn[:, 1])
    assert not np.array_equal(drawn[:, 1], drawn[:, 2])


def test_without_augmentation_all_draws_are_the_image(tiny_backbone, images):
    _, drawn = draw(tiny_backbone, images[:2], 1, augmentation=None)
    assert np.array_equal(drawn[:, 0], drawn[:, 1])


@pytest.mark.parametrize("count", [1, 8, 12])
def test_eight_images_are_enough(tiny_backbone, images, count):
    _, drawn = draw(tiny_backbone, images[:count], 1)
    assert len(drawn) == min(count, 8)
