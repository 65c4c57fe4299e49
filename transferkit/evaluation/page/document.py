"""A report as one page of HTML that needs nothing else."""

import base64
import hashlib
import os
from functools import cache
from importlib.resources import files
from pathlib import Path

from transferkit._utils.files import replacing
from transferkit._utils.text import plural
from transferkit._version import __version__
from transferkit.evaluation.page.markup import Markup, tag
from transferkit.evaluation.page.sections import sections_of


def write_page(report, path, **options):
    """Writes the page of a report into a file, all or nothing.

    Args:
        report: A report.
        path: Where to; ends in `.html`. A file that is there is replaced once the new one is complete.
        **options: As in `page_of`.

    Raises:
        ValueError: If `path` does not end in `.html`.
        IsADirectoryError: If it is a folder.
        FileNotFoundError: If its folder does not exist.
        OSError: If it cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"The file name must end in '.html'. Received: {str(path)!r}.")
    if path.is_dir():
        raise IsADirectoryError(f"{str(path)!r} is a folder. Give the name of a file.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"The folder {str(path.parent)!r} does not exist. Make it first.")
    try:
        with replacing(path) as temporary:
            temporary.touch()  # before the work is done, so that nobody waits for it in vain
            temporary.write_text(page_of(report, **options), encoding="utf-8")
    except OSError as error:
        raise OSError(error.errno, f"Could not write {os.fspath(path)!r}: {error.strerror or error}") from error


def page_of(report, title=None, data_check=None, label_errors=None):
    """Returns the page of a report.

    Args:
        report: A report.
        title: Its title; default: see `title_of`.
        data_check: A report on the data, or `None`.
        label_errors: `LabelErrors`, or `None`.
    """
    title = title or title_of(report)
    sections = sections_of(report, data_check, label_errors)
    body = [
        tag("header", tag("h1", title), tag("p", subtitle_of(report), class_="lead")),
        tag("nav", tag("div", [tag("a", part.short, href=f"#{part.key}") for part in sections]), aria_label="Sections"),
        tag("main", [_section(part) for part in sections]),
        tag("footer", f"Written by transferkit {__version__}."),
        tag("script", Markup(_asset("page.js"))),
    ]
    return f"<!doctype html>\n{tag('html', _head(title), tag('body', body), lang='en')}\n"


def title_of(report):
    """What the classifier is, as far as the report knows it."""
    backbone = report.context.get("backbone")
    return f"Evaluation of a classifier on {backbone}" if backbone else "Evaluation of a classifier"


def subtitle_of(report):
    """What it was evaluated on."""
    kind = "label" if report.labels.ndim == 2 else "class"
    return f"{plural(report.num_images, 'image')}, {plural(len(report.class_names), kind)}"


def _section(part):
    lead = tag("p", part.lead, class_="lead") if part.lead else None
    return tag("section", tag("h2", part.title), lead, part.content, id=part.key)


def _head(title):
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{_policy()}">'),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Markup(_asset("page.css"))),
    )


def _policy():
    """What a browser lets this page do: run its own script and nothing else, load nothing from anywhere."""
    digest = base64.b64encode(hashlib.sha256(_asset("page.js").encode()).digest()).decode("ascii")
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


@cache
def _asset(name):
    return files("transferkit.evaluation.page").joinpath(name).read_text(encoding="utf-8")
