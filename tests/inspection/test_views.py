from dataclasses import replace

import numpy as np
import pytest

from transferkit import TransferClassifier
from transferkit.data.source import Source
from transferkit.inspection.predictions import predict_labels, predict_probabilities
from transferkit.inspection.views import View, sources_of_view, views_of


@pytest.fixture
def fitted(fitted_classifier):
    return fitted_classifier.fitted_


def test_a_view_is_mirrored_and_moved_and_its_edge_is_repeated():
    image = np.arange(12).reshape(3, 4, 1)
    assert View(True, 0, 0).of(image)[..., 0].tolist() == [[3, 2, 1, 0], [7, 6, 5, 4], [11, 10, 9, 8]]
    assert View(False, 0.01, -0.5).of(image)[..., 0].tolist() == [[2, 3, 3, 3], [2, 3, 3, 3], [6, 7, 7, 7]]
    many = np.stack([image, image + 1])
    assert np.array_equal(View(True, 1 / 3, 0.25).of(many)[1], View(True, 1 / 3, 0.25).of(image + 1))


def test_one_view_is_the_image_as_it_is(fitted, images):
    assert views_of(fitted, 1) == (View(False, 0, 0),)
    source = Source(images)
    assert list(sources_of_view(source, views_of(fitted, 1)[0], fitted.reader)) == [source]


def test_all_views_differ(fitted):
    assert len(set(views_of(fitted, 10))) == 10
    plain, mirrored, moved, both = views_of(fitted, 4)
    assert (plain.is_mirrored, mirrored.is_mirrored, moved.is_mirrored, both.is_mirrored) == (False, True, False, True)
    assert (both.down, both.right) == (-moved.down, -moved.right)  # so that the two see different edges


@pytest.mark.parametrize("augmentation", ["auto", None])
def test_images_are_mirrored_where_training_may_do_it(augmentation, tiny_backbone, images, labels):
    fitted = TransferClassifier(tiny_backbone, augmentation=augmentation, verbose=0).fit(images, labels).fitted_
    assert any(view.is_mirrored for view in views_of(fitted, 5)) == (augmentation == "auto")


@pytest.mark.parametrize("count", [0, 11, 2.5, "2"])
def test_another_number_of_views_is_refused(fitted, count):
    with pytest.raises(ValueError, match=r"`views` must be an integer from 1 to 10. Received: views="):
        views_of(fitted, count)


def test_without_mirror_images_there_are_fewer_views(fitted):
    with pytest.raises(ValueError, match=r"from 1 to 5 \(`augmentation` has no mirror images"):
        views_of(replace(fitted, mirrors=False), 6)


def test_probabilities_are_the_mean_over_views(fitted, images):
    views = views_of(fitted, 4)
    expected = np.mean([predict_probabilities(fitted, view.of(images)) for view in views], axis=0)
    found = predict_probabilities(fitted, images, views=4)
    assert found == pytest.approx(expected, abs=1e-5)
    assert not np.allclose(found, predict_probabilities(fitted, images), atol=1e-4)
    assert np.array_equal(predict_labels(fitted, images, views=4), fitted.class_names[found.argmax(axis=1)])


def test_files_and_arrays_have_the_same_views(fitted, images, image_paths):
    of_files = predict_probabilities(fitted, image_paths, views=3)
    assert of_files == pytest.approx(predict_probabilities(fitted, images, views=3), abs=1e-4)


def test_large_arrays_are_copied_block_by_block(fitted, images, monkeypatch):
    expected = predict_probabilities(fitted, images, views=2)
    monkeypatch.setattr("transferkit.inspection.views._BLOCK", 10)
    assert predict_probabilities(fitted, images, views=2) == pytest.approx(expected, abs=1e-5)
