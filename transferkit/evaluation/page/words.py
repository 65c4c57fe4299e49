"""What reports say in words, on pages and on cards alike."""

import math
import os
import re

import numpy as np

from transferkit._utils.text import plural

_CALL = re.compile(r"[A-Za-z_][\w.]*\(.*\)", re.DOTALL)


def in_words(label):
    """A label of an image, or several of them, as text."""
    if isinstance(label, tuple):
        return " + ".join(map(str, label)) or "no label"
    return str(label)


def findings(report):
    """Sentences on what is most worth knowing about a report."""
    found = [_share_right(report), _worst_class(report), _most_confused(report), _trust(report)]
    return [sentence for sentence in found if sentence]


def _share_right(report):
    right = round(report.accuracy * report.num_images)
    what = "All labels are right" if is_multilabel(report) else "The prediction is right"
    return f"{what} for {right:,} of {plural(report.num_images, 'image')}."


def _worst_class(report):
    known = np.flatnonzero(report.support)
    if len(known) < 2:
        return None
    worst = known[report.recall[known].argmin()]
    size = int(report.support[worst])
    found = round(report.recall[worst] * size)
    return f"Found least often: {report.class_names[worst]}, {found:,} of {plural(size, 'image')}."


def _most_confused(report):
    if not report.confused_pairs:
        return None
    pair = report.confused_pairs[0]
    return f"Most frequent mistake: {pair.true} taken for {pair.predicted}, {times(pair.count)}."


def _trust(report):
    bins = report.reliability
    gap = float(np.average(bins.confidence - bins.accuracy, weights=bins.count))
    which = "too high" if gap > 0 else "too low"
    if is_multilabel(report) or abs(gap) < 0.01:
        return f"Probabilities are off by {percent(bins.error)} on average."
    return f"Probabilities of what is predicted are {percent(abs(gap))} {which} on average."


def is_multilabel(report):
    """Whether an image can have any number of labels."""
    return report.labels.ndim == 2


def times(count):
    """How often something happened, in words."""
    return {1: "once", 2: "twice"}.get(count, f"{count:,} times")


def number(value):
    """A number as it is read best, or a dash for none."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:,.1f}"


def percent(share):
    """A share in percent, which stays on the line of its sign."""
    return f"{100 * share:.1f}\u00a0%"


def interval(metric):
    """The interval of a metric in words, or `None`."""
    if not (math.isfinite(metric.low) and math.isfinite(metric.high)):
        return None
    return f"{number(metric.low)} to {number(metric.high)}"


def short_names(report, rows):
    """Names of images without the folders that all images of the report have in common.

    Args:
        report: A report.
        rows: Rows of images in it.

    Returns:
        A list of one name each.
    """
    return without_common_folder([report.name(row) for row in rows], report.names)


def without_common_folder(names, all_names=None):
    """Returns names of files without the folders that all of `all_names` have in common, or all of `names`."""
    folder = _common_folder(all_names or names)
    return [os.path.relpath(name, folder) if folder else name for name in names]


def _common_folder(names):
    folders = {os.path.dirname(name) for name in names}
    if "" in folders:  # some are no paths
        return None
    try:
        return os.path.commonpath(folders)
    except ValueError:  # absolute and relative ones, or of several drives, or none
        return None


def settings_of(report):
    """What is known about the classifier, as pairs of a name and a value in words."""
    context = report.context
    facts = {"backbone": context.get("backbone"), "image size": _size(context.get("image_size"))}
    facts["phases"] = ", ".join(map(str, context.get("phases") or ()))
    settings = context.get("settings") or {}
    facts |= {name: value for name, value in settings.items() if name not in ("image_size", "backbone")}
    return [(name, value_in_words(value)) for name, value in facts.items() if value not in (None, "", {}, [], ())]


def _size(size):
    return " × ".join(map(str, size)) + " px" if isinstance(size, list | tuple) else size


def value_in_words(value):
    """A value of JSON on one line."""
    if isinstance(value, dict):
        return ", ".join(f"{name}: {value_in_words(each)}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(value_in_words, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def data_of(report):
    """What is known about the images, as pairs of a name and a value in words."""
    support = np.asarray(report.support)
    kind = "label" if is_multilabel(report) else "class"
    facts = [
        ("images evaluated", f"{report.num_images:,}"),
        (f"{kind}es" if kind == "class" else "labels", f"{len(support):,}"),
        (f"images of a {kind}", _between(support)),
    ]
    if missing := int((support == 0).sum()):
        facts.append((f"{kind}es without images" if kind == "class" else "labels without images", f"{missing:,}"))
    if report.groups is not None:
        facts.append(("groups", f"{len(np.unique(report.groups)):,}"))
    data = dict(report.context.get("data") or {})
    if data.get("images_chosen_by") == 0:
        data["images_chosen_by"] = "none, but by cross-validation"
    return facts + [(str(name).replace("_", " "), value_in_words(value)) for name, value in data.items()]


def _between(counts):
    low, high = counts.min(), counts.max()
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def recipe_of(report):
    """Lines of Python that train and evaluate such a classifier again, as far as the report knows how."""
    settings = {"backbone": report.context.get("backbone"), **(report.context.get("settings") or {})}
    arguments = [f"    {name}={_code(value)}," for name, value in settings.items() if value or name != "backbone"]
    call = "\n".join(["TransferClassifier(", *arguments, ")"]) if arguments else "TransferClassifier()"
    return (
        "from transferkit import TransferClassifier\n\n"
        f"clf = {call}\n"
        "clf.fit(training_images)\n"
        "report = clf.evaluate(test_images)\n"
        'report.to_html("report.html")'
    )


def _code(value):
    """A value as code. What JSON does not know is kept as the code that makes it, such as `Head(units=64)`."""
    return value if isinstance(value, str) and _CALL.fullmatch(value) else repr(value)


def versions_of(report):
    """Versions of what trained the classifier and, where they are others, of what evaluated it."""
    evaluated = dict(report.context.get("versions") or {})
    trained = dict(report.context.get("trained_with") or evaluated)
    return [(name, _both(trained.get(name), evaluated.get(name))) for name in {**trained, **evaluated}]


def _both(trained, evaluated):
    if trained == evaluated or evaluated is None:
        return trained
    return f"{evaluated} (trained with {trained})" if trained else evaluated
