import numpy as np
import pytest
from PIL import Image

from transferkit import Checks, Head, ImageReadError, TransferClassifier
from transferkit.frozen import features

COLOURS = ("blue", "green", "red")


@pytest.fixture(scope="module")
def pictures():
    """60 images, their true labels, and labels of which those of five images are wrong."""
    rng = np.random.default_rng(0)
    codes = np.arange(60) % 3
    pixels = rng.integers(0, 120, (60, 20, 24, 3))
    pixels[np.arange(60), ..., 2 - codes] += 100
    labels = np.array(COLOURS)[codes]
    given = labels.copy()
    given[[3, 10, 20, 31, 44]] = ["green", "red", "blue", "blue", "blue"]
    return pixels.astype("uint8"), labels, given


WRONG = [3, 10, 20, 31, 44]


@pytest.fixture
def make(tiny_backbone):
    return lambda **options: TransferClassifier(tiny_backbone, **{"batch_size": 16, "verbose": 0} | options)


def test_wrong_labels_are_found_before_any_fit(make, pictures):
    images, labels, given = pictures
    clf = make()
    errors = clf.find_label_errors(images, given)
    assert sorted(errors.ranking[:5].tolist()) == WRONG
    assert sorted(error.index for error in errors) == WRONG
    assert {error.index: error.likely for error in errors} == {row: labels[row] for row in WRONG}
    assert {error.index: error.given for error in errors} == {row: given[row] for row in WRONG}
    assert not hasattr(clf, "fitted_")
    assert len(errors.plot().images) == 5


def test_features_are_shared_with_fit(make, pictures, tmp_path, monkeypatch):
    from transferkit import Compute

    images, _, given = pictures
    computed, iterate_model = [], features.iterate_model

    def counting(*arguments):
        for rows in iterate_model(*arguments):
            computed.append(len(rows))
            yield rows

    monkeypatch.setattr(features, "iterate_model", counting)
    clf = make(compute=Compute(cache="disk", cache_dir=tmp_path))
    clf.find_label_errors(images, given)
    clf.fit(images, given)
    assert sum(computed) == 60


@pytest.mark.parametrize("options", [{"head": Head()}, {"schedule": "fine_tune"}, {"class_weight": "balanced"}])
def test_what_the_classifier_trains_has_no_part_in_it(options, make, pictures):
    images, _, given = pictures
    expected = make().find_label_errors(images, given)
    assert np.array_equal(make(**options).find_label_errors(images, given).scores, expected.scores)


def test_a_fitted_classifier_stays_as_it_is(make, pictures):
    images, labels, given = pictures
    clf = make().fit(images, labels)
    before = clf.fitted_, clf.predict_proba(images)
    clf.find_label_errors(images, given)
    assert clf.fitted_ is before[0]
    assert np.array_equal(clf.predict_proba(images), before[1])


def test_files_are_named_and_bad_ones_passed_over(make, pictures, tmp_path):
    images, _, given = pictures
    for number, (image, label) in enumerate(zip(images, given, strict=True)):
        (tmp_path / label).mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / label / f"{number:02d}.png")
    (tmp_path / "red" / "05b.png").write_text("no image")
    with pytest.raises(ImageReadError, match="1 of 61 images could not be read"):
        make().find_label_errors(tmp_path)
    errors = make(checks=Checks(on_bad_image="skip")).find_label_errors(tmp_path)
    assert sorted(int(error.path[-6:-4]) for error in errors) == WRONG
    folder = sorted(path for path in tmp_path.rglob("*.png"))
    assert all(str(folder[error.index]) == error.path for error in errors)


def test_duplicates_do_not_vouch_for_each_other(make, pictures):
    images, _, given = pictures
    twice = np.concatenate([images, images[WRONG]])
    errors = make().find_label_errors(twice, np.concatenate([given, given[WRONG]]))
    assert {*WRONG, *range(60, 65)} <= {error.index for error in errors}


def test_any_number_of_labels_are_welcome(make, pictures):
    images, labels, _ = pictures
    given = [("light", label) if row % 2 else (label,) for row, label in enumerate(labels)]
    given[6] = ("red",)
    errors = make(task="multilabel").find_label_errors(images, given)
    assert isinstance(errors[0].given, tuple)
    assert "blue" in errors.likely[6]
    assert errors.scores[6] < np.median(errors.scores)


def test_the_only_image_of_a_class_has_no_score_and_that_is_said(make, pictures, capsys):
    images, labels, _ = pictures
    given = labels.copy()
    given[0] = "black"
    errors = make(verbose=2).find_label_errors(images, given)
    assert np.flatnonzero(np.isnan(errors.scores)).tolist() == [0]
    assert errors.ranking[-1] == 0
    assert "1 image could not be judged" in capsys.readouterr().out


def test_one_class_is_too_few(make, pictures):
    images, labels, _ = pictures
    with pytest.raises(ValueError, match="at least two classes"):
        make().find_label_errors(images[labels == "red"], labels[labels == "red"])


def test_labels_are_needed(make, pictures):
    with pytest.raises(ValueError, match="label"):
        make().find_label_errors(pictures[0])
