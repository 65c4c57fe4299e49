from pathlib import Path

import pytest

from transferkit.data.inputs.folders import find_images, read_class_folder


@pytest.fixture
def make_files(tmp_path):
    def make(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        return tmp_path

    return make


def test_numeric_class_names_sort_by_value(make_files):
    assert read_class_folder(make_files("10/a.png", "2/a.png", "1/a.png")).labels == ["1", "2", "10"]


def test_hidden_foreign_and_empty_folders_are_ignored_with_a_note(make_files):
    folder = make_files("cat/a.png", ".ipynb_checkpoints/a.png", "__MACOSX/a.png", "texts/readme.txt")
    (folder / "empty").mkdir()
    given = read_class_folder(folder)
    assert given.labels == ["cat"]
    assert [Path(path).name for path in given.images] == ["a.png"]
    for name in (".ipynb_checkpoints", "__MACOSX", "texts", "empty"):
        assert any(repr(name) in note for note in given.notes), name


def test_images_beside_the_class_folders_are_mentioned(make_files):
    given = read_class_folder(make_files("cat/a.png", "stray.png"))
    assert given.labels == ["cat"]
    assert "Ignored 1 image directly in" in given.notes[0]


def test_images_in_subfolders_belong_to_the_class_and_hidden_files_do_not(make_files):
    given = read_class_folder(make_files("cat/b/2.JPG", "cat/1.jpeg", "cat/._1.jpeg", "cat/.hidden/3.png"))
    assert [Path(path).name for path in given.images] == ["1.jpeg", "2.JPG"]
    assert given.labels == ["cat", "cat"]


def test_files_sort_naturally(make_files):
    found = find_images(make_files("img10.png", "img9.png", "img1.png"))
    assert [Path(path).name for path in found] == ["img1.png", "img9.png", "img10.png"]


def test_parts_of_a_data_set_are_told_apart(make_files):
    given = read_class_folder(make_files("train/dog/1.png", "train/cat/2.png", "Val/cat/3.png", "test/dog/4.png"))
    found = [(Path(path).name, *rest) for path, *rest in zip(given.images, given.labels, given.parts, strict=True)]
    assert sorted(found) == [
        ("1.png", "dog", "training"), ("2.png", "cat", "training"), ("3.png", "cat", "validation"),
        ("4.png", "dog", "test"),
    ]  # fmt: skip
    assert list(dict.fromkeys(given.labels)) == ["cat", "dog"]
    assert given.notes == ("Parts of the data, by the names of their folders: Val, test, train.",)


def test_a_class_may_be_called_like_a_part(make_files):
    given = read_class_folder(make_files("train/1.png", "bus/2.png"))
    assert given.labels == ["bus", "train"]
    assert given.parts is None


def test_a_link_that_leads_back_up_is_followed_once(make_files):
    folder = make_files("a/1.png", "b/2.png")
    (folder / "a" / "up").symlink_to(folder)
    assert len(find_images(folder)) == 2
