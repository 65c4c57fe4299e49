import io
import json
import os
import re
import subprocess
import sys
from configparser import ConfigParser
from dataclasses import replace
from datetime import datetime
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import transferkit
from transferkit.cache.places import Disk
from transferkit.cache.store import Store
from transferkit.cli import main


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where the command looks: two tables, the first of them used last on a day long ago."""
    monkeypatch.setenv("TRANSFERKIT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("TRANSFERKIT_CACHE_SIZE", raising=False)
    store = Store(tmp_path / "cache", 10**9)
    for count, title in ((3, "tiny features"), (1234, "efficientnet_lite0 features, 224 x 224")):
        prints = np.random.default_rng(0).integers(0, 256, (count, 16), np.uint8)
        with store.table("0" * 32, (count,), "float16", title).writer() as writer:
            writer.append(prints, np.zeros((count, count)))
    old = min(store.folder.rglob("*.npy"), key=lambda path: path.stat().st_size)
    os.utime(old, (datetime(2024, 5, 6, 7, 8).timestamp(),) * 2)
    return store.folder


def test_what_is_kept_is_listed(folder, capsys):
    assert main(["cache"]) == 0
    head, first, second, blank, total = capsys.readouterr().out.splitlines()
    assert head.split() == ["activations", "images", "size", "last", "used"]
    year = datetime.now().year
    assert re.fullmatch(rf"efficientnet_lite0 features, 224 x 224 +1,234 +3\.1 MB  {year}-\d\d-\d\d \d\d:\d\d", first)
    assert re.fullmatch(r"tiny features +3 +\d+ bytes  2024-05-06 07:08", second)
    assert head.index("last used") == first.index(str(year)) == second.index("2024")
    assert blank == ""
    assert total == f"3.1 MB of at most 20 GB, in {folder}"


def test_nothing_kept_is_said(capsys, tmp_path):
    assert main(["cache", "--folder", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"Nothing is kept in {tmp_path}\n"


def test_another_folder_can_be_named(folder, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("TRANSFERKIT_CACHE_DIR", str(tmp_path / "nowhere"))
    assert main(["cache", "--folder", str(folder)]) == 0
    assert "tiny features" in capsys.readouterr().out
    assert main(["cache"]) == 0
    assert capsys.readouterr().out == f"Nothing is kept in {tmp_path / 'nowhere'}\n"


def test_clearing_removes_everything_and_says_how_much(folder, capsys):
    assert main(["cache", "--clear"]) == 0
    assert capsys.readouterr().out == f"Removed 3.1 MB from {folder}\n"
    assert list(folder.iterdir()) == []
    assert main(["cache", "--clear"]) == 0
    assert capsys.readouterr().out == f"Removed 0 bytes from {folder}\n"


def test_what_cannot_be_removed_is_an_error(folder, capsys, monkeypatch):

    def refuse(path, missing_ok=False):
        raise PermissionError(f"{path} is in use")

    monkeypatch.setattr(Path, "unlink", refuse)
    assert main(["cache", "--clear"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        f"transferkit: 3.1 MB in '{folder}' could not be removed: they are in use or belong to another user.\n"
    )


def test_a_folder_that_is_not_there_is_an_error(capsys, tmp_path):
    assert main(["cache", "--folder", str(tmp_path / "nowhere")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"transferkit: There is no folder '{tmp_path / 'nowhere'}'.\n"


@pytest.mark.parametrize(
    ("name", "value"),
    [("SIZE", "much"), ("SIZE", "1e300"), ("DIR", "~nobody-of-that-name")],
)
def test_a_wrong_setting_is_an_error(folder, capsys, monkeypatch, name, value):
    monkeypatch.setenv(f"TRANSFERKIT_CACHE_{name}", value)
    assert main(["cache"]) == 2
    assert re.fullmatch(f"transferkit: .* TRANSFERKIT_CACHE_{name} .* '{value}'.\n", capsys.readouterr().err)


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"title": 5, "key": null}', '{"title": ["a"]}', '{"title": {}}', "[" * 100_000]
)
def test_a_table_whose_description_is_damaged_is_listed(folder, capsys, content):
    for path in folder.rglob("table.json"):
        path.write_text(content, encoding="ascii")
    assert main(["cache"]) == 0
    assert capsys.readouterr().out.count("unknown") == 2


def test_a_title_gives_no_orders_to_the_terminal(folder, capsys):
    title = "\x1b[2Jgone\x07\r\n\u202eback\ud800 " + 1000 * "long"
    for path in folder.rglob("table.json"):
        path.write_text(json.dumps({"title": title}), encoding="ascii")
    assert main(["cache"]) == 0
    shown = capsys.readouterr().out
    assert "\\x1b[2Jgone\\x07\\r\\n\\u202eback\\ud800 long" in shown
    assert all(each.isprintable() for each in shown.replace("\n", ""))
    assert len(shown) < 1000


def test_a_terminal_that_knows_few_characters_gets_what_it_knows(folder, monkeypatch):
    for path in folder.rglob("table.json"):
        path.write_text(json.dumps({"title": "größe"}), encoding="ascii")
    output = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", output)
    assert main(["cache"]) == 0
    output.flush()
    assert rb"gr\xf6\xdfe" in output.buffer.getvalue()


def test_a_time_beyond_all_years_is_unknown(folder, capsys, monkeypatch):
    entries = Disk.entries
    monkeypatch.setattr(Disk, "entries", lambda disk: [replace(entry, last_used=1e30) for entry in entries(disk)])
    assert main(["cache"]) == 0
    assert capsys.readouterr().out.count("unknown") == 2


def test_a_folder_without_a_name_is_not_the_current_one(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit) as exit_:
        main(["cache", "--clear", "--folder", ""])
    assert exit_.value.code == 2
    assert "argument --folder: the name of a folder is empty" in capsys.readouterr().err
    assert list(folder.rglob("*.npy"))


def test_a_folder_that_a_stranger_made_is_refused(folder, capsys, monkeypatch):
    folder.parent.chmod(0o1777)
    monkeypatch.setattr("transferkit._utils.folders._owner", lambda path: 4711)
    assert main(["cache"]) == 2
    assert re.match(f"transferkit: The cache folder '{folder}' is not used: .* another user", capsys.readouterr().err)


@pytest.mark.parametrize("arguments", [[], ["cash"], ["cache", "--empty"]])
def test_what_is_no_command_is_an_error(arguments, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    assert capsys.readouterr().err.startswith("usage: transferkit")


def test_the_command_runs_as_a_module_and_without_tensorflow(folder):
    command = [sys.executable, "-X", "importtime", "-m", "transferkit", "cache"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "tiny features" in result.stdout
    imported = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}
    assert "transferkit.cache.store" in imported
    assert not {"tensorflow", "keras", "sklearn", "rich"} & imported


def test_a_module_that_fails_exits_with_its_status(tmp_path):
    command = [sys.executable, "-m", "transferkit", "cache", "--folder", str(tmp_path / "nowhere")]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 2


def test_the_command_is_installed_by_its_name():
    setup = ConfigParser()
    setup.read(Path(transferkit.__file__).parents[1] / "setup.cfg", encoding="utf-8")
    name, _, target = setup["options.entry_points"]["console_scripts"].strip().partition(" = ")
    module, _, function = target.partition(":")
    assert name == "transferkit"
    assert getattr(import_module(module), function) is main


def test_the_version_can_be_asked_for(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"transferkit {transferkit.__version__}\n"
