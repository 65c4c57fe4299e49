import keras
import numpy as np
import pytest

from transferkit import Head, Phase, TransferClassifier
from transferkit.models.heads import LOGISTIC, build_dense
from transferkit.solvers.examples import Examples
from transferkit.solvers.losses import _focal
from transferkit.solvers.path import LogisticProblem, Search, fit_logistic_path
from transferkit.training.balancing import _make_even, fit_head_by_smote
from transferkit.training.logistic import fit_logistic_head


@pytest.fixture(scope="module")
def uneven():
    """Overlapping features of two classes, 300 and 15 images, and as many of each to test on."""
    rng = np.random.default_rng(0)

    def draw(*counts):
        labels = np.repeat([0, 1], counts)
        return (rng.normal(size=(len(labels), 6)) + 0.8 * labels[:, None] * (np.arange(6) < 3)).astype(
            "float32"
        ), labels

    return draw(300, 15), draw(500, 500)


@pytest.fixture(scope="module")
def uneven_images():
    """Noisy images of two classes, 40 and 8, whose brightness overlaps."""
    rng = np.random.default_rng(1)
    labels = np.array(["dark"] * 40 + ["light"] * 8)
    images = rng.integers(60, 160, (48, 16, 16, 3)) + 8 * (labels == "light")[:, None, None, None]
    return images.astype("uint8"), labels


def test_the_focal_loss_and_its_slope_are_right():
    losses = np.array([[1e-6, 0.1, 1.0, 5.0]])
    values, slopes = _focal(losses, 2.0)
    targets = np.array([[1.0, 0.0]])
    for loss, value in zip(losses[0], values[0], strict=True):
        probability = np.exp(-loss)
        keras_loss = keras.losses.CategoricalFocalCrossentropy(alpha=1.0, gamma=2.0)
        assert value == pytest.approx(
            float(keras_loss(targets, np.array([[probability, 1 - probability]]))), rel=1e-3, abs=1e-9
        )
    step = 1e-5
    numeric = (_focal(losses + step, 2.0)[0] - _focal(losses - step, 2.0)[0]) / (2 * step)
    assert slopes[0, 1:] == pytest.approx(numeric[0, 1:], rel=1e-4)


def test_the_solver_finds_the_least_focal_loss(uneven):
    (x, y), _ = uneven
    path = fit_logistic_path(LogisticProblem(Examples(x, y), 2, focus=2.0), Search(strengths=(0.01,)))
    spread = np.array(x).std(axis=0)

    def objective(kernel, bias):
        logits = x @ kernel + bias
        losses = np.logaddexp.reduce(logits, axis=1) - logits[np.arange(len(y)), y]
        return _focal(losses, 2.0)[0].mean() + 0.005 * np.square(kernel * spread[:, None]).sum()

    kernel, bias = path.kernel * path.temperature[0], path.bias * path.temperature[0]
    found = objective(kernel, bias)
    rng = np.random.default_rng(0)
    for _ in range(20):
        assert (
            found <= objective(kernel + 0.02 * rng.normal(size=kernel.shape), bias + 0.02 * rng.normal(size=2)) + 1e-6
        )


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


@pytest.mark.parametrize("balance", ["logit_adjustment", "oversample", "undersample", "crt", "smote", "auto"])
@pytest.mark.parametrize("schedule", ["linear", "train"])
def test_rare_classes_are_found_more_often(balance, schedule, uneven_images, tiny_backbone):
    if balance == "smote" and (schedule == "train" or pytest.importorskip("imblearn") is None):
        pytest.skip("SMOTE makes up features only")
    images, labels = uneven_images
    options = {"schedule": "linear"}
    if schedule == "train":
        options = {"schedule": [Phase("logistic"), Phase("head", epochs=2, learning_rate=1e-3)], "augmentation": None}
    shares = []
    for method in (None, balance):
        classifier = TransferClassifier(tiny_backbone, balance=method, verbose=0, **options).fit(images, labels)
        shares.append(classifier.predict_proba(images)[:, 1].mean())
    assert shares[1] > shares[0] + 0.05


def test_crt_fits_the_head_again_after_a_phase_that_does_not_interpolate(uneven_images, tiny_backbone):
    images, labels = uneven_images
    # No head was balanced before, and this one learns the sizes of the classes.
    schedule = [Phase("head", epochs=40, learning_rate=0.05, patience=None)]
    means = []
    for balance in (None, "crt"):
        options = {"balance": balance, "schedule": schedule, "augmentation": None, "verbose": 0}
        light = TransferClassifier(tiny_backbone, **options).fit(images, labels).predict_proba(images)[:, 1]
        means.append((light[labels == "dark"].mean() + light[labels == "light"].mean()) / 2)
    # Where all classes weigh the same, so do the probabilities of a logistic head.
    assert means[0] < 0.3
    assert means[1] == pytest.approx(0.5, abs=0.08)


def test_logit_adjustment_divides_by_the_prior(uneven_images, tiny_backbone):
    images, labels = uneven_images
    plain, adjusted = (
        TransferClassifier(tiny_backbone, balance=balance, verbose=0).fit(images, labels).predict_proba(images)
        for balance in (None, "logit_adjustment")
    )
    expected = plain / [40 / 48, 8 / 48]
    assert adjusted == pytest.approx(expected / expected.sum(axis=1, keepdims=True), abs=1e-4)


def test_focal_loss_trains_dense_heads_and_the_logistic_one(uneven_images, tiny_backbone):
    images, labels = uneven_images
    for head, schedule in (("logistic", "linear"), (Head(units=(8,)), [Phase("head", epochs=2, mixup=0.2)])):
        found = [
            TransferClassifier(
                tiny_backbone, head=head, schedule=schedule, balance=balance, verbose=0, augmentation=None
            )
            .fit(images, labels)
            .predict_proba(images)
            for balance in (None, "focal")
        ]
        assert np.abs(found[0] - found[1]).max() > 1e-3


def test_what_needs_the_logistic_head_says_so(uneven_images, tiny_backbone):
    for balance in ("crt", "smote"):
        with pytest.raises(ValueError, match=f"balance='{balance}' needs the logistic head"):
            TransferClassifier(tiny_backbone, head=Head(), balance=balance, schedule="head", verbose=0).fit(
                *uneven_images
            )
    with pytest.raises(ValueError, match="SMOTE makes up features, not images"):
        TransferClassifier(tiny_backbone, balance="smote", schedule="all", verbose=0).fit(*uneven_images)


def test_a_missing_package_is_named(monkeypatch, uneven_images, tiny_backbone):
    monkeypatch.setitem(__import__("sys").modules, "imblearn.over_sampling", None)
    with pytest.raises(ImportError, match=r'pip install "transferkit\[smote\]"'):
        TransferClassifier(tiny_backbone, balance="smote", verbose=0).fit(*uneven_images)


@pytest.fixture
def heads(monkeypatch):
    """The arguments of all logistic heads that are fitted."""
    calls = []

    def fit(dense, examples, search, **options):
        calls.append((examples, search))
        return fit_logistic_head(dense, examples, search, **options)

    monkeypatch.setattr("transferkit.training.fitting.fit_logistic_head", fit)
    return calls


@pytest.mark.parametrize(
    ("options", "by_class"),
    [({"class_weight": {"light": 3}}, [1, 3]), ({"balance": "oversample"}, [0.6, 3]), ({}, [1, 1])],
)
def test_images_to_choose_on_weigh_what_they_and_their_classes_do(
    options, by_class, uneven_images, tiny_backbone, heads
):
    images, labels = uneven_images
    own = np.linspace(1, 2, 12)
    rows = np.arange(36, 48)
    TransferClassifier(tiny_backbone, verbose=0, **options).fit(
        images, labels, validation_data=(images[rows], labels[rows], own)
    )
    _, search = heads[0]
    codes, weights = search.validation.labels, search.validation.weights
    assert codes.tolist() == (labels[rows] == "light").astype(int).tolist()
    assert weights == pytest.approx(own * np.array(by_class)[codes])


def test_the_head_of_a_schedule_is_judged_on_weighed_images(uneven_images, tiny_backbone):
    images, labels = uneven_images
    weights = np.where(np.arange(48) % 2, 1.0, 1e-6)
    schedule = [Phase("logistic"), Phase("head", epochs=1, learning_rate=1e-9)]
    options = {"schedule": schedule, "augmentation": None, "verbose": 0, "class_weight": "balanced"}
    classifier = TransferClassifier(tiny_backbone, **options).fit(
        images, labels, validation_data=(images, labels, weights)
    )
    first, second = zip(*(classifier.history_[name] for name in ("val_loss", "val_accuracy")), strict=True)
    assert first == pytest.approx(second, rel=1e-4)
    even = classifier.predict_proba(images[1::2]), labels[1::2]
    losses = -np.log(even[0][np.arange(24), (even[1] == "light").astype(int)])
    by_class = np.where(even[1] == "light", 5, 1)
    assert second[0] == pytest.approx(np.average(losses, weights=by_class), rel=1e-3)


def test_shares_of_soft_labels_reach_the_head_weighed(uneven_images, tiny_backbone, heads):
    images, _ = uneven_images
    shares = np.random.default_rng(0).dirichlet([1, 1], 48).astype("float32")
    TransferClassifier(tiny_backbone, verbose=0, class_weight={1: 4}).fit(images, shares)
    examples, _ = heads[0]
    found = examples.weights[:, None] * examples.targets
    assert found == pytest.approx(shares * [1, 4], rel=1e-5)


def test_logit_adjustment_divides_by_what_the_classes_weigh(uneven_images, tiny_backbone):
    images, labels = uneven_images
    weights = np.where(labels == "light", 2.0, 1.0)
    weights[:10] = 3
    plain, adjusted = (
        TransferClassifier(tiny_backbone, balance=balance, verbose=0)
        .fit(images, labels, sample_weight=weights)
        .predict_proba(images)
        for balance in (None, "logit_adjustment")
    )
    expected = plain / [60 / 76, 16 / 76]
    assert adjusted == pytest.approx(expected / expected.sum(axis=1, keepdims=True), abs=1e-4)


def test_smote_chooses_on_the_images_it_is_given(uneven, monkeypatch):
    pytest.importorskip("imblearn")
    (x, y), (other_x, other_y) = uneven
    calls = []

    def fit(dense, examples, search, **options):
        calls.append((np.bincount(examples.labels), search.validation))
        return fit_logistic_head(dense, examples, search, **options)

    monkeypatch.setattr("transferkit.training.balancing.fit_logistic_head", fit)
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

    monkeypatch.setattr("transferkit.training.fitting.fit_head_by_smote", fit)
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
        for options in ({}, {"augmentation": "light", "views": 2})
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
