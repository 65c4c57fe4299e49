import json
import os
import zipfile

import keras
import numpy as np
import pytest

from transferkit.exceptions import ArchiveError
from transferkit.saving.archive import ARRAYS, FORMAT, MEMBER, read_archive, write_archive


@pytest.fixture(scope="module")
def model():
    x = keras.Input((2,))
    return keras.Model(x, keras.layers.Dense(3)(x))


@pytest.fixture
def path(model, tmp_path):
    write_archive(tmp_path / "model.keras", model, {"class_names": ["é", 1, "ros\udce9"]})
    return tmp_path / "model.keras"


def rewrite(path, **changes):
    """Changes `transferkit.json` inside an archive."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members[MEMBER] = json.dumps({**json.loads(members[MEMBER]), **changes}).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def test_what_was_written_is_read(model, path):
    loaded, settings, arrays = read_archive(path)
    assert arrays == {}
    assert settings["class_names"] == ["é", 1, "ros\udce9"]
    assert set(settings["versions"]) == {"transferkit", "keras", "tensorflow", "numpy"}
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True))


def test_names_that_are_not_utf_8_are_kept(model, tmp_path):
    names = ["日", os.fsdecode(b"caf\xe9/\xff\xfe.png"), "back\\slash"]
    write_archive(tmp_path / "model.keras", model, {"class_names": names})
    assert read_archive(tmp_path / "model.keras")[1]["class_names"] == names
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        assert "日" in archive.read(MEMBER).decode("utf-8")


def test_arrays_are_kept_beside_it(model, tmp_path):
    arrays = {"prints": np.arange(5, dtype="uint64"), "rows": np.eye(3, dtype="float16")}
    path = tmp_path / "model.keras"
    write_archive(path, model, {}, arrays)
    read = read_archive(path)[2]
    assert list(read) == list(arrays)
    assert all(np.array_equal(read[name], arrays[name]) and read[name].dtype == arrays[name].dtype for name in arrays)
    keras.saving.load_model(path, safe_mode=True)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data[: len(data) // 2] if name == ARRAYS else data)
    with pytest.raises(ArchiveError, match="damaged: its transferkit.npz cannot be read"):
        read_archive(path)


def test_an_older_format_is_read(model, path):
    rewrite(path, format=2)
    assert read_archive(path)[2] == {}


def test_plain_keras_opens_it(model, path):
    loaded = keras.saving.load_model(path, safe_mode=True)
    assert np.array_equal(loaded.get_weights()[0], model.get_weights()[0])


def test_a_failed_save_leaves_the_old_file_and_nothing_else(model, path, monkeypatch):
    before = path.read_bytes()

    def fail(self, *args, **options):
        raise OSError("disk full")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", fail)
    with pytest.raises(OSError, match=r"Could not write '.*model.keras': disk full"):
        write_archive(path, model, {})
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["model.keras"]


def test_another_suffix_and_a_missing_folder_are_refused(model, tmp_path):
    with pytest.raises(ValueError, match="must end in '.keras'"):
        write_archive(tmp_path / "model.h5", model, {})
    (tmp_path / "folder.keras").mkdir()
    with pytest.raises(IsADirectoryError, match="is a folder"):
        write_archive(tmp_path / "folder.keras", model, {})
    with pytest.raises(FileNotFoundError, match="does not exist. Make it first"):
        write_archive(tmp_path / "no" / "model.keras", model, {})


def test_settings_that_json_cannot_hold_leave_no_file(model, tmp_path):
    with pytest.raises(TypeError):
        write_archive(tmp_path / "model.keras", model, {"x": object()})
    assert os.listdir(tmp_path) == []


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no file"):
        read_archive(tmp_path / "no.keras")


def test_a_truncated_file_is_said(path):
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(ArchiveError, match="not a .keras file, or it is truncated"):
        read_archive(path)


def test_a_damaged_file_is_said(path):
    data = bytearray(path.read_bytes())
    position = data.find(b"class_name")
    data[position] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(ArchiveError, match="damaged: its member"):
        read_archive(path)


def test_a_plain_keras_file_is_told_from_ours(model, tmp_path):
    model.save(tmp_path / "plain.keras")
    with pytest.raises(ArchiveError, match=r"was not written by `TransferClassifier.save`.*keras.saving.load_model"):
        read_archive(tmp_path / "plain.keras")


def test_a_file_from_a_newer_version_is_refused(path):
    rewrite(path, format=FORMAT + 1, versions={"transferkit": "9.0"})
    with pytest.raises(ArchiveError, match=r"written with transferkit 9.0.*Upgrade transferkit"):
        read_archive(path)


def test_unreadable_settings_are_said(path):
    rewrite(path, format=None)
    with pytest.raises(ArchiveError, match=f"damaged: its {MEMBER} cannot be read"):
        read_archive(path)


def test_a_model_that_keras_cannot_rebuild_names_the_versions(path, monkeypatch):
    def fail(*args, **options):
        raise TypeError("unknown layer")

    monkeypatch.setattr(keras.saving, "load_model", fail)
    with pytest.raises(ArchiveError, match=r"could not rebuild the model.*written with transferkit.*unknown layer"):
        read_archive(path)
