"""Runs the benchmarks of speed one after the other, then draws their results.

Each runs with its own defaults, in a process of its own, and writes its results as if it had been started alone. One
that fails does not keep the others from running. Together they take about seven hours on 2 cores; `--only` picks some,
`--quick` tries all of them on next to nothing, for numbers that mean nothing.

    python benchmarks/run_all.py --only heads forward
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

from _plots import RESULTS, draw_all

FOLDER = Path(__file__).parent
# In this order, what each is given to try it on next to nothing: those that need the machine to themselves come first.
QUICK = {
    "import_time": "--repeats 1",
    "forward": "--repeats 1 --count 8",
    "heads": "--repeats 1 --count 20 --epochs 2 --networks efficientnet_lite0",
    "second_fit": "--repeats 1 --count 20 --networks efficientnet_lite0",
    "frozen_stages": "--repeats 1 --count 50 --epochs 2 --image-size 64",
    "recipes": "--repeats 1 --epochs 1",
    "forward_ratio": "--repeats 1 --counts 100",
    "reading": "--images 20 --repeats 1",
    "evaluation": "--per-class 20 --repeats 1 --image-size 64",
    "report_page": "--per-class 20 --repeats 1 --image-size 32 --side 64",
    "quality": "--per-class 20 --repeats 1",
    "solver": "--per-class 20 --counts 5 10 --seeds 1 --repeats 1",
    "memory": "--counts 100 1000 --image-size 32",
    "storage": "--per-class 30 --counts 100 --seeds 1 --image-size 64",
    "views": "--per-class 30 --counts 100 --head-counts 100 --views 2 --seeds 1 --image-size 64",
}
OTHERS = {
    "intervals": "--draws 4 --counts 100",
    "accuracy": "--per-class 20",
    "fine_tuning": "--per-class 20 --epochs 1 --seeds 1",
    "augmentation": "--images 20 --epochs 2 --repeats 1",
    "resizing": "--per-class 20 --count 8 --seeds 1",
    "imbalance": "--per-class 20 --seeds 1 --image-size 32",
    "calibration": "--per-class 100 --size 32 --train 200 --tune 100 --epochs 1 --views 20 --divisions 1",
    "explanations": "--per-class 20 --count 20 --shares 0.3",
    "refusal": "--per-class 60 --sizes 32 --train 300 --held-out 100",
    "label_errors": "--per-class 20 --seeds 1 --image-size 32",
}


def run(names, results, is_quick):
    """Runs benchmarks by name. Returns the names of those that failed."""
    failed = []
    for number, name in enumerate(names, 1):
        print(f"[{number} of {len(names)}] {name}: begins at {time.strftime('%H:%M')}", flush=True)
        start = time.perf_counter()
        options = (QUICK | OTHERS)[name].split() if is_quick else []
        command = [sys.executable, FOLDER / f"{name}.py", "--results", results, *options]
        code = subprocess.run(command, check=False).returncode
        minutes = (time.perf_counter() - start) / 60
        print(f"[{number} of {len(names)}] {name}: {'failed' if code else 'done'} after {minutes:.1f} min", flush=True)
        failed += [name] if code else []
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = [*QUICK, *OTHERS]
    parser.add_argument("--only", nargs="+", choices=known, metavar="NAME", help=f"some of: {', '.join(known)}")
    parser.add_argument("--quick", action="store_true", help="try them on next to nothing; name other --results then")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder that the results are written to")
    args = parser.parse_args()
    if args.quick and args.results == RESULTS:
        parser.error("--quick measures nothing that should be kept: name another folder by --results")
    failed = run(args.only or list(QUICK), args.results, args.quick)
    print("Drawn:", *(path.name for path in draw_all(args.results)))
    if failed:
        sys.exit(f"Failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
