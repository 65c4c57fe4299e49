import pickle
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from transferkit import FittedClassifier, TransferClassifier
from transferkit.fitted import Learnt


def test_it_holds_what_the_estimator_shows(fitted_classifier):
    fitted = fitted_classifier.fitted_
    assert isinstance(fitted, FittedClassifier)
    assert fitted.model is fitted_classifier.model_
    assert fitted.class_names is fitted_classifier.classes_
    assert fitted.image_format.image_size == fitted_classifier.image_size_
    assert fitted.task.name == fitted_classifier.task_
    assert list(fitted.phases) == fitted_classifier.phases_
    assert fitted.split is fitted_classifier.split_


def test_it_remembers_what_it_was_trained_with(fitted_classifier):
    fitted = fitted_classifier.fitted_
    assert dict(fitted.parameters) == fitted_classifier.get_params(deep=False)
    assert {"transferkit", "keras", "tensorflow", "numpy"} <= set(fitted.versions)


def test_it_does_not_change(fitted_classifier):
    with pytest.raises(FrozenInstanceError):
        fitted_classifier.fitted_.thresholds = None


def test_what_predictions_have_compiled_is_not_pickled(fitted_classifier, images):
    fitted = fitted_classifier.fitted_
    expected = fitted.predictor.predict(fitted.reader.source(images), 32)
    assert fitted.predictor is fitted.predictor
    assert "predictor" not in fitted.__getstate__()
    back = pickle.loads(pickle.dumps(fitted))
    assert back.predictor.predict(back.reader.source(images), 32) == pytest.approx(expected, abs=1e-6)
    assert np.array_equal(back.class_names, fitted.class_names)


def test_an_estimator_shows_it_from_the_first_fit_on(fitted_classifier, tiny_backbone):
    classifier = TransferClassifier(tiny_backbone)
    assert not hasattr(classifier, "model_")
    with pytest.raises(AttributeError, match="TransferClassifier is not fitted yet: `classes_` comes with `fit`"):
        classifier.classes_  # noqa: B018
    with pytest.raises(AttributeError, match="`model_` shows what was learnt, and cannot be set"):
        fitted_classifier.model_ = None
    assert isinstance(TransferClassifier.model_, Learnt)


def test_it_says_in_a_line_what_it_is(fitted_classifier):
    expected = "FittedClassifier(backbone='tiny', 16 x 16 px, 3 classes, task='multiclass', phases: linear)"
    assert repr(fitted_classifier.fitted_) == expected
    assert repr(fitted_classifier.fitted_.task) == "Multiclass()"


def test_a_notebook_shows_what_was_learnt(fitted_classifier):
    fitted = fitted_classifier.fitted_
    html = fitted._repr_html_()
    assert "tiny, 16 × 16 px" in html
    assert "3: blue, green, red" in html
    assert "24 images, chosen by cross-validation" in html
    best = int(np.argmin(fitted.history["val_loss"]))
    assert f"log loss {fitted.history['val_loss'][best]:.3f}" in html
    assert "&lt;b&gt;" in replace(fitted, class_names=np.array(["<b>", "a"]))._repr_html_()


def test_a_notebook_says_where_nothing_was_held_out(fitted_classifier):
    history = {"l2": [1.0], "val_loss": [float("nan")], "val_accuracy": [float("nan")]}
    assert "nothing could be held out" in replace(fitted_classifier.fitted_, history=history)._repr_html_()
