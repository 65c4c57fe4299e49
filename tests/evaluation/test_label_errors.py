import json
import sys

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from transferkit.evaluation import label_errors
from transferkit.evaluation.label_errors import LabelErrors, confident_classes, has_cleanlab, judge_labels

ALL = np.ones(1000, bool)


@pytest.fixture(scope="module")
def noisy():
    """True codes, given ones of which 50 are wrong, and held-out probabilities of an imperfect classifier."""
    rng = np.random.default_rng(0)
    true = rng.integers(0, 4, 1000)
    given = true.copy()
    given[:50] = (true[:50] + rng.integers(1, 4, 50)) % 4
    logits = rng.normal(size=(1000, 4))
    logits[np.arange(1000), true] += 3
    return true, given, softmax(logits, axis=1)


@pytest.fixture
def without_cleanlab(monkeypatch):
    monkeypatch.setattr(label_errors, "has_cleanlab", lambda: False)


def test_wrong_labels_have_the_lowest_scores(noisy, without_cleanlab):
    _, given, probabilities = noisy
    scores, is_suspect = judge_labels(given, probabilities, ALL)
    assert np.array_equal(scores, probabilities[np.arange(1000), given])
    assert (np.argsort(scores)[:100] < 50).sum() > 40
    assert is_suspect[:50].mean() > 0.7
    assert is_suspect[50:].mean() < 0.1


def test_the_number_of_suspects_is_that_of_confident_learning(noisy, without_cleanlab):
    _, given, probabilities = noisy
    joint = np.zeros((4, 4), int)  # by hand: the confident joint of the paper
    thresholds = [probabilities[given == k, k].mean() for k in range(4)]
    for code, row in zip(given, probabilities, strict=True):
        above = [k for k in range(4) if row[k] >= thresholds[k]]
        if above:
            joint[code, max(above, key=lambda k: row[k])] += 1
    assert judge_labels(given, probabilities, ALL)[1].sum() == joint.sum() - np.trace(joint)


def test_a_class_that_is_predicted_with_little_confidence_has_a_lower_threshold():
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4], [0.6, 0.4]])
    assert confident_classes(np.array([0, 0, 1, 1, 0]), probabilities).tolist() == [0, 0, 1, 1, 1]


def test_what_the_classifier_agrees_with_is_no_suspect(without_cleanlab):
    given = np.array([0, 0, 0, 1, 1])
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.55, 0.45], [0.85, 0.15], [0.2, 0.8]])
    assert np.flatnonzero(judge_labels(given, probabilities, ALL[:5])[1]).tolist() == [3]


def test_images_that_nobody_has_judged_have_no_score(noisy):
    _, given, probabilities = noisy
    is_judged = np.arange(1000) > 9
    scores, is_suspect = judge_labels(given, probabilities, is_judged)
    assert np.isnan(scores[:10]).all()
    assert not np.isnan(scores[10:]).any()
    assert not is_suspect[:10].any()


def test_nothing_judged_is_nothing_suspect():
    scores, is_suspect = judge_labels(np.array([0, 1]), np.zeros((2, 2)), np.zeros(2, bool))
    assert np.isnan(scores).all()
    assert not is_suspect.any()


def test_a_class_without_images_is_nobodys(without_cleanlab):
    probabilities = np.array([[0.1, 0.0, 0.9], [0.9, 0.0, 0.1], [0.8, 0.1, 0.1]])
    assert not judge_labels(np.array([0, 0, 0]), probabilities, ALL[:3])[1].any()


def test_any_number_of_labels_are_judged_class_by_class(without_cleanlab):
    rng = np.random.default_rng(0)
    true = (rng.random((500, 3)) < 0.4).astype("float32")
    probabilities = np.clip(0.1 + 0.8 * true + rng.normal(scale=0.05, size=true.shape), 0.01, 0.99)
    given = true.copy()
    given[:20, 1] = 1 - given[:20, 1]
    scores, is_suspect = judge_labels(given, probabilities, ALL[:500])
    assert is_suspect[:20].mean() > 0.8
    assert not is_suspect[20:].any()
    assert scores[:20].max() < scores[20:].min()
    assert np.allclose(scores, np.where(given == 1, probabilities, 1 - probabilities).min(axis=1))


@pytest.mark.skipif(not has_cleanlab(), reason="cleanlab is not installed")
@pytest.mark.filterwarnings("ignore")
def test_cleanlab_and_numpy_agree(noisy, monkeypatch):
    _, given, probabilities = noisy
    by_cleanlab = judge_labels(given, probabilities, ALL)
    assert "cleanlab" in sys.modules
    monkeypatch.setattr(label_errors, "has_cleanlab", lambda: False)
    by_numpy = judge_labels(given, probabilities, ALL)
    assert by_cleanlab[0] == pytest.approx(by_numpy[0], abs=1e-9)
    assert np.array_equal(by_cleanlab[1], by_numpy[1])


# ---- what is handed to the user ----


@pytest.fixture
def errors():
    return LabelErrors(
        class_names=np.array(["cat", "dog"]),
        given=["cat", "dog", "cat", "dog", "cat"],
        likely=["cat", "cat", "dog", "dog", "dog"],
        scores=np.array([0.9, 0.02, 0.001, np.nan, 0.4]),
        is_suspect=np.array([False, True, True, False, False]),
        probabilities=np.full((5, 2), 0.5, "float32"),
        paths=["a.png", "b.png", None, "d.png", "e.png"],
        indices=np.array([0, 1, 2, 3, 7]),
        images=lambda rows: [np.full((4, 6, 3), row, "uint8") for row in rows],
    )


def test_suspects_come_first_from_the_lowest_score_up(errors):
    assert [error.path for error in errors] == [None, "b.png"]
    assert errors.ranking.tolist() == [2, 1, 4, 0, 3]
    assert [error.index for error in errors.most_suspicious(3)] == [2, 1, 7]
    assert (errors[0].given, errors[0].likely) == ("cat", "dog")
    assert len(errors) == 2


def test_it_becomes_a_table_of_pandas_and_json(errors):
    table = pd.DataFrame(errors.rows)
    assert table.columns.tolist() == ["path", "index", "given", "likely", "score"]
    assert table.loc[1, "path"] == "b.png"
    assert pd.DataFrame(errors).equals(table)
    assert json.loads(json.dumps(errors.to_dict()))["label_errors"][0]["score"] == 0.001


def test_it_prints_as_a_table_and_a_notebook_shows_one(errors):
    assert str(errors).splitlines()[0] == "2 labels of 5 images may be wrong:"
    assert str(errors).splitlines()[2].split() == ["image", "2", "cat", "dog", "0.0010"]
    assert repr(errors) == "LabelErrors(2 of 5 images)"
    assert "<td" in errors._repr_html_()
    assert "b.png" in errors._repr_html_()


def test_what_it_shows_is_escaped(errors):
    errors = LabelErrors(**{**vars(errors), "paths": [None, "<b>.png", None, None, None]})
    assert "<b>" not in errors._repr_html_()


def test_suspects_are_drawn_with_their_labels(errors):
    ax = errors.plot()
    texts = [text.get_text() for text in ax.texts]
    assert texts == ["cat", "likely dog", "0.001", "dog", "likely cat", "0.020"]
    assert [int(image.get_array().max()) for image in ax.images] == [2, 1]
    assert len(errors.plot(count=1).images) == 1


def test_nothing_suspect_is_said_and_drawn(errors):
    clean = LabelErrors(**{**vars(errors), "is_suspect": np.zeros(5, bool)})
    assert str(clean) == "0 labels of 5 images may be wrong"
    assert clean._repr_html_() == "<p>0 labels of 5 images may be wrong</p>"
    assert [text.get_text() for text in clean.plot().texts] == ["no images"]


def test_without_images_nothing_is_drawn(errors):
    with pytest.raises(ValueError, match="made without images"):
        LabelErrors(**{**vars(errors), "images": None}).plot()
