"""A report as a model card in Markdown (Mitchell et al., FAT* 2019)."""

import re

from transferkit.evaluation.page.markup import printable
from transferkit.evaluation.page.words import (
    data_of,
    findings,
    interval,
    is_multilabel,
    number,
    recipe_of,
    settings_of,
    versions_of,
)

_PAIRS = 10
_MARKS = re.compile(r"([\\`*_{}\[\]<>()#+!|~$&])")


def card_of(report, title=None, data_check=None):
    """Returns the model card of a report.

    Args:
        report: A report.
        title: First heading. Default: what is known about the classifier.
        data_check: A report on the data, or `None`.
    """
    backbone = report.context.get("backbone")
    title = title or (f"Image classifier on {backbone}" if backbone else "Image classifier")
    parts = [
        f"# {_text(title)}",
        "\n".join(f"- {_text(sentence)}" for sentence in findings(report)),
        "## Results\n\n" + _metrics(report),
        f"## {'Labels' if is_multilabel(report) else 'Classes'}\n\n" + _classes(report),
        _confusions(report),
        _facts("## Classifier", settings_of(report)),
        _facts("## Data", data_of(report)),
        f"### Check\n\n{_fenced(data_check)}" if data_check is not None else "",
        "## How to get it again\n\n" + _fenced(recipe_of(report), "python"),
        _facts("### Versions", versions_of(report)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _metrics(report):
    rows = [
        [
            _text(metric.title),
            *(
                ("–", _text(metric.unavailable))
                if metric.unavailable
                else (number(metric.value), interval(metric) or "–")
            ),
        ]
        for metric in report.metrics.values()
    ]
    return _table(["metric", "value", "95 % interval"], rows)


def _classes(report):
    columns = {"images": report.support, "recall": report.recall, "precision": report.precision, "F1": report.f1}
    if is_multilabel(report):
        columns |= {"AP": report.average_precision, "threshold": report.thresholds}
    rows = [
        [
            _text(name),
            *(f"{column[code]:,}" if title == "images" else number(column[code]) for title, column in columns.items()),
        ]
        for code, name in enumerate(report.class_names.tolist())
    ]
    return _table(["label" if is_multilabel(report) else "class", *columns], rows)


def _confusions(report):
    pairs = report.confused_pairs[:_PAIRS]
    rows = [[_text(pair.true), _text(pair.predicted), f"{pair.count:,}", number(pair.share)] for pair in pairs]
    return (
        "## Most frequent mistakes\n\n" + _table(["true", "taken for", "images", "of the class"], rows) if rows else ""
    )


def _facts(heading, pairs):
    rows = [f"- {_text(name)}: {_text(value)}" for name, value in pairs]
    return "\n".join([heading, "", *rows]) if rows else ""


def _table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(value):
    """Text on one line in which nothing is a mark of Markdown or HTML."""
    return _MARKS.sub(r"\\\1", " ".join(printable(value).split()))


def _fenced(text, language=""):
    """Text as it is, in a fence longer than any in it."""
    longest = max(map(len, re.findall(r"`+", str(text))), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{printable(text)}\n{fence}"
