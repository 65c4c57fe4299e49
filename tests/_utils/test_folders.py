import os
import sys
from pathlib import Path

import pytest

from transferkit._utils import folders
from transferkit._utils.folders import default_folder, refuse_strangers


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch, tmp_path):
    for name in ("TRANSFERKIT_CACHE_DIR", "TRANSFERKIT_CACHE_SIZE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def public(tmp_path, monkeypatch):
    """A folder where everybody can make others, and one in it that somebody else has made."""
    (tmp_path / "public" / "theirs" / "cache").mkdir(parents=True)
    (tmp_path / "public").chmod(0o1777)
    monkeypatch.setattr(folders, "_owner", lambda path: 4711 if "theirs" in str(path) else os.getuid())
    return tmp_path / "public"


def test_the_folder_is_what_the_variable_says(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    monkeypatch.setenv("TRANSFERKIT_CACHE_DIR", "~/here")
    assert default_folder() == Path.home() / "here"


def test_the_folder_of_all_caches_is_respected(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert default_folder() == Path("/caches/transferkit")


@pytest.mark.parametrize(
    ("platform", "folder"), [("linux", ".cache"), ("freebsd14", ".cache"), ("darwin", "Library/Caches")]
)
def test_each_system_has_its_own_place(monkeypatch, platform, folder, tmp_path):
    monkeypatch.setattr(sys, "platform", platform)
    assert default_folder() == tmp_path / folder / "transferkit"


def test_windows_names_it_in_a_variable(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", "/AppData")
    assert default_folder() == Path("/AppData/transferkit")


def test_who_has_no_home_gets_a_temporary_folder(monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/temporary")
    assert default_folder() == Path(f"/temporary/transferkit-{os.getuid()}")  # which others do not use


def test_a_home_that_is_not_known_is_an_error(monkeypatch):
    monkeypatch.setenv("TRANSFERKIT_CACHE_DIR", "~nobody-of-that-name/cache")
    with pytest.raises(ValueError, match="TRANSFERKIT_CACHE_DIR begins with a home .* '~nobody-of-that-name/cache'"):
        default_folder()


@pytest.mark.parametrize("name", ["theirs", "theirs/cache", "theirs/cache/not yet"])
def test_what_others_made_where_everybody_can_is_refused(public, name):
    with pytest.raises(PermissionError, match="public/theirs' belongs to another user, and lies where everybody can"):
        refuse_strangers(public / name)


def test_own_folders_and_those_of_others_in_their_own_are_not(public):
    refuse_strangers(public / "mine")
    public.chmod(0o755)
    refuse_strangers(public / "theirs" / "cache")
