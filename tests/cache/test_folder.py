import os
import shutil
from types import SimpleNamespace

import pytest

from transferkit.cache.folder import (
    free_disk,
    max_bytes,
    read_json,
    update_json,
)


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch, tmp_path):
    for name in ("TRANSFERKIT_CACHE_DIR", "TRANSFERKIT_CACHE_SIZE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize(("text", "expected"), [("", 20 * 10**9), ("3", 3 * 10**9), ("0.5", 5 * 10**8), ("0", 0)])
def test_the_size_is_given_in_gigabytes(monkeypatch, text, expected):
    monkeypatch.setenv("TRANSFERKIT_CACHE_SIZE", text)
    assert max_bytes() == expected


def test_the_size_is_twenty_gigabytes_unless_told():
    assert max_bytes() == 20 * 10**9


@pytest.mark.parametrize("text", ["20 GB", "-1", "nan", "inf", "1e300", "much"])
def test_a_size_that_is_none_is_refused(monkeypatch, text):
    monkeypatch.setenv("TRANSFERKIT_CACHE_SIZE", text)
    with pytest.raises(ValueError, match=f"must be a number of gigabytes, such as 20 or 0.5. Received: '{text}'"):
        max_bytes()


def test_free_space_is_that_of_the_disk_where_the_folder_would_be(tmp_path, monkeypatch):
    asked = []

    def disk_usage(path):
        asked.append(path)
        return SimpleNamespace(free=7)

    monkeypatch.setattr(shutil, "disk_usage", disk_usage)
    assert free_disk(tmp_path / "not" / "yet") == 7
    assert free_disk(tmp_path) == 7
    assert asked == [tmp_path, tmp_path]


def test_values_are_added_to_those_that_are_there(tmp_path):
    folder = tmp_path / "new" / "and" / "deep"
    update_json(folder, "speeds.json", {"a": 1, "b": [2]})
    update_json(folder, "speeds.json", {"b": "ü", "c": None})
    assert read_json(folder, "speeds.json") == {"a": 1, "b": "ü", "c": None}
    assert [path.name for path in folder.iterdir()] == ["speeds.json"]


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b"null", b"[" * 100_000])
def test_a_damaged_file_counts_as_empty_and_is_replaced(tmp_path, content):
    (tmp_path / "speeds.json").write_bytes(content)
    assert read_json(tmp_path, "speeds.json") == {}
    update_json(tmp_path, "speeds.json", {"a": 1})
    assert read_json(tmp_path, "speeds.json") == {"a": 1}


def test_a_missing_file_counts_as_empty(tmp_path):
    assert read_json(tmp_path / "nowhere", "speeds.json") == {}


def test_what_cannot_be_written_is_passed_over(tmp_path):
    (tmp_path / "file").write_text("not a folder", encoding="ascii")
    update_json(tmp_path / "file", "speeds.json", {"a": 1})
    assert (tmp_path / "file").read_text(encoding="ascii") == "not a folder"


def test_a_replacement_that_fails_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    update_json(tmp_path, "speeds.json", {"a": 1})

    def fail(*arguments):
        raise OSError("no")

    monkeypatch.setattr(os, "replace", fail)
    update_json(tmp_path, "speeds.json", {"a": 2})
    assert read_json(tmp_path, "speeds.json") == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["speeds.json"]
