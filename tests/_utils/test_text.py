import pytest

from transferkit._utils.text import bullets, human_bytes, listing, natural_key, plural


def test_nouns_are_counted():
    assert [plural(1, "image"), plural(1204, "image"), plural(2, "class")] == ["1 image", "1,204 images", "2 classes"]


def test_long_lists_are_cut():
    assert listing(range(4), most=3) == "0, 1, 2 and 1 more"
    assert bullets("abc", most=2) == "  a\n  b\n  … and 1 more"


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (1, "1 byte"),
        (512, "512 bytes"),
        (3100, "3.1 kB"),
        (41e6, "41 MB"),
        (9.96e6, "10 MB"),
        (1.24e9, "1.2 GB"),
        (999_600, "1.0 MB"),
        (5e12, "5,000 GB"),
    ],
)
def test_bytes_are_told_in_the_unit_that_fits(count, words):
    assert human_bytes(count) == words


def test_numbers_in_names_sort_by_value_and_ties_have_one_order():
    assert sorted(["img10", "img2", "img1"], key=natural_key) == ["img1", "img2", "img10"]
    assert sorted(["a01", "a1", "b"], key=natural_key) == sorted(["b", "a1", "a01"], key=natural_key)
