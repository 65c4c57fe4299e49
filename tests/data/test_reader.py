"""What an `ImageReader` does beyond what the tests of sources, inspection and streams say."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from transferkit._utils.console import Console, speaking_to
from transferkit.data.decoder import RGB, Decoder
from transferkit.data.inputs.convert import LabelRule, as_source
from transferkit.data.quality.inspection import inspect_images
from transferkit.data.reader import ImageReader
from transferkit.data.resizing import ImageFormat
from transferkit.exceptions import ImageReadError

READER = ImageReader(ImageFormat((8, 8)))


def test_unreadable_files_are_raised_together(spoiled):
    with pytest.raises(
        ImageReadError, match=r"(?s)2 of 10 images could not be read.*2\.jpg.*5\.jpg.*on_bad_image"
    ) as info:
        READER.keep_readable(spoiled, "raise")
    assert [index for index, _, _ in info.value.failures] == [2, 5]


def test_unreadable_files_can_be_skipped(spoiled, capsys):
    with speaking_to(Console(2)):
        kept = READER.keep_readable(spoiled, "skip")
    assert len(kept) == 8
    assert kept.labels.tolist() == [0, 1, 1, 0, 0, 1, 0, 1]
    assert not inspect_images(kept).failures
    assert "Skipped 2 of 10 images" in capsys.readouterr().out


def test_nothing_readable_is_an_error_even_if_skipping(spoiled):
    with pytest.raises(ImageReadError):
        READER.keep_readable(spoiled.take([2, 5]), "skip")


def test_another_number_of_channels_is_one_reason_for_all(image_paths):
    with pytest.raises(
        ImageReadError, match=r"all for one reason: it has 3 channels \(RGB\), but `channels=6`"
    ) as info:
        ImageReader(ImageFormat((8, 8), channels=6)).keep_readable(as_source(image_paths), "raise")
    assert len(str(info.value).splitlines()) == 6


@pytest.fixture
def odd_folder(tmp_path):
    """A class folder of two images and of three things that are called like images."""
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / name / "1.png")
    (tmp_path / "cat" / "2.png").symlink_to("lost.png")
    (tmp_path / "cat" / "3.png").symlink_to(os.devnull)
    os.mkfifo(tmp_path / "dog" / "2.png")
    return tmp_path


@pytest.mark.parametrize("needs_labels", [True, False])
def test_links_pipes_and_devices_in_a_folder_are_bad_images_like_others(odd_folder, needs_labels):
    source = as_source(odd_folder, label_rule=LabelRule(is_required=needs_labels))
    with pytest.raises(
        ImageReadError, match=r"(?s)3 of 5 images .*2\.png: no such file.*3\.png: not a file.*not a file"
    ):
        READER.keep_readable(source, "raise")
    assert [Path(path).name for path in READER.keep_readable(source, "skip").images] == ["1.png", "1.png"]
    with pytest.raises(OSError, match="not a file"):  # without waiting
        RGB.decode(odd_folder / "dog" / "2.png")


def test_thumbnails_are_small_and_rgb_and_of_the_images_asked_for(tmp_path):
    Image.new("RGB", (400, 200), (10, 20, 30)).save(tmp_path / "large.png")
    Image.new("L", (20, 10), 77).save(tmp_path / "gray.png")
    source = as_source([str(tmp_path / "large.png"), str(tmp_path / "gray.png")])
    gray, large = READER.thumbnails(source, np.array([1, 0]), size=100)
    assert large.shape == (50, 100, 3)
    assert large[0, 0].tolist() == [10, 20, 30]
    assert gray.shape == (10, 20, 3)
    assert (gray == 77).all()


def test_thumbnails_of_many_channels_are_gray():
    spectra = np.full((2, 8, 8, 5), 90, "uint8")
    (found,) = ImageReader(ImageFormat((8, 8), channels=5)).thumbnails(as_source(spectra, decoder=Decoder(5)), [1])
    assert found.shape == (8, 8, 3)
    assert (found == 90).all()
