import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from transferkit._utils.console import Console, speaking_to
from transferkit._utils.fingerprints import fingerprint_images
from transferkit.data.inputs.convert import as_source
from transferkit.data.quality.inspection import find_unreadable, inspect_images, keep_readable
from transferkit.data.readers import read_pixels
from transferkit.exceptions import ImageReadError


@pytest.fixture
def spoiled(tmp_path):
    """Ten JPEG files, of which the third is cut short and the sixth is text."""
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{number}.jpg" for number in range(10)]
    for path in paths:
        Image.fromarray(rng.integers(0, 255, (64, 64, 3), dtype="uint8")).save(path)
    paths[2].write_bytes(paths[2].read_bytes()[:1500])
    paths[5].write_text("no image")
    return as_source(paths, [0, 1] * 5)


def huge_png(path):
    """The header of a PNG of 10,000 × 10,000 pixels, more than Pillow's limit, and less than twice as much."""
    Image.new("L", (8, 8)).save(path)
    data = path.read_bytes()
    header = b"IHDR" + struct.pack(">II", 10000, 10000) + data[24:29]
    path.write_bytes(data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:])
    return path


def test_all_unreadable_files_are_found_with_a_reason(spoiled):
    failures = find_unreadable(spoiled)
    assert [index for index, _, _ in failures] == [2, 5]
    assert "truncated" in failures[0][2]
    assert failures[1][2] == "not an image that Pillow can identify"


def test_unreadable_files_are_raised_together(spoiled):
    with pytest.raises(
        ImageReadError, match=r"(?s)2 of 10 images could not be read.*2\.jpg.*5\.jpg.*on_bad_image"
    ) as info:
        keep_readable(spoiled, "raise")
    assert [index for index, _, _ in info.value.failures] == [2, 5]


def test_unreadable_files_can_be_skipped(spoiled, capsys):
    with speaking_to(Console(2)):
        kept = keep_readable(spoiled, "skip")
    assert len(kept) == 8
    assert kept.labels.tolist() == [0, 1, 1, 0, 0, 1, 0, 1]
    assert not find_unreadable(kept)
    assert "Skipped 2 of 10 images" in capsys.readouterr().out


def test_nothing_readable_is_an_error_even_if_skipping(spoiled):
    with pytest.raises(ImageReadError):
        keep_readable(spoiled.take([2, 5]), "skip")


def test_an_empty_file_a_pipe_and_a_lost_file_are_named(tmp_path, image_paths):
    empty, pipe, lost = (tmp_path / name for name in ("empty.png", "pipe.png", "lost.png"))
    empty.touch()
    lost.touch()
    os.mkfifo(pipe)
    source = as_source([image_paths[0], pipe, empty, lost])
    lost.unlink()
    reasons = {index: reason for index, _, reason in find_unreadable(source)}
    assert reasons == {1: "not a file", 2: "the file is empty", 3: "no such file or directory"}


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
    source = as_source(odd_folder, needs_labels=needs_labels)
    with pytest.raises(
        ImageReadError, match=r"(?s)3 of 5 images .*2\.png: no such file.*3\.png: not a file.*not a file"
    ):
        keep_readable(source, "raise")
    assert [Path(path).name for path in keep_readable(source, "skip").images] == ["1.png", "1.png"]
    with pytest.raises(OSError, match="not a file"):  # without waiting
        read_pixels(odd_folder / "dog" / "2.png")


def test_more_pixels_than_pillow_allows_are_refused_before_they_are_decoded(tmp_path):
    ((_, name, reason),) = find_unreadable(as_source([huge_png(tmp_path / "huge.png")]))
    assert name.endswith("huge.png")
    assert "PIL.Image.MAX_IMAGE_PIXELS" in reason


def test_the_limit_of_pixels_is_that_of_pillow(monkeypatch, image_paths):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20 * 24 - 1)
    assert len(find_unreadable(as_source(image_paths))) == len(image_paths)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20 * 24)
    assert not find_unreadable(as_source(image_paths))


def test_large_images_are_decoded_one_at_a_time(monkeypatch, image_paths):
    from transferkit.data import readers

    inside, most = [], []

    class Turn:
        def __enter__(self):
            inside.append(1)
            most.append(len(inside))

        def __exit__(self, *_):
            inside.pop()

    monkeypatch.setattr(readers, "_turn", Turn())
    read_pixels(image_paths[0])
    assert not most
    monkeypatch.setattr(readers, "_LARGE_PIXELS", 100)
    read_pixels(image_paths[0])
    inspect_images(as_source(image_paths[:1]))
    assert most == [1, 1]


def test_sizes_are_those_of_the_files(tmp_path):
    paths = []
    for number, size in enumerate([(300, 200), (40, 50), (33, 8)]):  # the first is decoded at a fraction of its size
        paths += [tmp_path / f"{number}.jpg", tmp_path / f"{number}.png"]
        for path in paths[-2:]:
            Image.new("RGB", size).save(path)
    sizes = inspect_images(as_source(paths)).sizes
    assert sizes.tolist() == [[200, 300]] * 2 + [[50, 40]] * 2 + [[8, 33]] * 2


def test_prints_are_those_that_features_are_kept_by(images, image_paths):
    for given in (images, list(images), image_paths, [Image.fromarray(image) for image in images]):
        source = as_source(given)
        np.testing.assert_array_equal(inspect_images(source).prints, fingerprint_images(source.images, read_pixels))


def test_a_large_file_has_the_print_of_its_bytes(monkeypatch, image_paths):
    from transferkit.data.quality import inspection

    expected = inspect_images(as_source(image_paths)).prints
    monkeypatch.setattr(inspection, "_HELD_BYTES", 10)
    seen = inspect_images(as_source(image_paths))
    np.testing.assert_array_equal(seen.prints, expected)
    assert not seen.failures


def test_thumbnails_of_a_file_and_of_its_pixels_are_the_same(images, image_paths):
    first, second = (inspect_images(as_source(given), has_thumbnails=True) for given in (images, image_paths))
    np.testing.assert_array_equal(first.thumbnails, second.thumbnails)
    assert first.thumbnails.shape == (24, 32, 32)


def test_thumbnails_of_a_jpeg_and_a_png_are_nearly_the_same(tmp_path):
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype="uint8")).resize((500, 375), Image.Resampling.BICUBIC)
    image.save(tmp_path / "a.jpg", quality=95)
    image.save(tmp_path / "a.png")
    first, second = inspect_images(as_source(tmp_path), has_thumbnails=True).thumbnails.astype(float)
    assert first.std() > 20
    assert np.abs(first - second).mean() < 2


def test_a_turned_photo_is_turned_first(tmp_path):
    image = Image.fromarray(np.linspace(0, 255, 64 * 48, dtype="uint8").reshape(64, 48))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif)
    image.transpose(Image.Transpose.ROTATE_270).save(tmp_path / "upright.jpg")
    turned, upright = inspect_images(as_source(tmp_path), has_thumbnails=True).thumbnails.astype(float)
    assert np.abs(turned - upright).max() <= 3


def test_every_image_counts_as_progress(spoiled):
    done = []
    inspect_images(spoiled, advance=done.append)
    assert sum(done) == 10


def test_another_number_of_channels_is_one_reason_for_all(image_paths):
    with pytest.raises(
        ImageReadError, match=r"all for one reason: it has 3 channels \(RGB\), but `channels=6`"
    ) as info:
        keep_readable(as_source(image_paths), "raise", channels=6)
    assert len(str(info.value).splitlines()) == 6
