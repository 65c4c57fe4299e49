import numpy as np

from transferkit.data.inputs.convert import as_source
from transferkit.data.quality import duplicates
from transferkit.data.quality.duplicates import duplicate_groups, exact_groups, members_of
from transferkit.data.quality.inspection import inspect_images


def prints_of(contents):
    images = np.array(contents, "uint8")[:, None, None, None] * np.ones((1, 4, 4, 3), "uint8")
    return inspect_images(as_source(images)).prints


def same(first, second):
    """Whether two numberings put the same things together."""
    return np.array_equal(np.equal.outer(first, first), np.equal.outer(second, second))


def test_equal_contents_share_a_number():
    contents = [5, 2, 5, 9, 2, 5]
    assert same(exact_groups(prints_of(contents)), contents)
    assert same(duplicate_groups(prints_of(contents)), contents)


def test_groups_of_the_user_are_joined_to_those_of_duplicates():
    contents, given = [1, 2, 3, 1, 4, 5], ["a", "a", "b", "c", "c", "d"]
    assert same(duplicate_groups(prints_of(contents), groups=given), [0, 0, 1, 0, 0, 2])


def test_near_duplicates_of_duplicates_belong_together(monkeypatch):
    prints = prints_of([1, 2, 3, 1, 4])
    asked = []

    def pairs_of(thumbnails):
        asked.append(len(thumbnails))
        values = thumbnails[:, 0, 0].tolist()
        return np.array([sorted((values.index(10), values.index(30)))])

    monkeypatch.setattr(duplicates, "similar_pairs", pairs_of)
    thumbnails = np.array([10, 20, 30, 10, 40], "uint8")[:, None, None] * np.ones((1, 32, 32), "uint8")
    assert same(duplicate_groups(prints, thumbnails), [0, 1, 0, 0, 2])
    assert asked == [4]  # copies are looked at once


def test_no_images_have_no_groups():
    assert duplicate_groups(np.empty((0, 16), "uint8")).shape == (0,)


def test_members_are_listed_in_order():
    assert [members.tolist() for members in members_of(np.array([2, 1, 2, 0, 1, 1]))] == [[0, 2], [1, 4, 5]]
    groups = np.array([1, 0, 1, 0])
    assert [members.tolist() for members in members_of(groups, groups == 0)] == [[1, 3]]
    assert members_of(np.array([1, 0])) == []
