import io

import numpy as np
import pytest
from PIL import Image

from transferkit import Table
from transferkit.data.inputs.convert import LABELLED, as_source
from transferkit.data.inputs.streams import Steps


def test_a_class_folder_gives_sorted_paths_and_labels(image_folder):
    source = as_source(image_folder, label_rule=LABELLED)
    assert len(source) == 24
    assert source.class_names.tolist() == ["blue", "green", "red"]
    assert source.labels.tolist() == [0] * 8 + [1] * 8 + [2] * 8
    assert source.paths == sorted(source.paths)


def test_every_kind_of_input_gives_the_same_labels(images, labels, image_paths):
    kinds = {
        "array": images,
        "list of paths": image_paths,
        "array of paths": np.array(image_paths),
        "PIL images": [Image.fromarray(image) for image in images],
        "list of arrays": list(images),
    }
    for name, x in kinds.items():
        source = as_source(x, labels)
        assert source.class_names.tolist() == ["blue", "green", "red"], name
        assert source.class_names[source.labels].tolist() == labels.tolist(), name


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((5, 8, 9, 3), (5, 8, 9, 3)),
        ((5, 8, 9, 1), (5, 8, 9, 1)),
        ((5, 8, 9), (5, 8, 9, 1)),
        ((8, 9, 3), (1, 8, 9, 3)),
        ((8, 9), (1, 8, 9, 1)),
    ],
)
def test_arrays_become_batches_of_images(shape, expected):
    assert as_source(np.zeros(shape, "uint8")).images.shape == expected


def test_a_part_keeps_images_and_labels_together(images, labels, image_paths):
    for x in (images, image_paths):
        part = as_source(x, labels).take([5, 2])
        assert len(part) == 2
        assert part.class_names[part.labels].tolist() == labels[[5, 2]].tolist()
        assert part.name(0) == (image_paths[5] if x is image_paths else "image 5")


def test_a_pandas_like_column_is_accepted(image_paths, labels):
    class Column:
        def __init__(self, values):
            self.values = values

        def to_numpy(self):
            return np.array(self.values, object)

    source = as_source(Column(image_paths), Column(labels.tolist()))
    assert source.paths == image_paths


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ([], ValueError, "holds no images"),
        (np.zeros((2, 8, 8, 4)), ValueError, r"must have 1 \(gray\) or 3 \(RGB\) channels.*Received: 4 channels"),
        (np.zeros((2, 8, 8, 3, 1)), ValueError, "Received: an array of shape"),
        (np.zeros((0, 8, 8, 3)), ValueError, "empty"),
        (np.full((2, 8, 8, 3), np.nan), ValueError, "NaN or infinite"),
        (np.full((2, 8, 8, 3), 0.5), ValueError, "rescale=1/255"),
        (np.full((2, 8, 8, 3), -1.0), ValueError, r"raw pixels in \[0, 255\]"),
        (np.full((2, 8, 8, 3), 256), ValueError, "values from 256 to 256"),
        (np.zeros((2, 8, 8, 3), complex), TypeError, "must hold numbers"),
        (np.zeros((2, 8, 8, 3), bool), TypeError, "Received: dtype bool"),
        (np.zeros((2, 3, 8, 8)), ValueError, r"Move the channels last by `np.moveaxis\(x, -3, -1\)`"),
        (np.full((2, 8, 8, 3), 65535, "uint16"), ValueError, "Divide 16-bit pixels by 257"),
        ("no/such/file.png", FileNotFoundError, "1 of 1 path lead to no file or folder"),
        (iter([np.zeros((8, 8, 3))]), ValueError, r"The generator may never end"),
        ([np.zeros((8, 8, 3)), "a.png"], TypeError, "Received: str at position 1"),
        ([np.zeros(8)], TypeError, r"ndarray of shape \(8,\) at position 0"),
        ([np.full((8, 8, 3), 0.5)], ValueError, "image 0 must hold raw pixels"),
        (5, TypeError, "Received: int"),
        (b"a.jpg", TypeError, r"Received: bytes. Of bytes, `os.fsdecode` makes a path, .*BytesIO"),
        (bytearray(3), TypeError, "Received: bytearray. Of bytes"),
        (io.BytesIO(b"GIF"), TypeError, "Received: BytesIO. Instead of an open file, give its path"),
        ([b"a.jpg"], TypeError, "Received: bytes at position 0. Of bytes"),
    ],
)
def test_input_that_cannot_be_images_is_refused(x, error, message):
    with pytest.raises(error, match=message):
        as_source(x)


def test_an_open_file_is_no_generator(image_paths):
    with open(image_paths[0], "rb") as file, pytest.raises(TypeError, match="Instead of an open file, give its path"):
        as_source(file)


def test_all_missing_files_are_listed(image_paths):
    with pytest.raises(FileNotFoundError, match=r"(?s)2 of 3 paths lead to no file or folder:\n  /x/1.png\n  /x/2.png"):
        as_source(["/x/1.png", image_paths[0], "/x/2.png"])


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="No images were found in folder"):
        as_source(tmp_path)


def test_a_folder_without_classes_can_be_predicted_but_not_trained_on(image_folder):
    folder = image_folder / "red"
    assert len(as_source(folder)) == 8
    with pytest.raises(ValueError, match="no folders of classes, so there are no labels"):
        as_source(folder, label_rule=LABELLED)


def test_missing_labels_are_refused(images):
    with pytest.raises(ValueError, match="Labels are missing"):
        as_source(images, label_rule=LABELLED)


def test_black_float_images_are_no_mistake():
    assert len(as_source(np.zeros((2, 8, 8, 3), "float32"))) == 2


def test_one_dark_float_image_among_others_is_no_mistake():
    assert len(as_source([np.full((8, 8, 3), 0.5), np.full((8, 8, 3), 200.0)])) == 2


def test_folders_among_paths_are_told_from_missing_files(image_folder):
    with pytest.raises(ValueError, match=r"(?s)must name image files. 2 folders among them:.*/red\n"):
        as_source([image_folder / "blue", image_folder / "red"], [0, 1])


def test_labels_beside_a_folder_are_refused(image_folder):
    with pytest.raises(ValueError, match="`y` must be left out: `x` brings its own labels. Received: x='"):
        as_source(image_folder, [0] * 24)


def test_without_need_of_labels_every_image_below_a_folder_counts(tmp_path):
    (tmp_path / "old").mkdir()
    for name in ("1.png", "2.png", "old/3.png"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    assert len(as_source(tmp_path)) == 3


def test_columns_may_be_given_once_only():
    frame = Table({"path": [__file__], "w": [1]}, weight="w")
    with pytest.raises(ValueError, match="`sample_weight` must be left out: `x` brings its own"):
        as_source(frame, sample_weight=[1])


def test_paths_of_a_table_have_to_exist(tmp_path):
    with pytest.raises(FileNotFoundError, match="1 of 1 path lead to no file"):
        as_source(Table({"path": ["no.jpg"]}, root=tmp_path))


def test_pixels_of_a_stream_are_checked(images):
    with pytest.raises(ValueError, match="rescale=1/255"):
        as_source(iter([images / 255]), steps=Steps(1))


def test_a_source_stays_as_it_is(images):
    source = as_source(images)
    assert as_source(source) is source


def test_what_says_nothing_is_refused(images, labels):
    with pytest.raises(ValueError, match=r"`steps_per_epoch` says how much .* Received: steps_per_epoch=3, x=ndarray"):
        as_source(images, labels, steps=Steps(3))
    with pytest.raises(ValueError, match="`x` is a Source, which has its own"):
        as_source(as_source(images), labels)
