import os
import re
import stat
from html.parser import HTMLParser

import pytest

from transferkit.evaluation.page import document
from transferkit.evaluation.page.document import page_of, write_page

WITHOUT_END = {"img", "meta", "link", "br", "hr"}


class Elements(HTMLParser):
    """Keeps all elements and their attributes, and checks that each is closed where it should be."""

    def __init__(self, text):
        super().__init__()
        self.found, self._open = [], []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        if tag not in WITHOUT_END:
            self._open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag


@pytest.mark.parametrize("name", ["report", "multilabel"])
def test_names_are_text_and_nothing_else(name, pages):
    elements = Elements(pages[name]).found
    assert [tag for tag, _ in elements].count("script") == 1
    assert [tag for tag, _ in elements].count("style") == 1 + sum(tag == "svg" for tag, _ in elements)
    assert not any(name.startswith("on") for _, attributes in elements for name in attributes)
    assert all(attributes["src"].startswith("data:image/") for tag, attributes in elements if tag == "img")


@pytest.mark.parametrize("name", ["report", "multilabel"])
def test_the_page_loads_nothing(name, pages):
    page = pages[name]
    for _, attributes in Elements(page).found:
        for name in ("src", "href", "xlink:href", "srcset", "action"):
            assert attributes.get(name, "#").startswith(("data:", "#"))
    assert not re.search(r"@import|url\((?!#)", page)


def test_the_same_report_gives_the_same_page(report, pages):
    assert page_of(report) == pages["report"]


def test_the_title_says_what_it_is(report, pages, without_plots):
    assert "<h1>Evaluation of a classifier on tiny &lt;net&gt;</h1>" in pages["report"]
    assert "<title>Flowers &amp; more</title>" in page_of(report, title="Flowers & more")


def test_a_page_replaces_another_one_and_keeps_its_permissions(report, tmp_path, without_plots):
    path = tmp_path / "report.html"
    path.write_text("old")
    path.chmod(0o640)
    write_page(report, path)
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["report.html"]


def test_what_was_there_stays_where_the_page_cannot_be_made(report, tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise RuntimeError("half way")

    path = tmp_path / "report.html"
    path.write_text("old")
    monkeypatch.setattr(document, "page_of", fail)
    with pytest.raises(RuntimeError, match="half way"):
        write_page(report, path)
    assert (os.listdir(tmp_path), path.read_text()) == (["report.html"], "old")


def test_where_no_page_can_be_is_said(report, tmp_path):
    with pytest.raises(ValueError, match="must end in '.html'. Received: .*report.pdf"):
        write_page(report, tmp_path / "report.pdf")
    with pytest.raises(FileNotFoundError, match="folder .*missing' does not exist. Make it first"):
        write_page(report, tmp_path / "missing" / "report.html")
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(IsADirectoryError, match="is a folder"):
        write_page(report, tmp_path / "folder.html")
    assert os.listdir(tmp_path) == ["folder.html"]


def test_a_full_disk_leaves_nothing(report, tmp_path, monkeypatch, without_plots):
    def full(path, *arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", full)
    with pytest.raises(OSError, match="Could not write .*report.html': No space left on device"):
        write_page(report, tmp_path / "report.html")
    assert os.listdir(tmp_path) == []
