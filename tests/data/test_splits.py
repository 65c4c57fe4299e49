import csv
import os

import numpy as np
import pytest

from transferkit.data.splits import Split, stratified_split


def test_each_class_is_on_both_sides_in_proportion():
    labels = np.repeat([0, 1, 2], [100, 10, 2])
    first, second = stratified_split(labels, 0.2, seed=0)
    assert np.array_equal(np.sort(np.concatenate([first, second])), np.arange(112))
    assert np.bincount(labels[second]).tolist() == [20, 2, 1]


def test_a_class_of_one_image_is_trained_on():
    labels = np.array([0, 1, 1, 1, 2])
    first, second = stratified_split(labels, 0.3, seed=0)
    assert labels[first].tolist() == [0, 1, 1, 2]
    assert labels[second].tolist() == [1]


def test_the_seed_decides():
    labels = np.repeat([0, 1], 50)
    one, again, other = (stratified_split(labels, 0.5, seed)[1].tolist() for seed in (0, 0, 1))
    assert one == again != other


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 20])
def test_a_share_outside_0_to_1_is_refused(fraction):
    with pytest.raises(ValueError, match="`validation_split` must be between 0 and 1"):
        stratified_split(np.array([0, 0, 1, 1]), fraction, seed=0)


@pytest.mark.parametrize(
    ("labels", "groups", "things"),
    [
        ([0, 1, 2], None, "classes have one image only"),
        ([0, 0, 1, 1], [7, 7, 7, 7], "images belong to one group"),
    ],
)
def test_nothing_to_set_aside_is_an_error(labels, groups, things):
    with pytest.raises(ValueError, match=f"Nothing can be set aside for validation: all {things}"):
        stratified_split(np.array(labels), 0.2, seed=0, groups=None if groups is None else np.array(groups))


# ---- groups ----


@pytest.mark.parametrize("seed", range(8))
def test_groups_stay_together_and_classes_are_on_both_sides(seed):
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 60, 600) * 10  # any integers
    labels = (groups // 10 + rng.integers(0, 2, 600)) % 7
    first, second = stratified_split(labels, 0.2, seed, groups)
    assert np.array_equal(np.sort(np.concatenate([first, second])), np.arange(600))
    assert np.intersect1d(groups[first], groups[second]).size == 0
    shares = np.bincount(labels[second], minlength=7) / np.bincount(labels)
    assert shares == pytest.approx(np.full(7, 0.2), abs=0.1)


def test_a_large_group_does_not_keep_a_rare_class_from_either_side():
    labels = np.array([0] * 90 + [1] * 4 + [0] * 6)
    groups = np.array([0] * 90 + [1, 1, 2, 2] + [3, 3, 3, 4, 4, 4])
    for seed in range(5):
        first, second = stratified_split(labels, 0.2, seed, groups)
        assert sorted(labels[first].tolist()).count(1) == labels[second].tolist().count(1) == 2
        assert 0 in groups[first]
        assert 0 in labels[second]


def test_the_order_of_images_does_not_matter_for_the_size_of_the_parts():
    labels, groups = np.repeat([0, 1, 2], 40), np.arange(120) // 5
    order = np.random.default_rng(1).permutation(120)
    sizes = [len(stratified_split(labels[rows], 0.25, 0, groups[rows])[1]) for rows in (np.arange(120), order)]
    assert sizes == [30, 30]


# ---- the record ----


def test_a_split_can_be_written(tmp_path):
    Split(("a.jpg", "b, c.jpg"), ("d.jpg",)).to_csv(tmp_path / "split.csv")
    with open(tmp_path / "split.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows == [["path", "split"], ["a.jpg", "training"], ["b, c.jpg", "training"], ["d.jpg", "validation"]]
    assert [path.name for path in tmp_path.iterdir()] == ["split.csv"]


@pytest.mark.skipif(os.name != "posix", reason="paths of POSIX")
@pytest.mark.parametrize(
    ("training", "validation", "expected"),
    [
        (
            ["/home/me/pets/train/cat/1.jpg", "/home/me/pets/train/dog/1.jpg"],
            ["/home/me/pets/val/cat/1.jpg"],
            ["train/cat/1.jpg", "train/dog/1.jpg", "val/cat/1.jpg"],
        ),
        (["/home/me/pets/cat/1.jpg"], [], ["1.jpg"]),
        (["pets/cat/1.jpg", "./pets/dog/../dog/2.jpg"], [], ["cat/1.jpg", "dog/2.jpg"]),
        (["1.jpg", "image 3"], ["image 12", "cat/image 12"], ["1.jpg", "image 3", "image 12", "cat/image 12"]),
        (["/home/me/a/1.jpg"], ["/mnt/b/1.jpg"], ["~/a/1.jpg", "mnt/b/1.jpg"]),
        (["/home/me/a/1.jpg"], ["/home/you/1.jpg"], ["~/a/1.jpg", "you/1.jpg"]),
        (["/home/me/1.jpg"], ["/home/me/a/1.jpg"], ["1.jpg", "a/1.jpg"]),
        (["/home/me/a/1.jpg"], ["../b/2.jpg"], ["a/1.jpg", "b/2.jpg"]),
        (["/home/mean/1.jpg"], ["/mnt/1.jpg"], ["home/mean/1.jpg", "mnt/1.jpg"]),
        (["image 0"], [], ["image 0"]),
    ],
)
def test_paths_without_their_root_tell_images_apart_and_nothing_else(monkeypatch, training, validation, expected):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setattr(os, "getcwd", lambda: "/home/me/work")
    found = Split(tuple(training), tuple(validation)).without_root()
    assert list(found.training + found.validation) == expected
    assert len(found.training) == len(training)


@pytest.mark.skipif(os.name != "posix", reason="paths of POSIX")
@pytest.mark.parametrize("home", ["/", ""])
def test_a_home_that_is_no_folder_of_its_own_hides_nothing(monkeypatch, home):
    monkeypatch.setenv("HOME", home)
    assert Split(("/a/1.jpg",), ("/b/1.jpg",)).without_root() == Split(("a/1.jpg",), ("b/1.jpg",))


def test_a_path_that_is_not_utf_8_is_written_in_its_bytes(tmp_path):
    names = ("é.jpg", os.fsdecode(b"caf\xe9/1.jpg"))
    Split(names, ()).to_csv(tmp_path / "split.csv")
    assert b"\r\ncaf\xe9/1.jpg,training\r\n" in (tmp_path / "split.csv").read_bytes()
    with open(tmp_path / "split.csv", newline="", encoding="utf-8", errors="surrogateescape") as file:
        assert [row["path"] for row in csv.DictReader(file)] == list(names)
