import os
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
    found = [(Path(path).name, *rest) for path, *rest in zip(given.images, given.labels, given.subsets, strict=True)]
    assert sorted(found) == [
        ("1.png", "dog", "training"),
        ("2.png", "cat", "training"),
        ("3.png", "cat", "validation"),
        ("4.png", "dog", "test"),
    ]
    assert list(dict.fromkeys(given.labels)) == ["cat", "dog"]
    assert given.notes == ("Parts of the data, by the names of their folders: Val, test, train.",)


def test_a_class_may_be_called_like_a_part(make_files):
    given = read_class_folder(make_files("train/1.png", "bus/2.png"))
    assert given.labels == ["bus", "train"]
    assert given.subsets is None


@pytest.mark.parametrize(
    "names",
    [("train", "test", "extra"), ("seg_train", "seg_test", "seg_pred"), ("train2017", "val2017", "annotated")],
)
def test_parts_beside_other_folders_are_refused(make_files, names):
    folder = make_files(*(f"{name}/{label}/1.png" for name in names for label in ("cat", "dog")))
    with pytest.raises(
        ValueError, match=rf"parts of the data .* beside other folders .*\({names[2]}\).*validation_data"
    ):
        read_class_folder(folder)


@pytest.mark.parametrize("inner", ["", "seg_{0}/"])
def test_parts_may_have_other_words_in_their_names_and_a_folder_in_between(make_files, inner):
    names = [f"seg_{part}/" + inner.format(part) + f"{label}/1.png" for part in ("train", "test") for label in "ab"]
    given = read_class_folder(make_files(*names))
    assert given.labels == ["a", "a", "b", "b"]
    assert sorted(given.subsets) == ["test", "test", "training", "training"]
    assert given.notes == ("Parts of the data, by the names of their folders: seg_test, seg_train.",)


def test_images_of_a_part_that_are_in_no_class_are_mentioned(make_files):
    given = read_class_folder(make_files("train/cat/1.png", "train/dog/2.png", "test/3.png", "test/4.png"))
    assert given.subsets == ["training", "training"]
    assert "Ignored 2 images directly in" in given.notes[1]


@pytest.mark.parametrize(
    "names", [("bullet_train", "freight_train"), ("test_tube", "train_station", "bus"), ("train", "bus")]
)
def test_classes_may_have_such_words_in_their_names(make_files, names):
    given = read_class_folder(make_files(*(f"{name}/old/1.png" for name in names)))
    assert (given.labels, given.subsets) == (sorted(names), None)
    assert [name for name in names if any(repr(name) in note for note in given.notes)] == [
        n for n in names if n == "train"
    ]


@pytest.mark.parametrize("target", ["..", "../..", ".", "../dog", "../dog/deep"])
def test_a_link_out_of_a_class_into_the_data_is_not_followed(make_files, target):
    folder = make_files("cat/1.png", "dog/deep/2.png")
    (folder / "cat" / "up").symlink_to(target)
    given = read_class_folder(folder)
    assert [(label, Path(path).name) for label, path in zip(given.labels, given.images, strict=True)] == [
        ("cat", "1.png"),
        ("dog", "2.png"),
    ]
    assert given.notes == (f"Did not follow the link {str(folder / 'cat' / 'up')!r}: it leads out of its class.",)
    assert [Path(path).name for path in find_images(folder / "cat")] in (["1.png"], ["1.png", "2.png"])


def test_links_to_folders_elsewhere_are_followed_but_not_in_circles(make_files):
    folder = make_files(
        "pool/cats/1.png", "pool/more/2.png", "pool/more/deep/3.png", "pool/dogs/4.png", "data/dog/5.png"
    )
    (folder / "data" / "cat").symlink_to("../pool/cats")
    for link, target in (
        ("cats/more", "../more"),
        ("cats/up", ".."),
        ("more/deep/up", "../.."),
        ("more/again", "deep"),
    ):
        (folder / "pool" / link).symlink_to(target)
    given = read_class_folder(folder / "data")
    assert [(label, Path(path).name) for label, path in zip(given.labels, given.images, strict=True)] == [
        ("cat", "1.png"),
        ("cat", "2.png"),
        ("cat", "3.png"),
        ("dog", "5.png"),
    ]


def test_a_link_beside_the_classes_that_leads_up_or_nowhere_is_no_class(make_files):
    folder = make_files("data/cat/1.png", "data/dog/2.png")
    (folder / "data" / "all").symlink_to("..")
    (folder / "data" / "cow").symlink_to("lost")
    given = read_class_folder(folder / "data")
    assert given.labels == ["cat", "dog"]
    assert "Ignored folder 'all'" in given.notes[0]
    assert "leads nowhere" in given.notes[1]


def test_what_is_called_like_an_image_counts_whatever_it_is(make_files):
    folder = make_files("cat/1.png")
    (folder / "cat" / "2.png").symlink_to("lost.png")
    os.mkfifo(folder / "cat" / "3.png")
    assert len(find_images(folder)) == len(read_class_folder(folder).images) == 3


def test_a_link_that_leads_back_up_is_not_followed(make_files):
    folder = make_files("a/1.png", "b/2.png")
    (folder / "a" / "up").symlink_to(folder)
    assert [Path(path).name for path in find_images(folder)] == ["1.png", "2.png"]
