import numpy as np
import pytest

from transferkit import Head, Phase, TransferClassifier
from transferkit._utils.console import Console, speaking_to
from transferkit.solvers.examples import Examples
from transferkit.solvers.losses import _focal
from transferkit.solvers.path import LogisticProblem, Search, fit_logistic_path
from transferkit.training.balance.methods import BALANCES, check_balance, find_balance
from transferkit.training.logistic import fit_logistic_head


@pytest.fixture
def heads(monkeypatch):
    """The arguments of all logistic heads that are fitted."""
    calls = []

    def fit(dense, examples, search, **options):
        calls.append((examples, search))
        return fit_logistic_head(dense, examples, search, **options)

    monkeypatch.setattr("transferkit.training.trainer.fit_logistic_head", fit)
    return calls


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


@pytest.mark.parametrize(
    ("balance", "counts", "expected", "said"),
    [
        ("auto", [30, 10], "logit_adjustment", "3.0 times as large as the smallest: balance='logit_adjustment'"),
        ("auto", [4, 1], "logit_adjustment", "4.0 times as large as the smallest"),
        ("auto", [29, 10], None, "2.9 times as large as the smallest: balance=None"),
        (None, [30, 0, 3], None, "10 times as large as the smallest. Rare classes will be found less often"),
        ("focal", [30, 1], "focal", ""),
        (None, [6, 3, 1], None, ""),
    ],
)
def test_what_is_done_follows_from_the_sizes_of_the_classes(balance, counts, expected, said, capsys):
    labels = np.repeat(np.arange(len(counts)), counts)
    with speaking_to(Console(2)):
        assert find_balance(balance, labels).name == expected
    assert said in capsys.readouterr().out


def test_weights_of_classes_make_up_for_their_sizes(capsys):
    with speaking_to(Console(2)):
        assert find_balance(None, np.repeat([0, 1], [30, 3]), "balanced").name is None
    assert capsys.readouterr().out == ""


def test_unknown_and_double_balance_are_refused():
    check_balance("smote", None, "logistic")
    check_balance(None, "balanced", Head())
    with pytest.raises(ValueError, match="`balance` must be None, 'auto', 'logit.* Received: balance='no'"):
        check_balance("no", None, "logistic")
    with pytest.raises(ValueError, match="give one of them. Received: balance='crt', class_weight='balanced'"):
        check_balance("crt", "balanced", "logistic")


@pytest.mark.parametrize("balance", BALANCES)
def test_each_method_is_found_by_its_name(balance):
    assert find_balance(balance, np.array([0, 1])).name == balance
