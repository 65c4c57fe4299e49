from dataclasses import replace

import numpy as np
import pytest

from transferkit.evaluation.label_errors import LabelErrors
from transferkit.evaluation.page.sections import sections_of
from transferkit.evaluation.report import EvaluationReport

pytestmark = pytest.mark.usefixtures("without_plots")


def sections(report, **options):
    return {section.key: section for section in sections_of(report, **options)}


def test_classes_and_labels_have_the_same_sections(report, multilabel):
    keys = ["headline", "mistakes", "images", "confidence", "classes", "training", "data", "again"]
    assert list(sections(report)) == keys
    keys.remove("training")  # nothing is known about it
    assert list(sections(multilabel)) == keys


def test_numbers_in_the_table_are_those_of_the_report(report):
    content = sections(report)["classes"].content
    for rate in (*report.precision, *report.recall, *report.f1):
        assert f'data-value="{rate:.6g}"' in content


def test_images_that_are_not_at_hand_are_named(report):
    def gone(rows):
        raise FileNotFoundError("deleted")

    for images in (None, gone):
        content = sections(replace(report, images=images))["images"].content
        assert "<img" not in content
        assert "&lt;b&gt;" in content


def test_a_check_of_the_data_is_part_of_it(report):
    content = sections(report, data_check="3 <duplicates>")["data"].content
    assert "3 &lt;duplicates&gt;" in content


def test_labels_that_may_be_wrong_are_part_of_it(report):
    suspect = np.array([True, False, True])
    probabilities = np.full((3, 2), 0.5)
    paths = ["/d/a.png", "/d/b.png", "/d/<c>.png"]
    given, likely, scores = ["<a>", "b", "b"], ["b", "b", "<a>"], np.array([0.1, 0.9, 0.05])
    names = np.array(["<a>", "b"])
    errors = LabelErrors(
        names, given, likely, scores, suspect, probabilities, paths, indices=np.arange(3), images=report.images
    )
    content = sections(report, label_errors=errors)["labels"].content
    assert content.count("<img") == 2
    assert content.index("&lt;c&gt;.png") < content.index("a.png")
    assert "/d/" not in content
    listed = sections(report, label_errors=replace(errors, images=None))["labels"].content
    assert "<img" not in listed
    assert "&lt;c&gt;.png" in listed
    none = replace(errors, is_suspect=np.zeros(3, bool))
    assert "0 labels of 3 images may be wrong." in sections(report, label_errors=none)["labels"].lead


def test_perfect_predictions_have_no_mistakes_to_show():
    perfect = EvaluationReport(np.array(["a", "b"]), np.array([0, 1, 1]), np.eye(2)[[0, 1, 1]])
    shown = sections(perfect)
    assert "no mistake" in shown["mistakes"].content
    assert "Worst" not in shown["images"].content


def test_one_image_of_one_class_is_enough():
    one = EvaluationReport(np.array(["a", "b"]), np.array([1]), np.array([[0.4, 0.6]]))
    assert "headline" in sections(one)


def test_many_classes_are_shown_in_a_table_that_scrolls():
    labels = np.arange(60).repeat(2)
    many = EvaluationReport(np.arange(60), labels, np.eye(60)[np.roll(labels, 1)])
    assert "scroll long" in sections(many)["classes"].content
