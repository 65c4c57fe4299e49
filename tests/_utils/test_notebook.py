"""The bar itself. What a real notebook shows is tested in `tests/test_notebooks.py`."""

import sys
from types import SimpleNamespace

import pytest

from transferkit._utils.notebook import NotebookBar


@pytest.fixture
def shown(monkeypatch):
    """The texts that a notebook shows; what is updated is the same output."""
    texts = []

    def update(content, raw):
        texts.append(content["text/plain"])

    def display(content, raw, display_id):
        assert not texts, "one output alone"
        update(content, raw)
        return SimpleNamespace(update=update)

    notebook = SimpleNamespace(display=SimpleNamespace(display=display))
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    monkeypatch.setitem(sys.modules, "IPython.display", notebook.display)
    return texts


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is set."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr("time.perf_counter", lambda: clock.now)
    return clock


def test_a_bar_shows_what_is_done_and_how_long_the_rest_takes(shown, clock):
    bar = NotebookBar("Computing features", 4000, patience=0)
    clock.now = 3723.0
    bar.advance(1000)
    assert shown == [f"Computing features {'━' * 8}{'─' * 22} 1,000/4,000, 1:02:03, 3:06:09 left"]


def test_nothing_is_shown_before_its_patience_ends(shown, clock):
    bar = NotebookBar("Checking", 4, patience=1.0)
    clock.now = 0.9
    bar.advance(4)
    assert not bar.replace("Checking: done")
    assert shown == []


def test_it_is_not_updated_at_every_step(shown, clock):
    bar = NotebookBar("Checking", 100, patience=0)
    for now in (0.0, 0.1, 0.15, 0.25, 0.3):
        clock.now = now
        bar.advance(1)
    assert len(shown) == 2
    assert " 1/100" in shown[0]
    assert " 4/100" in shown[1]


def test_it_becomes_a_line_of_text(shown, clock):
    bar = NotebookBar("Checking", 4, patience=0)
    bar.advance(4)
    assert bar.replace("Checking: 4 images")
    assert shown[-1] == "Checking: 4 images"


def test_more_than_was_planned_fills_the_bar_and_no_more(shown, clock):
    NotebookBar("Reading", 2, patience=0).advance(5)
    assert shown == [f"Reading {'━' * 30} 5/2, 0:00:00, 0:00:00 left"]


def test_where_nothing_is_done_yet_the_rest_is_unknown(shown, clock):
    NotebookBar("Reading", 0, patience=0).advance(0)
    assert shown == [f"Reading {'─' * 30} 0/0, 0:00:00"]
