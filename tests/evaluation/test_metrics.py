import numpy as np
import pytest
import sklearn.metrics as skm

from transferkit.evaluation.metrics import METRICS, accuracy_interval, class_metrics, log_losses, metrics_of
from transferkit.evaluation.sample import Sample


def test_the_interval_is_wilsons():
    z, n, p = 1.959964, 300, 0.86
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert accuracy_interval(258, 300) == pytest.approx((centre - half, centre + half), abs=1e-6)


def test_the_interval_stays_within_0_and_1():
    assert accuracy_interval(0, 5)[0] == 0
    assert accuracy_interval(5, 5)[1] == 1


def test_class_metrics_of_a_case_worked_by_hand():
    precision, recall, f1, support, confusion = class_metrics([0, 0, 0, 1, 1], [0, 0, 1, 1, 2], 4)
    assert precision == pytest.approx([1, 1 / 2, 0, 0])
    assert recall == pytest.approx([2 / 3, 1 / 2, 0, 0])
    assert f1 == pytest.approx([0.8, 0.5, 0, 0])
    assert support.tolist() == [3, 2, 0, 0]
    assert confusion.tolist() == [[2, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


# ---- the table of metrics ----


def reference_calibration_error(confidences, is_right, num_bins=15):
    """Equal-mass bins written out: from the least confident up, and never between two that are equal."""
    order, total, bins, start = np.argsort(confidences, kind="stable"), len(confidences), [], 0
    for number in range(1, num_bins + 1):
        end = number * total // num_bins
        while number < num_bins and start < end < total and confidences[order[end]] == confidences[order[end - 1]]:
            end -= 1
        if number == num_bins:
            end = total
        if end > start:
            bins.append(order[start:end])
            start = end
    return sum(len(b) * abs(is_right[b].mean() - confidences[b].mean()) for b in bins) / total


def references(sample):
    """What scikit-learn gives, or a definition written out, for each metric."""
    truth, p, codes = sample.truth, sample.probabilities, range(sample.num_classes)
    occurs = truth.any(axis=0)
    counted = np.flatnonzero(occurs | sample.given.any(axis=0))
    given = {
        "accuracy": skm.accuracy_score(sample.labels, sample.predictions),
        "roc_auc": skm.roc_auc_score(truth, p, average="macro") if occurs.all() else None,
        "mean_average_precision": skm.average_precision_score(truth[:, occurs], p[:, occurs], average="macro"),
    }
    if sample.is_multilabel:
        f1 = {way: skm.f1_score(truth, sample.given, average=way) for way in ("micro", "macro", "weighted")}
        losses = [skm.log_loss(t, q, labels=[0, 1]) for t, q in zip(truth.T, p.T, strict=True)]
        brier = np.mean([skm.brier_score_loss(t, q) for t, q in zip(truth.T, p.T, strict=True)])
        return given | {
            "micro_f1": f1["micro"],
            "macro_f1": f1["macro"],
            "weighted_f1": f1["weighted"],
            "log_loss": np.mean(losses),
            "brier_score": brier,
            "calibration_error": reference_calibration_error(p.ravel(), truth.ravel()),
        }
    y, predicted = sample.labels, sample.predictions
    given |= {
        "balanced_accuracy": np.mean([(predicted[y == c] == c).mean() for c in codes if (y == c).any()]),
        "macro_f1": skm.f1_score(y, predicted, labels=counted, average="macro"),
        "weighted_f1": skm.f1_score(y, predicted, average="weighted"),
        "log_loss": skm.log_loss(y, p, labels=list(codes)),
        "brier_score": np.mean([((p[i] - np.eye(len(codes))[y[i]]) ** 2).sum() for i in range(len(y))]),
        "calibration_error": reference_calibration_error(p.max(axis=1), predicted == y),
    }
    if sample.num_classes > 5:
        given["top_5_accuracy"] = skm.top_k_accuracy_score(y, p, k=5, labels=list(codes))
    return given


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"decimals": 15},
        {"num_classes": 2},
        {"num_classes": 9},
        {"num_classes": 9, "present": [0, 1, 2, 5, 6, 7]},
        {"num_classes": 7, "num_images": 20},
    ],
    ids=["ties", "no ties", "two classes", "nine classes", "absent classes", "few images"],
)
def test_every_metric_is_that_of_scikit_learn(make_sample, options, seed):
    sample = make_sample(seed=seed, **options)
    expected = references(sample)
    metrics = metrics_of(sample)
    assert {metric.name for metric in metrics} == set(expected)
    for metric in metrics:
        if expected[metric.name] is None:
            assert "there is no image of" in metric.needs(sample)
        else:
            assert metric.needs(sample) is None
            assert metric.function(sample) == pytest.approx(expected[metric.name], abs=1e-9), metric.name


@pytest.mark.parametrize("seed", range(5))
def test_every_metric_of_many_labels_is_that_of_scikit_learn(make_multilabel, seed):
    sample = make_multilabel(seed=seed)
    expected = references(sample)
    assert {metric.name for metric in metrics_of(sample)} == set(expected)
    for metric in metrics_of(sample):
        assert metric.function(sample) == pytest.approx(expected[metric.name], abs=1e-9), metric.name


def test_of_each_image_once_the_weighted_metrics_are_the_metrics(make_sample, make_multilabel):
    for sample in (make_sample(9), make_sample(9, present=[0, 3]), make_multilabel()):
        ones = np.ones((len(sample.labels), 1))
        for metric in metrics_of(sample):
            if metric.needs(sample) is None:
                assert metric.weighted(sample, ones)[0] == pytest.approx(metric.function(sample), abs=1e-12)


def test_a_probability_of_0_for_the_truth_counts_as_the_least_one_there_is():
    sample = Sample(np.array([0]), np.array([[0.0, 1.0]]), np.array([1]), np.array(["a", "b"]))
    assert log_losses(sample) == pytest.approx(skm.log_loss([0], [[0.0, 1.0]], labels=[0, 1]))


def test_what_a_metric_lacks_is_said_in_words(make_sample, make_multilabel):
    (roc,) = (metric for metric in METRICS if metric.name == "roc_auc")
    assert roc.needs(make_sample(present=[0, 1, 3])) == "there is no image of the class 'c2'"
    assert roc.needs(make_sample(present=[1])) == "there is no image of 3 classes: 'c0', 'c2', 'c3'"
    sample = make_multilabel()
    sample.labels[:, 1] = 1
    assert roc.needs(sample) == "there is no image without the label 'c1'"
