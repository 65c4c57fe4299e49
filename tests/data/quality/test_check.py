import builtins
import hashlib
import json
import shutil

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from transferkit import ImageFormat, check_data
from transferkit.data.quality import check


def look(*args, **options):
    return check_data(*args, verbose=0, **options)


def names(group):
    return sorted((image.subset, image.name.rsplit("/", 1)[-1]) for image in group)


@pytest.fixture
def validation_folder(photos, tmp_path):
    """The last twenty photos, and: a copy, a changed copy with another label, a corrupt file and a class of its own."""
    for number, image in enumerate(photos[40:]):
        path = tmp_path / "validation" / ("cat", "cow")[number // 10] / f"{number:02d}.jpg"
        path.parent.mkdir(exist_ok=True, parents=True)
        image.save(path)
    return tmp_path / "validation"


def test_clean_data_are_clean(photo_folder):
    report = look(photo_folder, image_size=100)
    assert report.is_clean
    assert str(report) == "Checked 40 images of training.\nNothing was found."
    assert report.counts == {"training": 40}
    assert np.array_equal(np.sort(report.groups["training"]), np.arange(40))


def test_everything_that_was_planted_is_found(photos, photo_folder, validation_folder):
    shutil.copy(photo_folder / "cat" / "03.jpg", validation_folder / "cat" / "copy.jpg")
    ImageEnhance.Brightness(photos[25]).enhance(0.8).save(validation_folder / "cat" / "darker.jpg")
    (validation_folder / "cow" / "broken.jpg").write_text("no image")
    photos[58].resize((40, 96)).save(validation_folder / "cow" / "narrow.png")
    report = look(photo_folder, validation_data=validation_folder, image_size=(100, 100))
    assert not report.is_clean
    assert [(item.image.subset, item.image.index, item.reason) for item in report.unreadable] == [
        ("validation", 22, "not an image that Pillow can identify")
    ]
    assert [names(group) for group in report.exact_duplicates] == [[("training", "03.jpg"), ("validation", "copy.jpg")]]
    assert [names(group) for group in report.near_duplicates] == [
        [("training", "25.jpg"), ("validation", "darker.jpg")],
        [("validation", "18.jpg"), ("validation", "narrow.png")],
    ]
    assert len(report.leaks) == 2
    assert [[image.label for image in group] for group in report.label_conflicts] == [["dog", "cat"]]
    assert report.small_images["validation"].tolist() == [23]
    assert report.class_differences == {"validation": {"missing": ["dog"], "unknown": ["cow"]}}
    training, validation = report.groups["training"], report.groups["validation"]
    assert np.isin(training, validation).nonzero()[0].tolist() == [3, 25]
    assert len(np.unique(validation)) == len(validation) - 1


def test_the_report_reads_well_and_can_be_stored(photo_folder, validation_folder):
    for number in range(5):
        shutil.copy(photo_folder / "cat" / f"{number:02d}.jpg", validation_folder / "cat" / f"copy{number}.jpg")
    report = look(photo_folder, test_data=validation_folder, near_duplicates=False)
    text = str(report)
    assert text.startswith(
        "Checked 40 images of training, 25 images of test.\nIn more than one part: 10 images in 5 groups\n"
    )
    assert f"{photo_folder}/cat/00.jpg (training, cat), {validation_folder}/cat/copy0.jpg (test, cat)" in text
    assert "copy3.jpg" not in text
    assert "… and 2 more" in text
    assert "Classes missing in test: dog\nClasses unknown in test: cow" in text
    stored = json.loads(json.dumps(report.to_dict()))
    assert stored["counts"] == {"training": 40, "test": 25}
    assert [image["index"] for image in stored["leaks"][4]] == [4, 14]


def test_a_report_is_one_line_where_it_is_one_of_many_things(images):
    report = check_data(images[:12], ["a"] * 11 + ["b"], near_duplicates=False, verbose=0)
    assert repr(report) == "DataReport(counts={'training': 12}, is_clean=False, rare_classes=1)"
    assert report._repr_html_() == f"<pre>{report}</pre>"


def test_classes_with_few_readable_images_are_named(images):
    report = look(images[:23], ["a"] * 11 + ["b"] * 10 + ["c"] * 2, near_duplicates=False)
    assert report.rare_classes == {"c": 2}
    assert "Too few images: 1 class: c (2)" in str(report)


def test_images_without_labels_are_checked_as_well(images, image_paths):
    twice = [*image_paths[:2], image_paths[0]]
    for given in (images[[0, 1, 0]], list(images[[0, 1, 0]]), twice, [Image.open(path) for path in twice]):
        report = look(given, near_duplicates=False)
        assert [[image.index for image in group] for group in report.exact_duplicates] == [[0, 2]]
        assert report.exact_duplicates[0][0].label is None
        assert not report.label_conflicts
        assert not report.rare_classes


def test_a_list_of_two_paths_is_no_pair(image_paths):
    assert look(image_paths[:2], near_duplicates=False).counts == {"training": 2}


def test_labels_may_be_numbers(images):
    report = look(images[[0, 1, 0]], [3, 5, 5], near_duplicates=False)
    assert [image.label for image in report.label_conflicts[0]] == [3, 5]
    json.dumps(report.to_dict())


def test_what_is_wrong_with_any_number_of_labels_is_told_by_all_of_them(images):
    labels = [["b"], *[["a", "b"]] * 10, *[["a"]] * 2, [], *[["b", "c"]] * 7]
    twice = images[[0, 0, *range(1, 20)]]
    report = look(twice, labels, test_data=(images[[1, 20]], [["b", "a"], []]), near_duplicates=False)
    assert [[image.label for image in group] for group in report.label_conflicts] == [[("b",), ("a", "b")]]
    assert report.rare_classes == {"c": 7}
    assert report.class_differences == {"test": {"missing": ["c"], "unknown": []}}
    assert "image 0 (training, b), image 1 (training, a + b)" in str(report)
    json.dumps(report.to_dict())


def test_all_parts_have_labels_of_one_kind(images):
    pandas = pytest.importorskip("pandas")
    labels = pandas.DataFrame({"b": [1, 1, 0], "a": [1, 0, 1]})
    test = pandas.DataFrame({"a": [0, 1], "b": [1, 0]})  # one label each, by chance
    report = look(images[:3], labels, test_data=(images[1:3], test), near_duplicates=False)
    assert len(report.leaks) == 2
    assert not report.label_conflicts


def test_an_empty_label_differs_from_a_label(images):
    report = look(images[[0, 0, 1]], [["a"], [], ["b"]], near_duplicates=False)
    assert "image 0 (training, a), image 1 (training, no label)" in str(report)
    assert len(report.label_conflicts) == 1


def test_what_is_wrong_with_labels_is_not_taken_for_their_absence(image_paths, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("path,label\n" + "".join(f"{path},{i if i else ''}\n" for i, path in enumerate(image_paths)))
    with pytest.raises(ValueError, match="Labels are missing: 1 of 24, the first at position 0"):
        look(table)
    with pytest.raises(ValueError, match="No images were found in folder"):
        look(tmp_path)


def test_folders_without_classes_are_images_without_labels(image_folder):
    assert look(image_folder / "red", near_duplicates=False).counts == {"training": 8}
    assert look(image_folder, near_duplicates=False).class_differences == {}
    assert set(look(image_folder, near_duplicates=False).rare_classes) == {"blue", "green", "red"}


def test_streams_and_other_channels_are_looked_at_as_the_errors_advise(images):
    def batches():
        while True:
            yield images[:8], np.arange(8)

    with pytest.raises(ValueError, match="may never end. Say how many batches to read: `steps=...`"):
        look(batches())
    assert look(batches(), steps=2, near_duplicates=False).counts == {"training": 16}
    four = np.concatenate([images, images[..., :1]], axis=-1)
    with pytest.raises(ValueError, match="give `channels=4`"):
        look(four)
    assert look(four, image_size=ImageFormat(channels=4), near_duplicates=False).counts == {"training": 24}


def test_unreadable_files_are_duplicates_of_nothing(tmp_path, image_paths):
    for name in "ab":
        (tmp_path / f"{name}.jpg").touch()
    report = look([*image_paths, tmp_path / "a.jpg", tmp_path / "b.jpg"])
    assert len(report.unreadable) == 2
    assert not report.exact_duplicates
    assert len(np.unique(report.groups["training"])) == len(image_paths) + 2


def test_no_file_is_changed(photo_folder):
    def state():
        return {
            path: (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).digest())
            for path in photo_folder.rglob("*.jpg")
        }

    before = state()
    look(photo_folder)
    assert state() == before


@pytest.fixture
def without_imagehash(monkeypatch):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name == "imagehash":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    monkeypatch.setattr(check, "has_imagehash", lambda: False)


def test_without_imagehash_the_report_says_so(without_imagehash, photos):
    report = look([*photos[:3], photos[0].resize((80, 80))])
    assert not report.near_duplicates
    assert 'pip install "transferkit[check]"' in str(report)


def test_without_imagehash_near_duplicates_cannot_be_asked_for(without_imagehash, images):
    with pytest.raises(ImportError, match=r"near_duplicates=True.*pip install"):
        look(images, near_duplicates=True)
    assert look(images, near_duplicates=False).notes == ()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"near_duplicates": "yes"}, "`near_duplicates` must be 'auto', True or False. Received: near_dup"),
        ({"image_size": 0}, "`image_size` must be"),
        ({"image_size": (1, 2, 3)}, "`image_size` must be"),
        ({"verbose": 3}, "`verbose` must be"),
    ],
)
def test_wrong_arguments_are_refused(images, options, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        check_data(images, **options)


def test_labels_of_another_number_are_refused(images):
    with pytest.raises(ValueError, match="label"):
        look(images, ["a"])
