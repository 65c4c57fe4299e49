import re

import pytest

from transferkit.evaluation.page.card import card_of


@pytest.mark.parametrize("name", ["report", "multilabel"])
def test_the_card_says_how_good_it_is_and_on_what(name, request):
    report = request.getfixturevalue(name)
    card = card_of(report)
    accuracy = report.metrics["accuracy"]
    assert f"| {accuracy.title} | {accuracy.value:.3f} | {accuracy.low:.3f} to {accuracy.high:.3f} |" in card
    assert re.findall("^## (.*)$", card, re.MULTILINE)[0] == "Results"
    assert f"- images evaluated: {report.num_images}" in card


def test_names_are_no_marks(report):
    card = card_of(report, title="# *me*")
    assert card.startswith(r"# \# \*me\*")
    assert "<script>" not in card
    rows = [line for line in card.splitlines() if line.startswith("| ") and "\\_a\\|b\\`" in line]
    assert rows
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} <= {6, 5}


def test_a_check_cannot_end_its_fence(report):
    card = card_of(report, data_check="```\n# heading")
    assert "````\n```\n# heading\n````" in card


def test_it_names_no_folder_of_this_machine(report):
    assert "/home/me" not in card_of(report)
