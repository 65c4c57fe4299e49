"""Two hundred damaged files go through everything; `tools/fuzz_images.py` itself does so with thousands."""

import importlib.util
from collections import Counter
from pathlib import Path

import pytest

from transferkit import check_data

SCRIPT = Path(__file__).parents[2] / "tools" / "fuzz_images.py"


@pytest.fixture(scope="module")
def fuzz():
    spec = importlib.util.spec_from_file_location("fuzz_images", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # Pillow remarks on damage that does not keep it from reading
@pytest.mark.parametrize("seed", [1, 2])
def test_damaged_files_are_named_or_read(fuzz, tmp_path, seed):
    rare = [kind for kind in fuzz.RARE if kind is not fuzz.decompression_bomb]
    kinds = fuzz.write_files(tmp_path, 150, seed, rare)
    assert len(Counter(kinds.values())) >= 10
    assert fuzz.problems_with(tmp_path, kinds) == []


def test_a_bomb_is_named(fuzz, tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(fuzz._png(20000, 20000, fuzz._zeros(20000 * 2501), bits=1))
    assert path.stat().st_size < 300_000
    report = check_data([path], verbose=0)
    assert "MAX_IMAGE_PIXELS" in report.unreadable[0].reason


def test_disagreement_is_reported(fuzz, tmp_path, monkeypatch):
    kinds = fuzz.write_files(tmp_path, 0)
    first = min(kinds)
    monkeypatch.setattr(fuzz, "is_readable", lambda path: path != first)
    assert fuzz.problems_with(tmp_path, kinds) == [f"not named, but it cannot be read: {first}"]
