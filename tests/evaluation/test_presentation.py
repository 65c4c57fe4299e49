import io
from dataclasses import replace

import numpy as np
import pytest

from transferkit._utils.figures import new_axes
from transferkit.evaluation.multilabel import MultilabelReport
from transferkit.evaluation.presentation import one_against_rest
from transferkit.evaluation.report import EvaluationReport

HISTORY = {"l2": [1.0, 0.1], "val_loss": [0.5, 0.4], "val_accuracy": [0.7, 0.8]}


def pictures(rows):
    return [np.zeros((8, 8, 3), "uint8") for _ in rows]


@pytest.fixture
def report():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(3), 30).astype("float32")
    context = {"history": HISTORY}
    return EvaluationReport(np.array(list("abc")), np.arange(30) % 3, probabilities, context=context, images=pictures)


@pytest.fixture
def multilabel(report):
    targets = np.eye(3, dtype=int)[report.labels]
    return MultilabelReport(
        report.class_names, targets, report.probabilities, np.full(3, 0.5), context=report.context, images=pictures
    )


PLOTS = ("reliability", "roc", "precision_recall", "worst_mistakes", "least_confident", "history")


@pytest.mark.parametrize("kind", ["report", "multilabel"])
@pytest.mark.parametrize("plot", PLOTS)
def test_every_plot_returns_its_axes_and_takes_some(plot, kind, request):
    draw = getattr(request.getfixturevalue(kind), f"plot_{plot}")
    draw().figure.savefig(io.BytesIO(), dpi=20)
    ax = new_axes(3, 3)
    assert draw(ax=ax) is ax


def test_the_confusion_matrix_is_drawn(report):
    assert [image.get_array().shape for image in report.plot_confusion_matrix().images] == [(3, 3)] * 2


def test_the_points_of_the_reliability_diagram_are_the_bins(report):
    bins = report.reliability
    assert np.allclose(report.plot_reliability().lines[1].get_xydata(), np.transpose([bins.confidence, bins.accuracy]))


def test_of_two_classes_the_second_is_held_against_the_first():
    two = EvaluationReport(np.array(["no", "yes"]), np.array([0, 1, 1]), np.array([[0.7, 0.3], [0.6, 0.4], [0.1, 0.9]]))
    truth, probabilities, names = one_against_rest(two)
    assert truth.tolist() == [[False], [True], [True]]
    assert probabilities.tolist() == [[0.3], [0.4], [0.9]]
    assert names.tolist() == ["yes"]


def test_images_that_are_not_at_hand_are_asked_for(report):
    with pytest.raises(ValueError, match="images are not at hand"):
        replace(report, images=None).plot_worst_mistakes()


def test_a_report_without_a_history_says_so(report):
    with pytest.raises(ValueError, match="holds no history"):
        replace(report, context={}).plot_history()


def test_page_and_card_are_written(report, tmp_path):
    report.to_html(tmp_path / "report.html", title="Mine")
    assert "<h1>Mine</h1>" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert report.to_markdown(title="Mine").startswith("# Mine\n")
