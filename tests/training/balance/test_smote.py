import numpy as np
import pytest

from transferkit import Phase, TransferClassifier
from transferkit.models.heads import LOGISTIC, build_dense
from transferkit.solvers.examples import Examples
from transferkit.solvers.path import LogisticProblem, Search, fit_logistic_path
from transferkit.training.balance.smote import _make_even, fit_head_by_smote
from transferkit.training.logistic import fit_logistic_head


def balanced_accuracy(dense, x, y):
    predicted = np.asarray(dense(x)).argmax(axis=1)
    return np.mean([(predicted[y == code] == code).mean() for code in np.unique(y)])


def test_smote_finds_rare_classes(uneven):
    pytest.importorskip("imblearn")
    (x, y), test = uneven
    plain, smote = build_dense(LOGISTIC, 6, 2), build_dense(LOGISTIC, 6, 2)
    path = fit_logistic_path(LogisticProblem(Examples(x, y), 2))
    plain.get_layer("probabilities").set_weights([path.kernel, path.bias])
    history = fit_head_by_smote(smote, Examples(x, y)).history
    assert set(history) == {"l2", "val_loss", "val_accuracy", "temperature"}
    assert balanced_accuracy(smote, *test) > balanced_accuracy(plain, *test) + 0.1


def test_smote_repeats_a_class_of_one_image():
    pytest.importorskip("imblearn")
    x, y = np.random.default_rng(0).normal(size=(21, 4)).astype("float32"), np.repeat([0, 1, 2], [15, 5, 1])
    dense = build_dense(LOGISTIC, 4, 3)
    fit_head_by_smote(dense, Examples(x, y))
    assert np.asarray(dense(x[-1:])).argmax() == 2


def test_smote_chooses_on_the_images_it_is_given(uneven, monkeypatch):
    pytest.importorskip("imblearn")
    (x, y), (other_x, other_y) = uneven
    calls = []

    def fit(dense, examples, search, **options):
        calls.append((np.bincount(examples.labels), search.validation))
        return fit_logistic_head(dense, examples, search, **options)

    monkeypatch.setattr("transferkit.training.balance.smote.fit_logistic_head", fit)
    own = np.linspace(1, 2, len(other_y))
    search = Search(validation=Examples(other_x, other_y, weights=own))
    fit_head_by_smote(build_dense(LOGISTIC, 6, 2), Examples(x, y), search)
    ((counts, validation),) = calls
    assert counts.tolist() == [300, 300]
    assert validation.features is other_x
    assert validation.labels is other_y
    assert validation.weights == pytest.approx(own / np.array([300, 15])[other_y])


def test_smote_takes_validation_data_of_the_user(uneven_images, tiny_backbone, monkeypatch):
    pytest.importorskip("imblearn")
    images, labels = uneven_images
    seen = []

    def fit(dense, examples, search):
        seen.append(search.validation)
        return fit_head_by_smote(dense, examples, search)

    monkeypatch.setattr("transferkit.training.balance.methods.fit_head_by_smote", fit)
    classifier = TransferClassifier(tiny_backbone, balance="smote", verbose=0)
    classifier.fit(images, labels, validation_data=(images[30:], labels[30:], np.arange(1, 19)))
    classifier.fit(images, labels)
    validation, nothing = seen
    assert validation.labels.tolist() == [0] * 10 + [1] * 8
    assert validation.weights.tolist() == list(range(1, 19))
    assert nothing is None


def test_smote_looks_at_images_as_they_are_only(uneven_images, tiny_backbone):
    pytest.importorskip("imblearn")
    images, labels = uneven_images
    plain, varied = (
        TransferClassifier(tiny_backbone, balance="smote", verbose=0, **options).fit(images, labels)
        for options in ({}, {"augmentation": "light", "schedule": [Phase("logistic", views=2)]})
    )
    assert np.array_equal(plain.predict_proba(images), varied.predict_proba(images))


def test_smote_refuses_what_it_cannot_honour(uneven_images, tiny_backbone, monkeypatch):
    pytest.importorskip("imblearn")
    images, labels = uneven_images
    monkeypatch.setattr("transferkit.frozen.features.FrozenFeatures.features", None)  # nothing is computed before
    classifier = TransferClassifier(tiny_backbone, balance="smote", verbose=0)
    with pytest.raises(ValueError, match="no weight that SMOTE knows.*`sample_weight`.*Received: weights from 1 to 2"):
        classifier.fit(images, labels, sample_weight=np.linspace(1, 2, 48))
    shares = np.tile([0.7, 0.3], (48, 1))
    with pytest.raises(ValueError, match="between images of one class.*Received: soft labels"):
        classifier.fit(images, np.where((labels == "dark")[:, None], shares, shares[:, ::-1]))


def test_smote_takes_equal_weights_and_one_hot_labels_as_what_they_are(uneven_images, tiny_backbone):
    pytest.importorskip("imblearn")
    images, labels = uneven_images
    codes = (labels == "light").astype(int)
    fitted = [
        TransferClassifier(tiny_backbone, balance="smote", verbose=0).fit(images, y, sample_weight=weight)
        for y, weight in ((codes, None), (codes, np.full(48, 2.0)), (np.eye(2)[codes], None))
    ]
    one, *others = (classifier.predict_proba(images) for classifier in fitted)
    assert all(np.array_equal(one, other) for other in others)


def test_smote_says_before_anything_is_computed_that_nothing_can_be_set_aside(tiny_backbone, images, monkeypatch):
    pytest.importorskip("imblearn")
    monkeypatch.setattr("transferkit.frozen.features.FrozenFeatures.features", None)
    with pytest.raises(ValueError, match="Nothing can be set aside for validation: all classes have one image only"):
        TransferClassifier(tiny_backbone, balance="smote", verbose=0).fit(images[:2], ["a", "b"])


@pytest.mark.parametrize("counts", [(1, 1), (2, 1), (3, 1, 1)])
def test_smote_repeats_single_images(counts):
    pytest.importorskip("imblearn")
    labels = np.repeat(np.arange(len(counts)), counts)
    features = np.random.default_rng(0).normal(size=(len(labels), 4)).astype("float32")
    made = _make_even(Examples(features, labels), 0)
    assert np.bincount(made.labels).tolist() == [max(counts)] * len(counts)
