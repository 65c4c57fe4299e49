"""What predicts reads each image once: nobody looks beforehand whether it can be read."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from transferkit import Checks, ImageFormat, TransferClassifier
from transferkit.data.decoder import Decoder
from transferkit.exceptions import ImageReadError


@pytest.fixture(autouse=True)
def nothing_kept(fitted_classifier):
    """What other tests have computed would not be read at all."""
    vars(fitted_classifier.fitted_).pop("predictor", None)


@pytest.fixture
def decoded(monkeypatch):
    """Counts how often each image is decoded; images in memory by their identity."""
    counts, decode = Counter(), Decoder.decode

    def counting(decoder, image, *file):
        is_path = isinstance(image, str | os.PathLike)
        counts[str(image) if is_path else id(image)] += 1
        return decode(decoder, image, *file)

    monkeypatch.setattr(Decoder, "decode", counting)
    return counts


@pytest.fixture
def broken_paths(image_paths, tmp_path):
    """The paths of 24 images and, in the first, third and last place, of files that cannot be read."""
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "short.png").write_bytes(Path(image_paths[0]).read_bytes()[:200])
    names = ["empty.png", "text.jpg", "short.png"]
    first, second, last = (str(tmp_path / name) for name in names)
    return [first, image_paths[0], second, *image_paths[1:], last]


METHODS = ("predict", "predict_proba", "predict_files")


@pytest.mark.parametrize("method", METHODS)
def test_each_file_of_a_folder_is_read_once(method, fitted_classifier, image_folder, image_paths, decoded):
    assert len(getattr(fitted_classifier, method)(image_folder)) == 24
    assert sorted(decoded) == sorted(map(str, image_paths))
    assert set(decoded.values()) == {1}


def test_each_file_is_read_once_to_evaluate(fitted_classifier, image_folder, decoded):
    assert fitted_classifier.evaluate(image_folder).support.sum() == 24
    assert set(decoded.values()) == {1}
    assert len(decoded) == 24


@pytest.mark.parametrize("method", METHODS)
def test_each_image_in_a_list_is_read_once(method, fitted_classifier, images, decoded):
    pictures = [Image.fromarray(image) for image in images]
    getattr(fitted_classifier, method)(pictures)
    assert [decoded[id(picture)] for picture in pictures] == [1] * 24


@pytest.mark.parametrize("method", METHODS)
def test_an_array_is_not_decoded(method, fitted_classifier, images, decoded):
    getattr(fitted_classifier, method)(images)
    assert not decoded


@pytest.mark.parametrize("method", METHODS)
def test_all_broken_files_are_named_though_each_is_read_once(method, fitted_classifier, broken_paths, decoded):
    with pytest.raises(ImageReadError, match=r"(?s)3 of 27 images could not be read:\n.*on_bad_image") as info:
        getattr(fitted_classifier, method)(broken_paths)
    assert [(index, os.path.basename(name)) for index, name, _ in info.value.failures] == [
        (0, "empty.png"),
        (2, "text.jpg"),
        (26, "short.png"),
    ]
    reasons = [reason for _, _, reason in info.value.failures]
    assert reasons[:2] == ["the file is empty", "not an image that Pillow can identify"]
    assert "truncated" in reasons[2]
    assert len(decoded) == 26  # the empty one is not even opened
    assert set(decoded.values()) == {1}


@pytest.mark.parametrize("batch_size", [4, 24, 32])
def test_files_around_broken_ones_get_what_they_get_alone(
    batch_size, fitted_classifier, image_paths, broken_paths, decoded, monkeypatch
):
    monkeypatch.setattr(fitted_classifier, "batch_size", batch_size)
    monkeypatch.setattr(fitted_classifier, "checks", Checks(on_bad_image="skip"))
    expected = fitted_classifier.predict_files(image_paths)
    decoded.clear()
    found = fitted_classifier.predict_files(broken_paths)
    assert set(decoded.values()) == {1}
    assert [found[place].label for place in (0, 2, 26)] == [None] * 3
    assert all(np.isnan(found[place].probability) for place in (0, 2, 26))
    assert [row for row in found if row.label is not None] == expected  # to the last digit


def test_evaluation_says_what_it_has_skipped(fitted_classifier, broken_paths, labels, capsys, monkeypatch):
    monkeypatch.setattr(fitted_classifier, "checks", Checks(on_bad_image="skip"))
    monkeypatch.setattr(fitted_classifier, "verbose", 2)
    given = [labels[0], labels[0], labels[0], *labels[1:], labels[0]]
    assert fitted_classifier.evaluate(broken_paths, given).support.sum() == 24
    assert "Skipped 3 of 27 images that could not be read:" in capsys.readouterr().out


@pytest.mark.parametrize("on_bad_image", ["raise", "skip"])
def test_nothing_readable_is_an_error_in_any_case(on_bad_image, fitted_classifier, broken_paths, monkeypatch):
    monkeypatch.setattr(fitted_classifier, "checks", Checks(on_bad_image=on_bad_image))
    with pytest.raises(ImageReadError, match="2 of 2 images could not be read"):
        fitted_classifier.predict_files([broken_paths[0], broken_paths[-1]])


def test_more_pixels_than_pillow_allows_are_a_reason(fitted_classifier, image_paths, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20 * 24 - 1)
    with pytest.raises(ImageReadError, match="all for one reason: more than 479 pixels"):
        fitted_classifier.predict(image_paths)


def test_files_of_several_channels_are_read_once(tmp_path, decoded, tiny_backbone):
    spectra = np.random.default_rng(0).integers(0, 2**16, (8, 20, 24, 5), dtype="uint16")
    paths = [tmp_path / f"{number}.npy" for number in range(8)]
    for path, spectrum in zip(paths, spectra, strict=True):
        np.save(path, spectrum)
    clf = TransferClassifier(
        tiny_backbone,
        image_size=ImageFormat(channels=5),
        batch_size=4,
        verbose=0,
        checks=Checks(on_bad_image="skip"),
    )
    clf.fit(paths, ["a", "b"] * 4)
    expected = clf.predict_proba(spectra)
    paths[3].write_bytes(paths[3].read_bytes()[:300])
    decoded.clear()
    found = clf.predict_files(paths)
    assert found[3].label is None
    assert [row.probability for row in found if row.label is not None] == pytest.approx(
        np.delete(expected, 3, axis=0).max(axis=1), abs=1e-5
    )
    assert set(decoded.values()) == {1}
    with pytest.raises(ImageReadError, match="1 of 8 images could not be read"):
        clf.predict(paths)


def test_another_number_of_channels_is_one_reason_for_all(fitted_classifier, image_paths, tmp_path):
    for number in range(2):
        np.save(tmp_path / f"{number}.npy", np.zeros((8, 8, 5), "uint8"))
    with pytest.raises(ImageReadError, match="all for one reason: the array must have 1 .gray. or 3 .RGB. channels"):
        fitted_classifier.predict(tmp_path)
