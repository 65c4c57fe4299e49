import numpy as np
import pytest
from sklearn.metrics import average_precision_score, balanced_accuracy_score, f1_score, roc_auc_score

from transferkit.evaluation import weighted


@pytest.fixture
def weights():
    """Three weightings of 120 images: all once, whole numbers with many zeros, and fractions."""
    rng = np.random.default_rng(5)
    return np.stack([np.ones(120), rng.integers(0, 3, 120), rng.random(120)], axis=1)


def by_scikit_learn(weights, function):
    return pytest.approx([function(column) for column in weights.T], abs=1e-12)


def test_balanced_accuracy(make_sample, weights):
    sample = make_sample()
    expected = by_scikit_learn(
        weights, lambda w: balanced_accuracy_score(sample.labels, sample.predictions, sample_weight=w)
    )
    assert weighted.balanced_accuracy(sample, weights) == expected


@pytest.mark.parametrize("average", ["macro", "weighted"])
def test_f1(make_sample, weights, average):
    sample = make_sample()
    expected = by_scikit_learn(
        weights, lambda w: f1_score(sample.labels, sample.predictions, average=average, sample_weight=w)
    )
    assert getattr(weighted, f"{average}_f1")(sample, weights) == expected


def test_micro_f1_of_many_labels(make_multilabel, weights):
    sample = make_multilabel()
    expected = by_scikit_learn(
        weights[:100], lambda w: f1_score(sample.truth, sample.given, average="micro", sample_weight=w)
    )
    assert weighted.micro_f1(sample, weights[:100]) == expected


@pytest.mark.parametrize(
    ("function", "reference"),
    [(weighted.roc_auc, roc_auc_score), (weighted.average_precision, average_precision_score)],
)
def test_curves_with_ties(make_sample, make_multilabel, weights, function, reference):
    for sample, own in ((make_sample(), weights), (make_multilabel(), weights[:100])):
        expected = by_scikit_learn(
            own, lambda w, sample=sample: reference(sample.truth, sample.probabilities, sample_weight=w)
        )
        assert function(sample, own) == expected


def test_what_a_weighting_leaves_without_images_is_nan_or_not_counted(make_sample):
    sample = make_sample()
    weights = (sample.labels != 3).astype(float)[:, None]
    rest = sample.labels != 3
    assert np.isnan(weighted.roc_auc(sample, weights)).all()
    expected = average_precision_score(sample.truth[rest][:, :3], sample.probabilities[rest][:, :3])
    assert weighted.average_precision(sample, weights) == pytest.approx([expected])
    assert weighted.balanced_accuracy(sample, weights) == pytest.approx(
        [np.mean([(sample.predictions == code)[sample.labels == code].mean() for code in range(3)])]
    )
