import shutil

import numpy as np
import pytest
from PIL import Image

from transferkit.data.intake import Intake
from transferkit.data.reader import ImageReader
from transferkit.data.resizing import ImageFormat

IMAGES, NAMES = np.zeros((4, 8, 8, 3), "uint8"), ["a", "b", "a", "b"]


def read(validation_data, x=IMAGES, y=NAMES):
    return Intake(ImageReader(ImageFormat((8, 8)))).training_sources(x, y, validation_data)


@pytest.mark.parametrize("weights", [(), ([1, 2, 1, 2],)])
def test_validation_data_can_be_a_tuple(weights):
    _, validation = read((IMAGES + 1, NAMES, *weights))
    assert validation.labels.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("validation_data", "received"),
    [
        (0.2, "Received: 0.2. .*`validation_split`"),
        (True, "Received: True"),
        ((IMAGES,), "a tuple of 1"),
        ([IMAGES, NAMES], "a list of 2. Make it a tuple"),
        ([["a.png", "b.png"], ["a", "b"]], "a list of 2"),
        ([["a.png"], np.array([1]), None], "a list of 3"),
    ],
)
def test_validation_data_of_another_form_are_refused_before_a_stream_is_read(validation_data, received):
    def stream():
        raise AssertionError
        yield

    with pytest.raises(
        (ValueError, TypeError), match=rf"`validation_data` must be .*\(x, y, sample_weight\).*{received}"
    ):
        read(validation_data, stream(), None)


@pytest.mark.parametrize(
    ("validation_data", "message"),
    [
        (IMAGES, "Labels are missing"),
        ((IMAGES, NAMES[:2]), "same length"),
        ((IMAGES, ["a", "b", "c", "c"]), "'c'"),
        ((IMAGES[:0], []), "empty"),
        ((IMAGES, NAMES, [1, 2]), "`sample_weight` must have"),
        ((None, NAMES), "`x` must be"),
    ],
)
def test_errors_say_that_they_are_about_validation_data(validation_data, message):
    with pytest.raises((ValueError, TypeError), match=f"In `validation_data`: .*{message}"):
        read(validation_data)


def test_a_whole_has_all_parts_and_duplicates_in_one_group(tmp_path, images, labels):
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        part = ("train", "test")[number % 2]
        (tmp_path / part / label).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / part / label / f"{number:02d}.png")
    shutil.copy(tmp_path / "train" / "blue" / "00.png", tmp_path / "test" / "red" / "copy.png")
    source = Intake(ImageReader(ImageFormat((8, 8)))).whole(tmp_path)
    assert len(source) == 25
    assert source.subsets is None
    twins = [row for row, path in enumerate(source.paths) if path.endswith(("blue/00.png", "copy.png"))]
    assert len(twins) == 2
    assert source.groups[twins[0]] == source.groups[twins[1]]
    assert len(np.unique(source.groups)) == 24


def test_a_whole_has_no_images_of_weight_0(images, labels):
    weights = np.ones(24)
    weights[3] = 0
    source = Intake(ImageReader(ImageFormat((8, 8)))).whole(images, labels, sample_weight=weights)
    assert 3 not in source.places
    assert len(source) == 23
