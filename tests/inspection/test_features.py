import keras
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from transferkit import Head, ImageReadError, TransferClassifier
from transferkit.models.assembly import components_of
from transferkit.models.heads import build_head_with_features


def plain_features(clf, images):
    """The same in plain Keras, as the documentation has it."""
    preprocessing, backbone, head = (clf.model_.get_layer(name) for name in ("preprocessing", "backbone", "head"))
    pixels = keras.Input(clf.model_.input_shape[1:])
    pooled = head.get_layer("pool")(backbone(preprocessing(pixels)))
    return keras.Model(pixels, pooled).predict(images, verbose=0)


def test_features_are_those_of_plain_keras(fitted_classifier, images):
    found = fitted_classifier.embed(images)
    assert found.shape == (24, 12)
    assert found.dtype == np.float32
    assert found == pytest.approx(plain_features(fitted_classifier, images), abs=1e-5)


def test_files_have_the_features_of_their_arrays(fitted_classifier, images, image_folder, image_paths):
    expected = fitted_classifier.embed(images)
    assert fitted_classifier.embed(image_paths) == pytest.approx(expected, abs=1e-4)
    assert fitted_classifier.embed(image_folder).shape == (24, 12)
    assert fitted_classifier.embed(image_paths[0]).shape == (1, 12)


@pytest.mark.parametrize(("pooling", "num_features"), [("avg", 12), ("flatten", 108)])
def test_dense_layers_have_no_part_in_features(pooling, num_features, tiny_backbone, images, labels, tmp_path):
    clf = TransferClassifier(tiny_backbone, head=Head(pooling, units=(5,)), epochs=1, verbose=0).fit(images, labels)
    assert clf.embed(images).shape == (24, num_features)
    assert clf.embed(images) == pytest.approx(plain_features(clf, images), abs=1e-4)
    assert len(clf.get_feature_names_out()) == num_features
    clf.save(tmp_path / "model.keras")
    again = TransferClassifier.load(tmp_path / "model.keras")
    assert again.embed(images) == pytest.approx(clf.embed(images), abs=1e-5)


def test_it_is_a_step_of_a_pipeline(tiny_backbone, images, labels):
    pipeline = make_pipeline(TransferClassifier(tiny_backbone, verbose=0), LogisticRegression(max_iter=500))
    assert pipeline.fit(images, labels).score(images, labels) > 0.9
    assert pipeline[:1].get_feature_names_out().tolist() == [f"tiny{number}" for number in range(12)]


def test_an_image_that_cannot_be_read_ends_it(fitted_classifier, image_paths, tmp_path):
    (tmp_path / "broken.png").write_text("no image")
    with pytest.raises(ImageReadError, match="1 of 25 images could not be read"):
        fitted_classifier.embed([*image_paths, str(tmp_path / "broken.png")])


def test_the_head_with_features_shares_weights(fitted_classifier):
    head = components_of(fitted_classifier.model_)[-1]
    both = build_head_with_features(head)
    assert [id(weight) for weight in both.weights] == [id(weight) for weight in head.weights]
