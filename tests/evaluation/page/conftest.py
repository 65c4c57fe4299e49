import numpy as np
import pytest

from transferkit.evaluation.multilabel import MultilabelReport
from transferkit.evaluation.page import sections
from transferkit.evaluation.page.document import page_of
from transferkit.evaluation.page.markup import Markup
from transferkit.evaluation.report import EvaluationReport

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "</style></svg>",
    "$\\frac{",
    "_a|b`",
    "\u202eevil\x00",
)

CONTEXT = {
    "backbone": "tiny <net>",
    "image_size": [16, 16],
    "phases": ["logistic head", "all"],
    "settings": {"seed": 0, "schedule": "fine_tune"},
    "history": {
        "epoch": [0, 1, 2],
        "phase": ["logistic head", "all", "all"],
        "loss": [0.9, 0.7, 0.6],
        "val_loss": [0.9, 0.8, 0.85],
        "accuracy": [0.5, 0.6, 0.7],
        "val_accuracy": [0.5, 0.6, 0.6],
    },
    "versions": {"keras": "3.15.1"},
}


def colours(rows):
    """An image for each row: large and small ones."""
    return [np.full((200, 120, 3) if row % 2 else (8, 8, 3), 40 * (row % 6), "uint8") for row in rows]


def softmax(logits):
    powers = np.exp(logits)
    return (powers / powers.sum(axis=1, keepdims=True)).astype("float32")


@pytest.fixture(scope="session")
def report():
    """A report with mistakes, of classes and files whose names would be HTML, Markdown or formulas."""
    rng = np.random.default_rng(0)
    labels = np.arange(120) % len(HOSTILE)
    probabilities = softmax(rng.normal(size=(120, len(HOSTILE))) + 1.5 * np.eye(len(HOSTILE))[labels])
    names = tuple(f"/home/me/data/{label}/<b>{row}.png" for row, label in enumerate(labels))
    return EvaluationReport(np.array(HOSTILE), labels, probabilities, names=names, context=CONTEXT, images=colours)


@pytest.fixture(scope="session")
def multilabel():
    """The same for any number of labels."""
    rng = np.random.default_rng(0)
    targets = (rng.random((90, 3)) < 0.4).astype(int)
    probabilities = (1 / (1 + np.exp(-rng.normal(size=targets.shape) - 2 * targets + 1))).astype("float32")
    return MultilabelReport(np.array(HOSTILE[:3]), targets, probabilities, np.full(3, 0.5), images=colours)


@pytest.fixture(scope="session")
def pages(report, multilabel):
    """The page of each."""
    return {"report": page_of(report), "multilabel": page_of(multilabel)}


@pytest.fixture
def without_plots(monkeypatch):
    """Leaves plots out, which take most of the time that a page takes."""
    monkeypatch.setattr(sections, "svg_of", lambda draw, label, key, size: Markup("<svg></svg>"))
