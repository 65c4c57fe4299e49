import json
import zipfile
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest

from transferkit import ArchiveError, Checks, Compute, ImageFormat, TransferClassifier
from transferkit.inspection.calibration import calibrate
from transferkit.inspection.familiarity import familiarity
from transferkit.inspection.sets import predict_sets
from transferkit.saving.archive import ARRAYS, MEMBER
from transferkit.saving.fitted import load_fitted, save_fitted


@pytest.fixture(scope="module")
def fitted(tiny_backbone, images, labels):
    """Trained with objects among its arguments."""
    options = {"image_size": ImageFormat((16, 16), "pad", "orange"), "checks": Checks("skip"), "seed": 3}
    classifier = TransferClassifier(tiny_backbone, compute=Compute(cache="memory"), verbose=0, **options)
    return classifier.fit(images, labels).fitted_


def test_what_was_saved_is_loaded_whole(fitted, images, tmp_path):
    save_fitted(fitted, tmp_path / "clf.keras")
    back = load_fitted(tmp_path / "clf.keras")
    assert back.image_format == fitted.image_format
    assert back.class_names.tolist() == fitted.class_names.tolist()
    assert (back.task, back.thresholds, back.phases) == (fitted.task, fitted.thresholds, fitted.phases)
    assert back.history == fitted.history
    assert (back.split.training, back.split.validation) == (fitted.split.training, fitted.split.validation)
    assert back.versions == fitted.versions
    source = fitted.reader.source(images)
    assert back.predictor.predict(source, 32) == pytest.approx(fitted.predictor.predict(source, 32), abs=1e-6)


def test_arguments_come_back_but_those_of_the_machine(fitted, tmp_path):
    save_fitted(fitted, tmp_path / "clf.keras")
    parameters = load_fitted(tmp_path / "clf.keras").parameters
    assert parameters["image_size"] == ImageFormat((16, 16), "pad", "orange")
    assert (parameters["checks"], parameters["seed"]) == (Checks("skip"), 3)
    assert not {"compute", "verbose"} & set(parameters)
    assert set(parameters) | {"compute", "verbose"} == set(fitted.parameters)


def test_thresholds_of_many_labels_are_kept(fitted, tmp_path):
    thresholds = np.array([0.1, 0.5, 0.7], "float32")
    save_fitted(replace(fitted, thresholds=thresholds), tmp_path / "clf.keras")
    back = load_fitted(tmp_path / "clf.keras").thresholds
    assert np.array_equal(back, thresholds)
    assert back.dtype == "float32"


def test_versions_tell_who_trained_and_who_wrote(fitted, tmp_path):
    save_fitted(replace(fitted, versions={"keras": "3.9"}), tmp_path / "clf.keras")
    with zipfile.ZipFile(tmp_path / "clf.keras") as archive:
        settings = json.loads(archive.read(MEMBER))
    assert settings["trained_with"] == {"keras": "3.9"}
    assert settings["versions"]["keras"] == fitted.versions["keras"]


def test_a_format_that_was_never_released_is_refused(fitted, tmp_path):
    path = tmp_path / "clf.keras"
    save_fitted(fitted, path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members[MEMBER] = json.dumps({**json.loads(members[MEMBER]), "format": 1})
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(ArchiveError, match=r"format 1, which was never released. Expected format 2 to 3.*load_model"):
        load_fitted(path)


def test_what_was_learnt_from_held_out_images_is_kept(fitted, images, labels, tmp_path):
    held_out = np.clip(images, 5, 250)
    for kept in (fitted, calibrate(fitted, held_out, labels)):
        save_fitted(kept, tmp_path / "clf.keras")
        back = load_fitted(tmp_path / "clf.keras")
        assert (back.temperature, back.mirrors) == (kept.temperature, True)
        assert back.conformal.origin == kept.conformal.origin
        assert predict_sets(back, held_out, 0.8).sets == predict_sets(kept, held_out, 0.8).sets
        assert familiarity(back, held_out) == pytest.approx(familiarity(kept, held_out), abs=1e-6)
        with pytest.warns(UserWarning, match="24 of 24 images to calibrate on were trained on"):
            calibrate(back, images, labels)


def test_a_file_of_the_format_before_has_not_learnt_it(fitted, images, labels, tmp_path):
    """What was written by `FORMAT` 2: no arrays, and three settings less."""
    path = tmp_path / "clf.keras"
    save_fitted(fitted, path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    settings = json.loads(members[MEMBER]) | {"format": 2}
    del members[ARRAYS], settings["temperature"], settings["mirrors"], settings["conformal_origin"]
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in (members | {MEMBER: json.dumps(settings)}).items():
            archive.writestr(name, data)
    back = load_fitted(path)
    assert (back.conformal, back.familiarity, back.training_prints, back.temperature) == (None, None, None, 1.0)
    assert len(calibrate(back, images, labels).conformal) == 24


def test_nothing_but_numbers_tells_of_the_training_images(fitted, tmp_path):
    save_fitted(fitted, tmp_path / "clf.keras")
    with zipfile.ZipFile(tmp_path / "clf.keras") as archive, np.load(BytesIO(archive.read(ARRAYS))) as arrays:
        assert all(arrays[name].dtype.kind in "fiu" for name in arrays)
        assert arrays["training_prints"].shape == (24,)
