"""The sections of a page: what a report has to say, from the headline to how to do it again."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from transferkit._utils.text import plural
from transferkit.evaluation.page.markup import Markup, markup_of, named, tag
from transferkit.evaluation.page.pictures import image_source, svg_of
from transferkit.evaluation.page.words import (
    data_of,
    findings,
    in_words,
    interval,
    is_multilabel,
    number,
    percent,
    recipe_of,
    settings_of,
    short_names,
    versions_of,
    without_common_folder,
)
from transferkit.evaluation.plots.confusion import matrix_size
from transferkit.evaluation.plots.history import metrics_of

_WORST, _DOUBTFUL = 18, 12  # images
_PAIRS = 12
_PLOT, _HISTORY = (3.6, 3.2), (3.8, 2.7)  # inches
_WIDE = 5  # inches from which on a plot has the page to itself
_LONG = 20  # letters of a word that may be broken
_MANY = 24  # rows from which on a table scrolls


@dataclass(frozen=True)
class Section:
    """One section: its key, its title, a short one for the list of sections, a sentence below it, and what is in it."""

    key: str
    title: str
    short: str
    lead: str
    content: Markup


def sections_of(report, data_check=None, label_errors=None):
    """Returns the `Section` of a report, those left out that would be empty.

    Args:
        report: A report.
        data_check: A report on the data, whose text is shown, or `None`.
        label_errors: `LabelErrors`, or `None`.
    """
    made = [
        _headline(report),
        _mistakes(report),
        _worst_images(report),
        _confidence(report),
        _classes(report),
        _training(report),
        _data(report, data_check),
        _labels(label_errors),
        _reproduction(report),
    ]
    return [section for section in made if section is not None]


# ---- how good ----


def _headline(report):
    first = next(iter(report.metrics.values()))
    told = tag("ul", [tag("li", sentence) for sentence in findings(report)])
    big = tag("div", tag("span", percent(first.value)[:-2], tag("small", "%")), class_="number")
    between = f"95 % interval {percent(first.low)} to {percent(first.high)}" if interval(first) else None
    figure = tag(
        "div", tag("div", first.title, class_="soft"), big, tag("div", between, class_="soft"), class_="figure"
    )
    metrics = tag("dl", [_metric(metric) for metric in report.metrics.values()], class_="metrics")
    note = "Ranges are 95 % intervals: what the choice of just these images leaves open."
    return _section(
        "headline",
        "How good it is",
        "Summary",
        "",
        [tag("div", figure, told, class_="hero"), metrics, tag("p", note, class_="soft note")],
    )


def _metric(metric):
    if metric.unavailable:
        shown = [tag("dd", "–", class_="value"), tag("dd", metric.unavailable, class_="reason")]
    else:
        shown = [
            tag("dd", number(metric.value), class_="value"),
            tag("dd", _strip(metric), interval(metric), class_="between"),
        ]
    return tag("div", tag("dt", metric.title), shown)


def _strip(metric):
    """A line from 0 to 1 with the interval and the value on it, or nothing for numbers that lie elsewhere."""
    if interval(metric) is None or not 0 <= metric.low <= metric.value <= metric.high <= 1:
        return None
    between = f"left: {metric.low:.2%}; width: {metric.high - metric.low:.2%}"
    return tag(
        "div", tag("i", style=between), tag("b", style=f"left: {metric.value:.2%}"), class_="strip", aria_hidden="true"
    )


# ---- where it is wrong ----


def _mistakes(report):
    pairs = report.confused_pairs
    if not pairs:
        return _section("mistakes", "Where it is wrong", "Mistakes", "", tag("p", "There is no mistake."))
    shown = []
    if not is_multilabel(report):
        shown.append(
            _plot(
                report.plot_confusion_matrix,
                "Confusion matrix",
                "matrix",
                "Blue: right. Orange: mistakes. The stronger, the larger the share of the true class.",
                matrix_size(len(report.class_names)),
            )
        )
    rows = [
        [_name_cell(pair.true), _name_cell(pair.predicted), _count_cell(pair.count), _rate_cell(pair.share)]
        for pair in pairs[:_PAIRS]
    ]
    title = "Most confused" if len(pairs) > _PAIRS else "All that was confused"
    shown.append(
        tag("div", tag("h3", title), _table([("true", 1), ("taken for", 1), ("images", 0), ("of the class", 0)], rows))
    )
    lead = f"{plural(len(pairs), 'pair')} of classes were confused at least once."
    return _section("mistakes", "Where it is wrong", "Mistakes", lead, tag("div", shown, class_="beside"))


def _worst_images(report):
    worst, doubtful = report.worst_mistakes(_WORST), report.least_confident(_DOUBTFUL)
    groups = [
        ("Worst mistakes", "Wrong, and the most certain of it.", worst),
        ("Least confident", "Right or wrong, these were the closest calls.", doubtful),
    ]
    content = [
        [tag("h3", title, " ", tag("span", text, class_="soft")), _images(report, judged)]
        for title, text, judged in groups
        if judged
    ]
    return _section("images", "Images to look at", "Images", "", content)


def _images(report, judged):
    rows = [image.index for image in judged]
    pictures = _read(report.images, rows)
    names = short_names(report, rows)
    if pictures is None:
        return _image_table(judged, names)
    return _gallery(pictures, list(map(_caption, judged)), names)


def _read(images, rows):
    """The images, or `None` where they are not at hand or have been deleted since."""
    if images is None:
        return None
    try:
        return images(rows)
    except (OSError, ValueError):  # as for images that cannot be read
        return None


def _gallery(pictures, captions, names):
    figures = [
        tag(
            "figure",
            tag("img", src=image_source(pixels), alt=name, loading="lazy"),
            tag("figcaption", caption, tag("span", named(name), class_="name", title=name)),
        )
        for pixels, caption, name in zip(pictures, captions, names, strict=True)
    ]
    return tag("div", figures, class_="images")


def _caption(image):
    is_right = image.true == image.predicted
    predicted = None if is_right else [" → ", tag("span", named(in_words(image.predicted)), class_="wrong")]
    labels = tag("span", named(in_words(image.true)), predicted, class_="labels")
    return [labels, f" {percent(image.probability)}"]


def _image_table(judged, names):
    rows = [
        [
            _name_cell(name),
            _name_cell(in_words(image.true)),
            _name_cell(in_words(image.predicted)),
            _rate_cell(image.probability),
        ]
        for image, name in zip(judged, names, strict=True)
    ]
    return _table([("image", 1), ("true", 1), ("predicted", 1), ("probability", 0)], rows)


# ---- can it be believed ----


def _confidence(report):
    kinds = "label" if is_multilabel(report) else "class"
    shown = [
        _plot(
            report.plot_reliability,
            "Reliability",
            "reliability",
            f"Below the diagonal: too sure. {len(report.reliability.count)} bins of as many predictions each.",
        ),
        _plot(report.plot_roc, "ROC", "roc", f"Each {kinds} against the rest."),
        _plot(
            report.plot_precision_recall, "Precision and recall", "precision-recall", f"Each {kinds} against the rest."
        ),
    ]
    return _section(
        "confidence", "What its probabilities are worth", "Confidence", "", tag("div", shown, class_="beside")
    )


# ---- class by class ----


def _classes(report):
    many = is_multilabel(report)
    headings = [("label" if many else "class", 1), ("images", 0), ("recall", 0), ("precision", 0), ("F1", 0)]
    headings += [("AP", 0), ("threshold", 0)] if many else [("most often taken for", 1)]
    taken_for = {}
    for pair in report.confused_pairs:
        taken_for.setdefault(pair.true, pair.predicted)
    rows = []
    for code, name in enumerate(report.class_names.tolist()):
        rates = [report.recall, report.precision, report.f1] + ([report.average_precision] if many else [])
        last = _count_cell(float(report.thresholds[code])) if many else _name_cell(taken_for.get(name, ""))
        rows.append(
            [
                _name_cell(name),
                _count_cell(int(report.support[code])),
                *(_rate_cell(rate[code]) for rate in rates),
                last,
            ]
        )
    lead = (
        "Recall: the share of its images that is found. Precision: the share of what is called so that is so. "
        "A heading sorts the table."
    )
    title = "Label by label" if many else "Class by class"
    return _section("classes", title, "Labels" if many else "Classes", lead, _table(headings, rows, is_sortable=True))


# ---- where it comes from ----


def _training(report):
    history = report.context.get("history") or {}
    plots = [
        _plot(partial(report.plot_history, metric), metric.capitalize(), f"history-{metric}", size=_HISTORY)
        for metric in metrics_of(history)[:4]
        if metric in ("loss", "accuracy")
    ]
    facts = settings_of(report)
    if not plots and not facts:
        return None
    content = [
        tag("div", plots, class_="beside") if plots else None,
        tag("h3", "Settings"),
        _facts(facts, "facts wide"),
    ]
    return _section("training", "How it was trained", "Training", "", content)


def _data(report, data_check):
    content = [_facts(data_of(report))]
    if data_check is not None:
        content += [tag("h3", "Check of the images"), tag("pre", str(data_check), class_="wrapped")]
    return _section("data", "What it was evaluated on", "Data", "", content)


def _labels(errors):
    """Images whose labels may be wrong, the most suspicious ones as pictures."""
    if errors is None:
        return None
    lead = f"{plural(len(errors), 'label')} of {plural(len(errors.scores), 'image')} may be wrong."
    shown = errors.rows[:_WORST]
    if not shown:
        return _section("labels", "Labels to check", "Labels to check", lead)
    names = without_common_folder([error.path or f"image {error.index}" for error in shown])
    pictures = _read(errors.images, errors.ranking[: len(shown)])
    judged = [(in_words(error.given), in_words(error.likely), error.score) for error in shown]
    return _section("labels", "Labels to check", "Labels to check", lead, _suspects(judged, names, pictures))


def _suspects(judged, names, pictures):
    if pictures is None:
        rows = [
            [_name_cell(name), _name_cell(given), _name_cell(likely), _count_cell(score)]
            for (given, likely, score), name in zip(judged, names, strict=True)
        ]
        return _table([("image", 1), ("label", 1), ("likely", 1), ("score", 0)], rows)
    captions = [
        [tag("span", named(given), " → ", tag("span", named(likely), class_="wrong"), class_="labels"), " ?"]
        for given, likely, _ in judged
    ]
    return _gallery(pictures, captions, names)


def _reproduction(report):
    versions = versions_of(report)
    shown = [tag("pre", recipe_of(report))]
    if versions:
        shown.append(tag("div", tag("h3", "Versions"), _facts(versions)))
    return _section("again", "How to get it again", "Reproduce", "", tag("div", shown, class_="beside"))


# ---- parts ----


def _section(key, title, short, lead, *content):
    return Section(key, title, short, lead, markup_of(content))


def _plot(draw, title, key, text=None, size=_PLOT):
    svg = svg_of(draw, title, key, size)
    caption = tag("figcaption", title, tag("span", text, class_="soft") if text else None)
    return tag("figure", caption, svg, class_="plot wide" if size[0] > _WIDE else "plot")


def _facts(pairs, class_="facts"):
    return tag("dl", [[tag("dt", name), tag("dd", named(value))] for name, value in pairs], class_=class_)


def _table(headings, rows, is_sortable=False):
    """A table with `(title, whether it is text)` for each column."""
    kinds = ["text" if is_text else None for _, is_text in headings]
    titles = [tag("button", title, type="button") if is_sortable else title for title, _ in headings]
    head = tag("tr", [tag("th", title, class_=kind, scope="col") for title, kind in zip(titles, kinds, strict=True)])
    body = [tag("tr", row) for row in rows]
    is_long = len(rows) > _MANY
    return tag(
        "div", tag("table", tag("thead", head), tag("tbody", body)), class_="scroll long" if is_long else "scroll"
    )


def _name_cell(text):
    is_long = any(len(word) > _LONG for word in str(text).split())
    return tag("td", named(text), class_="text long-word" if is_long else "text")


def _count_cell(value):
    return tag("td", f"{value:,}" if isinstance(value, int) else number(value), data_value=value)


def _rate_cell(value):
    if not np.isfinite(value):
        return tag("td", "–", data_value="")
    return tag(
        "td", number(value), class_="rate", data_value=f"{value:.6g}", style=f"--share: {min(max(value, 0), 1):.4f}"
    )
