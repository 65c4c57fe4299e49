from pathlib import Path

import pytest

from transferkit.data.folders import find_images, natural_key, scan_class_folder


@pytest.fixture
def make_files(tmp_path):
    def make(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        return tmp_path

    return make


def test_numeric_class_names_sort_by_value(make_files):
    _, labels, _ = scan_class_folder(make_files("10/a.png", "2/a.png", "1/a.png"))
    assert labels == ["1", "2", "10"]


def test_hidden_foreign_and_empty_folders_are_ignored_with_a_note(make_files):
    folder = make_files("cat/a.png", ".ipynb_checkpoints/a.png", "__MACOSX/a.png", "texts/readme.txt")
    (folder / "empty").mkdir()
    paths, labels, notes = scan_class_folder(folder)
    assert labels == ["cat"]
    assert [Path(path).name for path in paths] == ["a.png"]
    for name in (".ipynb_checkpoints", "__MACOSX", "texts", "empty"):
        assert any(repr(name) in note for note in notes), name


def test_images_beside_the_class_folders_are_mentioned(make_files):
    _, labels, notes = scan_class_folder(make_files("cat/a.png", "stray.png"))
    assert labels == ["cat"]
    assert "Ignored 1 image directly in" in notes[0]


def test_images_in_subfolders_belong_to_the_class_and_hidden_files_do_not(make_files):
    paths, labels, _ = scan_class_folder(make_files("cat/b/2.JPG", "cat/1.jpeg", "cat/._1.jpeg", "cat/.hidden/3.png"))
    assert [Path(path).name for path in paths] == ["1.jpeg", "2.JPG"]
    assert labels == ["cat", "cat"]


def test_files_sort_naturally(make_files):
    found = find_images(make_files("img10.png", "img9.png", "img1.png"))
    assert [Path(path).name for path in found] == ["img1.png", "img9.png", "img10.png"]


def test_names_with_the_same_numbers_have_one_order():
    assert sorted(["a01", "a1", "b"], key=natural_key) == sorted(["b", "a1", "a01"], key=natural_key)


def test_parts_of_a_data_set_are_no_classes(make_files):
    with pytest.raises(ValueError, match=r"called test and train: they look like parts of a data set"):
        scan_class_folder(make_files("train/cat/a.png", "test/cat/b.png"))


def test_a_link_that_leads_back_up_is_followed_once(make_files):
    folder = make_files("a/1.png", "b/2.png")
    (folder / "a" / "up").symlink_to(folder)
    assert len(find_images(folder)) == 2
