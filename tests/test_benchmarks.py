"""The benchmarks take minutes and are no tests, but what they import must be there."""

from pathlib import Path

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def test_every_benchmark_can_be_imported(in_fresh_process):
    names = sorted(path.stem for path in BENCHMARKS.glob("*.py"))
    assert "recipes" in names
    in_fresh_process(f"import sys; sys.path.insert(0, sys.argv[1]); import {', '.join(names)}", BENCHMARKS)
