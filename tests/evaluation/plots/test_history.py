import numpy as np
import pytest

from transferkit.evaluation.plots.history import draw_history, metrics_of

TRAINED = {
    "epoch": [0, 1, 2, 3],
    "phase": ["logistic head", "everything", "everything", "all"],
    "loss": [0.9, 0.7, 0.5, 0.4],
    "accuracy": [0.5, 0.6, None, 0.8],
    "val_loss": [0.8, 0.6, 0.7, float("nan")],
    "val_accuracy": [0.5, 0.6, 0.65, 0.7],
    "learning_rate": [None, 0.1, 0.1, 0.1],
}
SOLVED = {
    "l2": [10.0, 1.0, 0.1],
    "val_loss": [0.9, 0.5, 0.6],
    "val_accuracy": [0.5, 0.8, 0.7],
    "temperature": [1.0] * 3,
}


def test_phases_are_named_where_they_begin_and_the_best_epoch_is_marked(drawn):
    ax = draw_history(TRAINED)
    assert [text.get_text().strip() for text in ax.texts] == ["logistic head", "everything", "all"]
    assert [text.get_position()[0] for text in ax.texts] == [-0.5, 0.5, 2.5]
    assert ax.lines[-1].get_xydata().tolist() == [[1, 0.6]]
    assert {"training", "validation", "chosen", "epoch", "log loss"} <= set(drawn(ax))


def test_the_epoch_is_chosen_by_loss_whatever_is_drawn():
    assert draw_history(TRAINED, "accuracy").lines[-1].get_xydata().tolist() == [[1, 0.6]]


def test_a_head_that_was_solved_has_strengths_for_epochs(drawn):
    ax = draw_history(SOLVED)
    assert ax.get_xscale() == "log"
    assert ax.lines[-1].get_xydata().tolist() == [[1, 0.5]]
    assert "training" not in drawn(ax)


def test_strengths_that_could_not_be_compared_are_no_error(drawn):
    history = {**SOLVED, "val_loss": [np.nan] * 3}
    assert metrics_of(history) == ["accuracy"]
    assert "chosen" not in drawn(draw_history(history, "accuracy"))


def test_one_epoch_can_be_drawn(drawn):
    drawn(draw_history({name: column[:1] for name, column in TRAINED.items()}))


def test_an_unknown_metric_is_named_with_those_that_are_known():
    with pytest.raises(ValueError, match=r"but 'loss', 'accuracy'\. Received: metric='auc'\."):
        draw_history(TRAINED, "auc")
