import sys
import types

import numpy as np
import pytest
from sklearn.decomposition import PCA

from transferkit.inspection import maps
from transferkit.inspection.maps import project


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(40, 6)).astype("float32") * np.arange(1, 7)


@pytest.fixture
def with_umap(monkeypatch):
    """A stand-in for UMAP that takes the first two features."""

    class Umap:
        def __init__(self, **options):
            assert options["random_state"] == 0

        def fit_transform(self, features):
            return features[:, :2]

    monkeypatch.setitem(sys.modules, "umap", types.SimpleNamespace(UMAP=Umap))
    monkeypatch.setattr(maps, "has_umap", lambda: True)


@pytest.fixture
def without_umap(monkeypatch):
    monkeypatch.setattr(maps, "has_umap", lambda: False)


def test_principal_components_are_those_of_scikit_learn(features, without_umap):
    positions, method, explained = project(features)
    expected = PCA(2).fit(features)
    assert method == "pca"
    assert np.abs(positions) == pytest.approx(np.abs(expected.transform(features)), abs=1e-4)
    assert explained == pytest.approx(expected.explained_variance_ratio_.sum())


@pytest.mark.parametrize("count", [1, 2])
def test_few_images_have_places_too(features, count):
    positions, _, explained = project(features[:count], "pca")
    assert positions.shape == (count, 2)
    assert np.isfinite(positions).all()
    assert explained == 1.0


def test_equal_images_are_in_one_place():
    positions, *_ = project(np.ones((5, 3), "float32"), "pca")
    assert (positions == 0).all()


def test_umap_is_taken_where_it_is_and_images_are_enough(features, with_umap):
    assert project(features)[1] == "umap"
    assert project(features)[0] == pytest.approx(features[:, :2])
    assert project(features[:29])[1] == "pca"
    assert project(features, "pca")[1] == "pca"
    with pytest.raises(ValueError, match=r"at least 30 images. Received: 29"):
        project(features[:29], "umap")


def test_a_map_has_a_place_and_a_label_for_each_image(fitted_classifier, images, labels, without_umap):
    found = fitted_classifier.map_images(images, labels)
    assert found.positions.shape == (24, 2)
    assert found.labels == labels.tolist()
    assert not found.are_predicted
    ax = found.plot(thumbnails=5)
    assert 1 <= len(ax.images) <= 5
    assert ax.get_title().startswith("24 images by PCA, ")
    assert found._repr_png_().startswith(b"\x89PNG")


def test_without_labels_it_is_coloured_as_predicted(fitted_classifier, images, without_umap):
    found = fitted_classifier.map_images(images)
    assert found.labels == fitted_classifier.predict(images).tolist()
    assert found.are_predicted
    assert found.plot().get_title().endswith("colours as predicted")


def test_a_class_folder_brings_its_labels(fitted_classifier, image_folder, without_umap):
    found = fitted_classifier.map_images(image_folder)
    assert sorted(set(found.labels)) == ["blue", "green", "red"]
    assert all(f"/{label}/" in path for label, path in zip(found.labels, found.paths, strict=True))


def test_any_number_of_labels_are_one_text(fitted_classifier, images, without_umap):
    given = [("a", "b") if row % 2 else () for row in range(24)]
    legend = fitted_classifier.map_images(images, given).plot().get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["(none)", "a, b"]


def test_an_unknown_method_is_an_error_before_anything_is_read(fitted_classifier):
    with pytest.raises(ValueError, match="`method` must be 'auto', 'pca' or 'umap'. Received: method='tsne'"):
        fitted_classifier.map_images("nowhere", method="tsne")


def test_what_umap_needs_is_said(fitted_classifier, without_umap):
    with pytest.raises(ImportError, match=r'pip install "transferkit\[umap\]"'):
        fitted_classifier.map_images("nowhere", method="umap")
