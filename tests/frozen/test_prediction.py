import pickle

import numpy as np
import pytest

from transferkit import TransferClassifier
from transferkit.backbones.registry import get_backbone
from transferkit.data.inputs.convert import as_source
from transferkit.frozen import prediction
from transferkit.frozen.prediction import Predictor


@pytest.fixture
def make_predictor(fitted_classifier):
    def make():
        clf = fitted_classifier
        return Predictor(clf.model_, get_backbone(clf.backbone_), clf.image_format_)

    return make


@pytest.mark.parametrize("size", [(16, 16), (8, 11), (20, 24), (16, 40)])
@pytest.mark.parametrize("count", [3, 10])
def test_many_images_and_few_get_what_the_model_gives(make_predictor, fitted_classifier, size, count):
    pixels = np.random.default_rng(0).integers(0, 256, (count, *size, 3)).astype("uint8")
    expected = fitted_classifier.model_.predict(pixels, verbose=0)
    found = make_predictor().predict(as_source(pixels), batch_size=4)
    assert found == pytest.approx(expected, abs=1e-5)


def test_files_get_what_their_arrays_get(make_predictor, images, image_paths):
    predictor = make_predictor()
    from_files = predictor.predict(as_source(image_paths), batch_size=4)
    assert from_files == pytest.approx(predictor.predict(as_source(images), batch_size=4), abs=1e-5)


def test_what_is_compiled_serves_again_until_a_weight_changes(tiny_backbone, images, labels, monkeypatch):
    compiled, compile_front = [], prediction.compile_front

    def counting(models, **options):
        compiled.append(models)
        return compile_front(models, **options)

    monkeypatch.setattr(prediction, "compile_front", counting)
    clf = TransferClassifier(tiny_backbone, batch_size=8, verbose=0).fit(images, labels)
    first = clf.predict_proba(images)
    clf.predict_proba(images)
    clf.evaluate(images, labels)
    assert len(compiled) == 1
    clf.predict_proba(images[:3])  # less than a batch: not worth compiling
    assert len(compiled) == 1
    bias = clf.model_.get_layer("head").get_layer("probabilities").bias
    bias.assign(bias + np.array([3.0, 0.0, 0.0], "float32"))
    second = clf.predict_proba(images)
    assert len(compiled) == 2
    assert second == pytest.approx(clf.model_.predict(images, verbose=0), abs=1e-5)
    assert (second[:, 0] > first[:, 0]).all()


def test_a_fitted_classifier_is_pickled_without_what_predictions_have_compiled(fitted_classifier, images):
    expected = fitted_classifier.predict_proba(images)
    assert np.array_equal(
        pickle.loads(pickle.dumps(fitted_classifier)).predict_proba(images[:4]).argmax(axis=1),
        expected[:4].argmax(axis=1),
    )
