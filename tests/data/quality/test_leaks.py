from typing import get_args

import numpy as np
import pytest

from transferkit import LeakError
from transferkit._utils.console import Console, speaking_to
from transferkit.data.checks import Checks, OnLeak
from transferkit.data.intake import Intake
from transferkit.data.quality import leaks
from transferkit.data.reader import ImageReader
from transferkit.data.resizing import ImageFormat


def sources(x, y, validation_data, verbose=0, image_size=(20, 24), groups=None, most_compared=20_000, **checks):
    intake = Intake(ImageReader(ImageFormat(image_size)), Checks(**checks), most_compared)
    with speaking_to(Console(verbose)):
        return intake.training_sources(x, y, validation_data, groups=groups)


@pytest.fixture(autouse=True)
def nothing_told(monkeypatch):
    """What is said once in a process was not said yet."""
    monkeypatch.setattr(leaks, "_told", set())


@pytest.fixture
def leaky(images, labels):
    """Training images and labels, and validation data of which two are among the training images."""
    rows = [*range(18, 24), 4, 7]
    return images[:18], labels[:18], (images[rows], labels[rows])


def test_a_leak_is_said_in_one_line(leaky, capsys):
    training, validation = sources(*leaky, 2)
    out = capsys.readouterr().out
    assert "2 of 18 training images are duplicates of validation images" in out
    assert "check_data" in out
    assert len(out.splitlines()) <= 3
    assert (len(training), len(validation)) == (18, 8)


def test_leaking_images_can_be_dropped_from_training(leaky, capsys):
    training, validation = sources(*leaky, 2, on_leak="drop")
    np.testing.assert_array_equal(training.images, np.delete(leaky[0], [4, 7], axis=0))
    assert training.class_names[training.labels].tolist() == np.delete(leaky[1], [4, 7]).tolist()
    assert len(validation) == 8
    assert "Left out 2 of 18 training images: duplicates of validation images." in capsys.readouterr().out


def test_a_leak_can_be_an_error(leaky):
    with pytest.raises(LeakError, match=r"(?s)2 of 18 training images.*image 4 = image 6.*on_leak='drop'") as info:
        sources(*leaky, on_leak="raise")
    assert info.value.leaks == ((4, "image 4", "image 6"), (7, "image 7", "image 7"))


def test_dropping_everything_is_an_error(images, labels):
    with pytest.raises(LeakError, match="24 of 24"):
        sources(images, labels, (images, labels), on_leak="drop")


@pytest.mark.parametrize("on_leak", get_args(OnLeak))
def test_without_a_leak_nothing_is_said_or_left_out(images, labels, on_leak, capsys):
    training, _ = sources(images[:18], labels[:18], (images[18:], labels[18:]), 2, on_leak=on_leak)
    assert len(training) == 18
    assert capsys.readouterr().out == "18 images of 3 classes: blue, green, red\n"


def test_near_duplicates_leak_as_well(photos):
    changed = [photos[3].resize((80, 80)), photos[50]]
    training, _ = sources(photos[:20], ["a", "b"] * 10, (changed, ["a", "b"]), on_leak="drop")
    assert len(training) == 19


def test_indices_are_those_given_even_if_images_were_skipped(tmp_path, image_paths, labels):
    (tmp_path / "bad.jpg").touch()
    paths, given = [tmp_path / "bad.jpg", *image_paths[:18]], ["blue", *labels[:18]]
    validation = (image_paths[17:], labels[17:])
    with pytest.raises(LeakError) as info:
        sources(paths, given, validation, on_bad_image="skip", on_leak="raise")
    assert info.value.leaks == ((18, image_paths[17], image_paths[17]),)
    training, _ = sources(paths, given, validation, on_bad_image="skip", on_leak="drop")
    assert training.images == image_paths[:17]


def test_duplicates_share_a_group_for_the_split(images, labels, capsys):
    rows = [*range(24), 5, 5, 7]
    source, validation = sources(images[rows], labels[rows], None, 2)
    assert validation is None
    assert len(source) == 27
    for row in range(27):
        assert (source.groups == source.groups[row]).tolist() == (np.array(rows) == rows[row]).tolist()
    assert "Among the images: 3 duplicates of other images. `check_data` lists them." in capsys.readouterr().out


def test_other_findings_share_a_line(images, labels, capsys):
    rows, given = [*range(24), 5], [*labels, "green"]
    sources(images[rows], given, None, 2, image_size=(60, 60))
    assert (
        "Among the images: 1 duplicate of other images; 1 group of duplicates with different labels; "
        "25 images smaller than half of 60 × 60 px. `check_data` lists them."
    ) in capsys.readouterr().out


def test_many_small_images_are_mentioned_once_in_a_process_and_few_never(images, labels, capsys):
    few = [*images[:22], np.zeros((4, 4, 3), "uint8"), np.ones((4, 4, 3), "uint8")]
    sources(few, labels, None, 2, image_size=(20, 24))
    assert "smaller than half" not in capsys.readouterr().out
    sources(images, labels, None, 0, image_size=(60, 60))  # said to nobody
    sources(images, labels, None, 2, image_size=(60, 60))
    assert "24 images smaller than half of 60 × 60 px" in capsys.readouterr().out
    sources(images, labels, None, 2, image_size=(60, 60))
    sources(images[:20], labels[:20], None, 2, image_size=(70, 70))
    assert "smaller than half" not in capsys.readouterr().out


def test_duplicates_join_the_groups_that_were_given(images, labels):
    rows = [*range(24), 5]
    given = np.arange(25) // 2  # 4 and 5 are of one group, 24 is of its own
    source, _ = sources(images[rows], labels[rows], None, groups=given)
    assert source.groups[4] == source.groups[5] == source.groups[24]
    assert len(np.unique(source.groups)) == 12
    assert sources(images, labels, None, groups=given[:24])[0].groups.tolist() == given[:24].tolist()


def test_without_duplicates_there_are_no_groups(images, labels):
    assert sources(images, labels, None)[0].groups is None


def test_images_of_one_kind_are_no_group(images, labels):
    rows = [*range(24), *[5] * 10]
    assert sources(images[rows], labels[rows], None)[0].groups is None


def test_among_many_images_only_exact_duplicates_are_looked_for(photos):
    changed = [photos[3].resize((80, 80)), photos[5]]
    training, _ = sources(photos[:20], ["a", "b"] * 10, (changed, ["a", "b"]), on_leak="drop", most_compared=21)
    assert len(training) == 19  # 20 but for the one that is the same in all pixels
