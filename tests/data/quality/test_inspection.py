import os
import struct
import zlib

import numpy as np
from PIL import Image

from transferkit._utils.fingerprints import fingerprint_images
from transferkit.data.decoder import RGB, Decoder
from transferkit.data.inputs.convert import as_source
from transferkit.data.quality.inspection import inspect_images


def huge_png(path):
    """The header of a PNG of 10,000 × 10,000 pixels, more than Pillow's limit, and less than twice as much."""
    Image.new("L", (8, 8)).save(path)
    data = path.read_bytes()
    header = b"IHDR" + struct.pack(">II", 10000, 10000) + data[24:29]
    path.write_bytes(data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:])
    return path


def test_all_unreadable_files_are_found_with_a_reason(spoiled):
    failures = inspect_images(spoiled).failures
    assert [index for index, _, _ in failures] == [2, 5]
    assert "truncated" in failures[0][2]
    assert failures[1][2] == "not an image that Pillow can identify"


def test_an_empty_file_a_pipe_and_a_lost_file_are_named(tmp_path, image_paths):
    empty, pipe, lost = (tmp_path / name for name in ("empty.png", "pipe.png", "lost.png"))
    empty.touch()
    lost.touch()
    os.mkfifo(pipe)
    source = as_source([image_paths[0], pipe, empty, lost])
    lost.unlink()
    reasons = {index: reason for index, _, reason in inspect_images(source).failures}
    assert reasons == {1: "not a file", 2: "the file is empty", 3: "no such file or directory"}


def test_more_pixels_than_pillow_allows_are_refused_before_they_are_decoded(tmp_path):
    ((_, name, reason),) = inspect_images(as_source([huge_png(tmp_path / "huge.png")])).failures
    assert name.endswith("huge.png")
    assert "PIL.Image.MAX_IMAGE_PIXELS" in reason


def test_the_limit_of_pixels_is_that_of_pillow(monkeypatch, image_paths):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20 * 24 - 1)
    assert len(inspect_images(as_source(image_paths)).failures) == len(image_paths)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20 * 24)
    assert not inspect_images(as_source(image_paths)).failures


def test_large_images_are_decoded_one_at_a_time(monkeypatch, image_paths):
    from transferkit.data import decoder

    inside, most = [], []

    class Turn:
        def __enter__(self):
            inside.append(1)
            most.append(len(inside))

        def __exit__(self, *_):
            inside.pop()

    monkeypatch.setattr(decoder, "_turn", Turn())
    RGB.decode(image_paths[0])
    assert not most
    patient = Decoder(large_pixels=100)
    patient.decode(image_paths[0])
    inspect_images(as_source(image_paths[:1]), patient)
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
        np.testing.assert_array_equal(inspect_images(source).prints, fingerprint_images(source.images, RGB.decode))


def test_a_large_file_has_the_print_of_its_bytes(image_paths):
    expected = inspect_images(as_source(image_paths)).prints
    seen = inspect_images(as_source(image_paths), held_bytes=10)
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
