from transferkit._utils.text import bullets, listing, plural


def test_nouns_are_counted():
    assert [plural(1, "image"), plural(1204, "image"), plural(2, "class")] == ["1 image", "1,204 images", "2 classes"]


def test_long_lists_are_cut():
    assert listing(range(4), most=3) == "0, 1, 2 and 1 more"
    assert bullets("abc", most=2) == "  a\n  b\n  … and 1 more"
