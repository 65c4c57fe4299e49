from dataclasses import replace

import pytest

from transferkit.evaluation.metrics import MetricValue
from transferkit.evaluation.page.words import (
    findings,
    in_words,
    interval,
    number,
    recipe_of,
    settings_of,
    short_names,
    times,
    versions_of,
)


def test_labels_are_words():
    assert [in_words(label) for label in ("cat", 3, ("cat", "dog"), ())] == ["cat", "3", "cat + dog", "no label"]


def test_numbers_are_as_short_as_they_can_be_read():
    assert [number(value) for value in (0.12345, 1234.56, float("nan"), None)] == ["0.123", "1,234.6", "–", "–"]
    assert interval(MetricValue("a", "a", 0.5, 0.4, 0.6)) == "0.400 to 0.600"
    assert interval(MetricValue("a", "a", 0.5)) is None
    assert [times(count) for count in (1, 2, 1200)] == ["once", "twice", "1,200 times"]


def test_findings_are_those_of_the_report(report, multilabel):
    found = findings(report)
    assert found[0] == f"The prediction is right for {round(report.accuracy * 120)} of 120 images."
    name, recall = report.worst_class
    assert found[1] == f"Found least often: {name}, {round(recall * 20)} of 20 images."
    assert len(found) == 4
    assert findings(multilabel)[0].startswith("All labels are right for")


def test_names_are_without_the_folder_that_all_have_in_common(report, multilabel):
    assert short_names(report, [0, 7]) == ["0/<b>0.png", "1/<b>7.png"]
    assert short_names(multilabel, [3]) == ["image 3"]
    mixed = replace(report, names=("image 0", *report.names[1:]))
    assert short_names(mixed, [0, 1]) == ["image 0", report.names[1]]


def test_settings_are_words(report, multilabel):
    assert settings_of(report) == [
        ("backbone", "tiny <net>"),
        ("image size", "16 × 16 px"),
        ("phases", "logistic head, all"),
        ("seed", "0"),
        ("schedule", "fine_tune"),
    ]
    assert settings_of(multilabel) == []


@pytest.mark.parametrize("name", ["report", "multilabel"])
def test_the_recipe_is_python(name, request):
    compile(recipe_of(request.getfixturevalue(name)), "recipe", "exec")


def test_the_recipe_has_the_arguments(report):
    settings = {"seed": 3, "augmentation": None, "head": "Head(units=64)"}
    recipe = recipe_of(replace(report, context={"backbone": "net", "settings": settings}))
    assert "    backbone='net',\n    seed=3,\n    augmentation=None,\n    head=Head(units=64),\n" in recipe


def test_versions_are_those_of_training_and_of_evaluation_where_they_differ(report):
    context = {"versions": {"keras": "3.15.1", "numpy": "2.1"}, "trained_with": {"keras": "3.12.0", "numpy": "2.1"}}
    assert versions_of(replace(report, context=context)) == [
        ("keras", "3.15.1 (trained with 3.12.0)"),
        ("numpy", "2.1"),
    ]
    assert versions_of(report) == [("keras", "3.15.1")]
