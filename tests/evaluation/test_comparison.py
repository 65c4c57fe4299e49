import json
from dataclasses import replace

import numpy as np
import pytest

from transferkit import compare
from transferkit.evaluation.multilabel import MultilabelReport
from transferkit.evaluation.report import EvaluationReport

NAMES = np.array(["cat", "dog", "owl"])


def report_of(labels, share_right, seed, **kept):
    """A report of a classifier that is right about that often."""
    rng = np.random.default_rng(seed)
    shown = np.where(rng.random(len(labels)) < share_right, labels, (labels + 1) % 3)
    return EvaluationReport(NAMES, labels, 0.2 + 0.4 * np.eye(3)[shown], **kept)


@pytest.fixture
def labels():
    return np.arange(300) % 3


@pytest.fixture
def pair(labels):
    return report_of(labels, 0.7, 1), report_of(labels, 0.95, 2)


def test_the_better_one_is_named_with_the_difference_and_its_interval(pair):
    found = compare(*pair)
    accuracy = found.metrics["accuracy"]
    assert accuracy.difference == pytest.approx(pair[1].accuracy - pair[0].accuracy)
    assert accuracy.low < accuracy.difference < accuracy.high
    low, high = f"{100 * accuracy.low:.1f}", f"{100 * accuracy.high:.1f}"
    assert str(accuracy) == f"B is better by {100 * accuracy.difference:.1f} points, {low} to {high}"
    assert str(found).startswith("accuracy: B is better by ")
    assert str(found.metrics["log_loss"]).startswith("B is better by 0.")


def test_the_other_way_round_it_is_the_other_one(pair):
    there, back = compare(*pair), compare(*pair[::-1])
    for name, difference in there.metrics.items():
        other = back.metrics[name]
        assert other.difference == pytest.approx(-difference.difference)
        assert (other.low, other.high) == pytest.approx((-difference.high, -difference.low), abs=0.01)
        assert str(other)[0] != str(difference)[0]
    assert str(back.metrics["accuracy"]) == str(there.metrics["accuracy"]).replace("B", "A")


def test_the_test_of_the_accuracies_is_mcnemars(pair):
    found = compare(*pair)
    a, b = (report.predictions == report.labels for report in pair)
    assert (found.only_a_right, found.only_b_right) == ((a & ~b).sum(), (b & ~a).sum())
    n, k = found.only_a_right + found.only_b_right, min(found.only_a_right, found.only_b_right)
    row = [1.0]  # binomial coefficients, one after the other
    for i in range(n):
        row.append(row[-1] * (n - i) / (i + 1))
    assert found.metrics["accuracy"].p_value == pytest.approx(2 * sum(row[: k + 1]) / 2**n, rel=1e-9)


def test_a_difference_that_chance_explains_is_not_clear(labels):
    found = compare(report_of(labels, 0.8, 1), report_of(labels, 0.8, 2)).metrics["accuracy"]
    assert not found.is_certain
    assert found.p_value > 0.05
    assert str(found).endswith(": no clear difference")


def test_a_report_is_as_good_as_itself(pair):
    found = compare(pair[0], pair[0])
    assert found.metrics["accuracy"].p_value == 1
    assert all(each.difference == 0 and not each.is_certain for each in found.metrics.values())


def test_pairing_tells_more_than_two_intervals(labels):
    rng = np.random.default_rng(0)
    shown = np.where(rng.random(300) < 0.7, labels, (labels + 1) % 3)
    better = np.where(rng.random(300) < 0.1, labels, shown)
    a, b = (EvaluationReport(NAMES, labels, 0.2 + 0.4 * np.eye(3)[codes]) for codes in (shown, better))
    difference = compare(a, b).metrics["balanced_accuracy"]
    assert difference.is_certain
    assert difference.high - difference.low < np.ptp(a.accuracy_interval)


def test_images_in_another_order_are_put_in_order_by_their_names(pair):
    names = tuple(f"{row}.png" for row in range(300))
    a, b = (replace(report, names=names) for report in pair)
    shuffled = b.take(np.random.default_rng(0).permutation(300))
    assert compare(a, shuffled).to_dict() == compare(a, b).to_dict()


def test_groups_are_drawn_whole(labels, pair):
    groups = np.arange(300) // 10
    a, b = (replace(report, groups=groups) for report in pair)
    assert compare(a, b).metrics["accuracy"].p_value == pytest.approx(1 / 1001)


def test_what_cannot_be_had_is_said(pair):
    rows = np.flatnonzero(pair[0].labels < 2)
    found = compare(*(report.take(rows) for report in pair))
    assert "roc_auc" not in found.metrics
    assert found.notes == ("ROC-AUC: there is no image of the class 'owl'",)


def test_reports_of_many_labels_compare_as_well():
    rng = np.random.default_rng(0)
    targets = (rng.random((80, 3)) < 0.4).astype(int)
    a, b = (
        MultilabelReport(NAMES, targets, np.clip(c * targets + (1 - c) * rng.random((80, 3)), 0, 1), np.full(3, 0.5))
        for c in (0.3, 0.45)
    )
    assert str(compare(a, b).metrics["micro_f1"]).startswith("B is better")
    with pytest.raises(TypeError, match="Received: EvaluationReport and MultilabelReport"):
        compare(report_of(np.arange(80) % 3, 0.8, 0), a)


def test_other_images_are_refused(pair, labels):
    a, b = pair
    with pytest.raises(ValueError, match="Received: 300 and 200 images"):
        compare(a, b.take(range(200)))
    with pytest.raises(ValueError, match="different labels for 300 of 300 images"):
        compare(a, replace(b, labels=np.roll(labels, 1)))
    with pytest.raises(ValueError, match="different classes. Received: cat, dog, owl; and cat, dog, emu"):
        compare(a, replace(b, class_names=np.array(["cat", "dog", "emu"])))
    names = tuple(f"{row}.png" for row in range(300))
    with pytest.raises(ValueError, match="by their names.*299.png"):
        compare(replace(a, names=names), replace(b, names=(*names[:-1], "other.png")))
    with pytest.raises(TypeError, match="two reports of `evaluate`. Received: float"):
        compare(a, 0.9)


def test_it_is_plain_json_and_a_table_in_notebooks(pair):
    found = compare(*pair)
    plain = json.loads(json.dumps(found.to_dict()))
    assert plain["metrics"]["accuracy"]["difference"] == found.metrics["accuracy"].difference
    assert found._repr_html_().count("<tr>") == 1 + len(found.metrics)
