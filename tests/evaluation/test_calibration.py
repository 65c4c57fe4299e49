import numpy as np
import pytest
from scipy.special import log_softmax

from transferkit.evaluation.calibration import fit_temperature, judge_at_best_temperature, log_loss


@pytest.fixture
def data():
    """Logits of a classifier that is right about two times in three, and labels."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 300)
    logits = rng.normal(size=(300, 4)) + 1.2 * np.eye(4)[labels]
    return logits.astype("float32"), labels


def by_brute_force(logits, labels, weights=None):
    """The same by trying temperatures one after the other, with Platt's targets written out."""
    num_classes = logits.shape[1]
    counts = np.bincount(labels, minlength=num_classes)[labels]
    trust = (counts + 1) / (counts + 2)
    targets = np.tile(((1 - trust) / (num_classes - 1))[:, None], num_classes)
    targets[np.arange(len(labels)), labels] = trust
    temperatures = np.exp(np.linspace(-4, 2, 4001))
    losses = [
        np.average(-(targets * log_softmax(logits.astype("float64") / t, axis=1)).sum(axis=1), weights=weights)
        for t in temperatures
    ]
    return min(losses), temperatures[np.argmin(losses)]


@pytest.mark.parametrize("sharpness", [0.3, 1.0, 8.0])
def test_it_finds_what_trying_all_temperatures_finds(data, sharpness):
    logits, labels = data[0] * np.float32(sharpness), data[1]
    loss, accuracy, temperature = judge_at_best_temperature(logits, labels)
    expected = by_brute_force(logits, labels)
    assert loss == pytest.approx(expected[0], rel=1e-4)
    assert temperature == pytest.approx(expected[1], rel=0.01)
    assert accuracy == (logits.argmax(axis=1) == labels).mean()


def test_scaling_the_logits_scales_the_temperature_and_nothing_else(data):
    logits, labels = data
    plain, scaled = judge_at_best_temperature(logits, labels), judge_at_best_temperature(3 * logits, labels)
    assert scaled[:2] == pytest.approx(plain[:2], rel=1e-4)
    assert scaled[2] == pytest.approx(3 * plain[2], rel=0.01)


def test_log_probabilities_do_as_well_as_logits(data):
    logits, labels = data
    probabilities = log_softmax(logits, axis=1) + 5
    assert judge_at_best_temperature(probabilities, labels) == pytest.approx(
        judge_at_best_temperature(logits, labels), rel=1e-3
    )


def test_weights_weigh_images(data):
    logits, labels = data
    weights = np.array([2.0, 0.5, 1.0, 3.0])[labels]  # those of classes do not make them larger
    loss, accuracy, temperature = judge_at_best_temperature(logits, labels, weights)
    expected = by_brute_force(logits, labels, weights)
    assert loss == pytest.approx(expected[0], rel=1e-4)
    assert temperature == pytest.approx(expected[1], rel=0.01)
    assert accuracy == pytest.approx(np.average(logits.argmax(axis=1) == labels, weights=weights))


@pytest.mark.parametrize("is_multilabel", [False, True])
def test_weights_are_numbers_of_images(data, is_multilabel):
    logits, labels = data
    labels = np.eye(4, dtype="float32")[labels] if is_multilabel else labels
    weights = np.random.default_rng(1).choice([0, 1, 1, 1, 1, 1, 2, 3], 300)
    rows = np.repeat(np.arange(300), weights)
    found = judge_at_best_temperature(logits, labels, 5 * weights)
    assert found == pytest.approx(judge_at_best_temperature(logits[rows], labels[rows]), rel=1e-4)


@pytest.mark.parametrize("is_multilabel", [False, True])
def test_images_that_are_not_judged_count_for_the_sizes_of_the_classes_only(data, is_multilabel):
    logits, labels = data
    labels = np.eye(4, dtype="float32")[labels] if is_multilabel else labels
    found = judge_at_best_temperature(logits, labels, is_judged=np.arange(300) < 20)
    nonsense = np.concatenate([logits[:20], 100 + logits[20:][::-1] ** 2])
    assert found == pytest.approx(judge_at_best_temperature(nonsense, labels, is_judged=np.arange(300) < 20), rel=1e-4)
    assert abs(found[0] - judge_at_best_temperature(logits[:20], labels[:20])[0]) > 1e-3


def test_a_class_of_which_no_image_has_weight_is_no_error(data):
    logits, labels = data
    weights = (labels != 3).astype("float32")
    found = judge_at_best_temperature(logits, labels, weights)
    assert found == pytest.approx(judge_at_best_temperature(logits[labels != 3], labels[labels != 3]), rel=1e-4)


def test_a_few_images_that_are_all_right_do_not_make_it_certain():
    logits, labels = 9 * np.eye(3, dtype="float32"), np.arange(3)
    loss, accuracy, temperature = judge_at_best_temperature(logits, labels)
    probability = np.exp(log_softmax(logits / temperature, axis=1)).diagonal()
    assert accuracy == 1
    assert probability == pytest.approx([2 / 3] * 3, abs=0.01)  # one image of each: (1 + 1) / (1 + 2)
    assert loss == pytest.approx(-(2 / 3) * np.log(2 / 3) - (1 / 3) * np.log(1 / 6), abs=1e-3)


@pytest.mark.parametrize("is_multilabel", [False, True], ids=["classes", "labels"])
def test_logits_that_differ_by_rounding_have_temperatures_that_differ_by_rounding(data, is_multilabel):
    logits, labels = data
    labels = np.eye(4, dtype=int)[labels] if is_multilabel else labels
    rng = np.random.default_rng(0)
    rounded = [logits * (1 + 1e-6 * rng.uniform(-1, 1, logits.shape)).astype("float32") for _ in range(20)]
    temperatures = [judge_at_best_temperature(each, labels)[2] for each in rounded]
    assert np.ptp(temperatures) <= 5e-6 * min(temperatures)


@pytest.mark.parametrize("is_multilabel", [False, True], ids=["classes", "labels"])
def test_at_the_temperature_the_loss_is_flat(data, is_multilabel):
    logits, labels = data[0].astype("float64"), data[1]
    rows = np.eye(4, dtype=int)[labels]
    _, _, temperature = judge_at_best_temperature(data[0], rows if is_multilabel else labels)
    counts = rows.sum(axis=0)
    if is_multilabel:
        targets = np.where(rows > 0, (counts + 1) / (counts + 2), 1 / (len(rows) - counts + 2))
        predicted = 1 / (1 + np.exp(-logits / temperature))
    else:
        trust = ((counts + 1) / (counts + 2))[labels, None]
        targets = np.where(rows > 0, trust, (1 - trust) / 3)
        predicted = np.exp(log_softmax(logits / temperature, axis=1))
    assert ((predicted - targets) * logits).mean() == pytest.approx(0, abs=1e-6)


def test_equal_logits_have_no_best_temperature_and_any_will_do():
    logits, labels = np.zeros((6, 3), "float32"), np.arange(6) % 3
    loss, _, temperature = judge_at_best_temperature(logits, labels)
    assert loss == pytest.approx(np.log(3))
    assert np.isfinite(temperature)


def test_logits_are_not_changed(data):
    logits, labels = data
    before = logits.copy()
    judge_at_best_temperature(logits, labels)
    assert np.array_equal(logits, before)


def test_the_most_probable_temperature_is_what_trying_all_finds(data):
    logits, labels = data[0] * np.float32(4), data[1]
    candidates = np.exp(np.linspace(-2, 3, 5001))
    losses = [len(labels) * log_loss(logits.astype("float64") / t, labels) + 2 * np.log(t) ** 2 for t in candidates]
    assert fit_temperature(logits, labels) == pytest.approx(candidates[np.argmin(losses)], rel=2e-3)
    assert fit_temperature(logits, labels) > 2


def test_few_images_move_the_temperature_a_little(data):
    logits, labels = data
    margins = logits[np.arange(300), labels] - logits.max(axis=1)
    right, wrong = np.flatnonzero(margins == 0), [margins.argmin()]
    assert 0.7 < fit_temperature(logits[right[:1]], labels[right[:1]]) < 1
    assert 1 < fit_temperature(logits[wrong], labels[wrong]) < 2
    # Images that are all right would have a temperature of 0 without what is known beforehand.
    assert 0.1 < fit_temperature(logits[right], labels[right]) < 0.5


def test_a_class_that_is_missing_or_small_does_not_make_it_doubt(data):
    logits, labels = (part[data[1] != 3] for part in data)
    wide = np.hstack([logits, np.full((len(labels), 96), -9, "float32")])
    assert fit_temperature(wide, labels) == pytest.approx(fit_temperature(logits, labels), rel=0.02)


def test_each_of_any_number_of_labels_counts():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(400, 3)).astype("float32")
    labels = (rng.random((400, 3)) < 1 / (1 + np.exp(-logits))).astype("float32")
    assert fit_temperature(3 * logits, labels) == pytest.approx(3, rel=0.2)
    assert fit_temperature(logits, labels) == pytest.approx(1, rel=0.2)


def test_a_temperature_that_was_fitted_stays_unless_images_contradict_it(data):
    logits, labels = data
    best = np.float32(fit_temperature(logits, labels))
    for sharpness, stays in ((1.1, True), (0.9, True), (2.5, False), (0.3, False)):
        given = logits / best * np.float32(sharpness)
        assert (fit_temperature(given, labels, is_fitted=True) == 1) == stays
        if not stays:
            assert fit_temperature(given, labels, is_fitted=True) == fit_temperature(given, labels)
