import numpy as np
import pytest

from transferkit._utils.figures import new_axes
from transferkit.evaluation.plots.confusion import draw_confusion_matrix


@pytest.mark.parametrize("num_classes", [1, 2, 10, 15, 60, 200])
def test_it_can_be_drawn_with_few_and_many_classes(num_classes, drawn):
    rng = np.random.default_rng(0)
    counts = np.diag(rng.integers(5, 50, num_classes)) + rng.integers(0, 3, (num_classes, num_classes))
    names = [f"class {number}" for number in range(num_classes)]
    texts = drawn(draw_confusion_matrix(counts, names))
    written = [name for name in names if name in texts]
    assert len(written) == num_classes if num_classes <= 40 else 4 < len(written) < 30


def test_counts_stand_in_their_cells_and_zeros_do_not(drawn):
    ax = draw_confusion_matrix([[7, 0], [3, 5]], ["cat", "dog"])
    assert {(*text.get_position(), text.get_text()) for text in ax.texts} == {(0, 0, "7"), (0, 1, "3"), (1, 1, "5")}


def test_the_classes_that_are_confused_most_are_named_where_there_are_many(drawn):
    counts = np.diag(np.full(100, 9))
    counts[20, 70] = 4
    texts = drawn(draw_confusion_matrix(counts, [f"class {number}" for number in range(100)]))
    assert {text for text in texts if text.startswith("class")} == {"class 20", "class 70"}


def test_colour_is_the_share_of_the_true_class():
    right, wrong = draw_confusion_matrix([[75, 25], [0, 0]], ["cat", "dog"]).images
    assert right.get_array().tolist() == [[pytest.approx(0.75**0.5), 0], [0, 0]]
    assert wrong.get_array().tolist() == [[0, 0.5], [0, 0]]


def test_hostile_names_are_drawn_as_they_are(drawn):
    names = ["$x_$", "_a", "<b>&", "new\nline"]
    assert {"$x_$", "_a", "<b>&", "new line"} <= set(drawn(draw_confusion_matrix(np.eye(4, dtype=int), names)))


def test_it_is_drawn_where_it_is_asked_for():
    ax = new_axes(2, 2)
    assert draw_confusion_matrix([[1, 0], [0, 1]], ["a", "b"], ax=ax) is ax
