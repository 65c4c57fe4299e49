import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from transferkit.evaluation import familiarity
from transferkit.evaluation.familiarity import NEIGHBOURS, Familiarity


def draw(count, seed=0, centre=3.0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(count, 8)) + centre * np.eye(8)[rng.integers(0, 3, count)]).astype("float32")


def test_it_is_the_cosine_to_the_fifth_nearest_of_the_references():
    features, others = draw(60), draw(20, seed=1)
    known = Familiarity.of(features)
    search = NearestNeighbors(n_neighbors=NEIGHBOURS + 1, metric="cosine").fit(features)
    own = 1 - search.kneighbors(features)[0][:, -1]  # the nearest is the image itself
    assert known.usual == pytest.approx(np.sort(own), abs=2e-3)
    similarities = 1 - search.kneighbors(others, NEIGHBOURS)[0][:, -1]
    expected = (1 + (own <= similarities[:, None]).sum(axis=1)) / 61
    assert known.shares(others) == pytest.approx(expected, abs=2.1 / 61)  # references are rounded


def test_as_many_familiar_images_are_refused_as_was_said():
    shares = np.concatenate([Familiarity.of(draw(200, seed)).shares(draw(200, 100 + seed)) for seed in range(20)])
    for limit in (0.05, 0.2, 0.5):
        assert np.mean(shares < limit) == pytest.approx(limit, abs=0.03)


def test_what_is_unlike_all_has_a_share_near_0():
    strange = np.eye(8, dtype="float32")[[7]] * 9
    known = Familiarity.of(draw(100))
    assert known.shares(strange) == pytest.approx(known.smallest_share) == pytest.approx(1 / 101)


def test_how_long_features_are_does_not_matter():
    known = Familiarity.of(draw(50))
    assert known.shares(100 * draw(10, 1)) == pytest.approx(known.shares(draw(10, 1)))
    assert np.isfinite(known.shares(np.zeros((1, 8), "float32"))).all()


def test_images_of_one_group_do_not_vouch_for_each_other():
    frames = np.repeat(draw(20), 10, axis=0)
    groups = np.repeat(np.arange(20), 10)
    alone, together = Familiarity.of(frames), Familiarity.of(frames, groups)
    assert alone.usual.min() > 0.999
    assert np.median(together.usual) < 0.99


def test_few_images_are_compared_with_as_many_as_there_are():
    assert len(Familiarity.of(draw(2)).usual) == 2
    assert len(Familiarity.of(draw(1)).usual) == 0
    assert Familiarity.of(draw(1)).smallest_share == 1


def test_of_many_images_some_are_kept_and_more_are_compared(monkeypatch):
    monkeypatch.setattr(familiarity, "_MOST_REFERENCES", 30)
    monkeypatch.setattr(familiarity, "_MOST_COMPARED", 70)
    known = Familiarity.of(draw(100))
    assert known.references.shape == (30, 8)
    assert known.references.dtype == "float16"
    assert len(known.usual) == 70
    assert np.array_equal(known.usual, Familiarity.of(draw(100)).usual)
    assert not np.array_equal(known.references, Familiarity.of(draw(100), seed=1).references)


def test_wide_features_have_fewer_references(monkeypatch):
    monkeypatch.setattr(familiarity, "_REFERENCE_FLOATS", 8 * 20)
    monkeypatch.setattr(familiarity, "_FEWEST_REFERENCES", 10)
    assert len(Familiarity.of(draw(100)).references) == 20


def test_blocks_change_nothing(monkeypatch):
    expected = Familiarity.of(draw(50)).shares(draw(30, 1))
    monkeypatch.setattr(familiarity, "_BLOCK", 7)
    assert np.array_equal(Familiarity.of(draw(50)).shares(draw(30, 1)), expected)
