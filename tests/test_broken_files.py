"""Files that were fine when they were checked, and break or vanish before they are used."""

import shutil
from pathlib import Path

import pytest

from transferkit import Checks, Compute, Phase, TransferClassifier
from transferkit.data.intake import Intake
from transferkit.exceptions import ImageReadError

BROKEN, LOST = "03.png", "10.png"


@pytest.fixture
def folder(image_folder, tmp_path):
    """A copy of the class folder."""
    return Path(shutil.copytree(image_folder, tmp_path / "images"))


@pytest.fixture
def spoil_after(folder, monkeypatch):
    """Cuts one file short and deletes another, once a step of the intake has been done."""

    def spoil_after(name):
        step = getattr(Intake, name)

        def spoiled(*args, **options):
            result = step(*args, **options)
            spoil(folder)
            return result

        monkeypatch.setattr(Intake, name, spoiled)

    return spoil_after


def spoil(folder):
    for path in folder.rglob(BROKEN):
        path.write_bytes(path.read_bytes()[:200])
    for path in folder.rglob(LOST):
        path.unlink()


FITS = {
    "features, kept": {},
    "features, not kept": {"compute": Compute(cache=False)},
    "images in memory": {"schedule": [Phase("all", epochs=2)], "compute": Compute(cache=False)},
    "images, read once": {"schedule": [Phase("all", epochs=1)], "compute": Compute(cache=False)},
}


@pytest.mark.parametrize("name", FITS)
def test_files_that_break_before_they_are_trained_on_are_named(name, folder, spoil_after, tiny_backbone):
    spoil_after("training_sources")
    clf = TransferClassifier(tiny_backbone, verbose=0, **FITS[name])
    with pytest.raises(ImageReadError, match=rf"(?s)could not be read.*{BROKEN}") as info:
        clf.fit(folder)
    assert {Path(path).name for _, path, _ in info.value.failures} == {BROKEN, LOST}
    assert not hasattr(clf, "model_")


@pytest.mark.parametrize("name", ["features, kept", pytest.param("images, read once", marks=pytest.mark.slow)])
def test_files_that_break_are_skipped_as_if_they_had_been_broken_before(
    name, folder, spoil_after, tiny_backbone, images, capsys
):
    def fitted():
        clf = TransferClassifier(tiny_backbone, verbose=2, checks=Checks(on_bad_image="skip"), **FITS[name])
        return clf.fit(folder).predict_proba(images)

    spoil_after("training_sources")
    found = fitted()
    assert "They broke after they had been checked. Starting again without them." in capsys.readouterr().out
    assert found == pytest.approx(fitted(), abs=1e-5)  # without those that are spoiled by now
    assert "Skipped 1 of 23 images" in capsys.readouterr().out


@pytest.mark.parametrize("on_bad_image", ["raise", "skip"])
def test_files_that_break_before_they_are_evaluated_are_named_or_skipped(
    on_bad_image, folder, spoil_after, fitted_classifier, monkeypatch
):
    spoil_after("labelled")
    monkeypatch.setattr(fitted_classifier, "checks", Checks(on_bad_image=on_bad_image))
    if on_bad_image == "raise":
        with pytest.raises(ImageReadError, match=rf"(?s)2 of 24 images could not be read.*{BROKEN}.*{LOST}"):
            fitted_classifier.evaluate(folder)
    else:
        assert fitted_classifier.evaluate(folder).support.sum() == 22


def test_a_class_that_breaks_as_a_whole_is_no_class(folder, monkeypatch, tiny_backbone):
    for name in ("green", "red"):
        shutil.rmtree(folder / name)
        shutil.copytree(folder / "blue", folder / name)
    step = Intake.training_sources

    def spoiled(*args, **options):
        result = step(*args, **options)
        for name in ("green", "red"):
            shutil.rmtree(folder / name)
        return result

    monkeypatch.setattr(Intake, "training_sources", spoiled)
    with pytest.raises(ValueError, match="at least two classes"):
        TransferClassifier(tiny_backbone, verbose=0, checks=Checks(on_bad_image="skip")).fit(folder)
