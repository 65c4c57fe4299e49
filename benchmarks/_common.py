"""What the benchmarks share: data, fresh processes, the description of the machine, one way of writing results.

Importing it does not import TensorFlow, so that a benchmark of memory or of imports can start small.
"""

import argparse
import importlib.util
import json
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

CHECKOUT = Path(__file__).resolve().parents[1]
CIFAR10_MINI = CHECKOUT / "examples" / "data" / "cifar10-mini"
CIFAR10_10K = CHECKOUT.parent / "shared" / "data" / "cifar10-10k.npz"
_NEEDED = ("tensorflow", "keras", "numpy", "scipy", "scikit-learn")
_OPTIONAL = ("openvino", "keras-hub", "torch", "onnxruntime")
_UNKNOWN = "(unknown version)"
PER_CLASS = {"train": 1000, "test": 200}  # what cifar10-10k.npz holds, and what is taken of keras.datasets.cifar10


def make_parser(doc):
    """Makes a parser with the docstring of the benchmark as its help and the argument that all benchmarks have."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    results = Path(__file__).parent / "results"
    parser.add_argument("--results", type=Path, default=results, help="folder that the results are written to")
    return parser


def add_data_arguments(parser):
    """Adds the arguments of `load_cifar10`."""
    parser.add_argument("--data", help="path of cifar10-10k.npz; default: $TRANSFERKIT_CIFAR10, then ../shared/data")
    parser.add_argument("--per-class", type=int, help="use only that many training images a class, to try the script")


class Cifar10(NamedTuple):
    """Images of CIFAR-10 as arrays, labels as integers, and which draw of it this is."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    origin: str


def load_cifar10(path=None, per_class=None):
    """Reads cifar10-10k.npz or, where there is none, takes the first 1000 + 200 images a class of keras.datasets."""
    path = path or os.environ.get("TRANSFERKIT_CIFAR10") or (CIFAR10_10K if CIFAR10_10K.exists() else None)
    data = _from_keras() if path is None else _from_npz(Path(path))
    if per_class is None:
        return data
    rows = first_per_class(data.y_train, per_class)
    return data._replace(
        x_train=data.x_train[rows],
        y_train=data.y_train[rows],
        origin=f"{data.origin}, only {per_class} training images a class",
    )


def _from_npz(path):
    with np.load(path, allow_pickle=False) as arrays:
        y_train, y_test = (arrays[name].ravel().astype("int64") for name in ("y_train", "y_test"))
        return Cifar10(arrays["x_train"], y_train, arrays["x_test"], y_test, path.name)


def _from_keras():
    from keras.datasets import cifar10

    arrays = []
    for (images, labels), count in zip(cifar10.load_data(), PER_CLASS.values(), strict=True):
        rows = first_per_class(labels.ravel(), count)
        arrays += [images[rows], labels.ravel()[rows].astype("int64")]
    return Cifar10(*arrays, "keras.datasets.cifar10, the first 1000 + 200 images a class")


def first_per_class(labels, count):
    """Returns the indices of the first `count` images of each class, in their order."""
    return np.sort(np.concatenate([np.flatnonzero(labels == label)[:count] for label in np.unique(labels)]))


def draw_per_class(labels, count, seed):
    """Draws `count` images of each class at random. Returns their indices and those of all the others."""
    rng = np.random.default_rng(seed)
    drawn = [rng.permutation(np.flatnonzero(labels == label))[:count] for label in np.unique(labels)]
    drawn = np.concatenate(drawn)
    return drawn, np.setdiff1d(np.arange(len(labels)), drawn)


def draw_with_judges(data, count, seed, judges=200):
    """Draws training images of `Cifar10` to train on, and others to judge by, as many of each class.

    Args:
        data: A `Cifar10`.
        count: How many to train on.
        seed: Seed of both draws.
        judges: How many a class to judge by; at most half of what there is.

    Returns:
        Two pairs of images and labels.
    """
    x, y = data.x_train, data.y_train
    others, rest = draw_per_class(y, min(judges, np.bincount(y).min() // 2), 1000 + seed)
    rows = rest[draw_per_class(y[rest], count // 10, seed)[0]]
    return (x[rows], y[rows]), (x[others], y[others])


def timed(function, *args, **kwargs):
    """Calls a function. Returns its result and the seconds that it took."""
    start = time.perf_counter()
    result = function(*args, **kwargs)
    return result, time.perf_counter() - start


def run_fresh(*arguments):
    """Runs Python in a fresh process. Returns what it printed in its last line, as JSON, and the seconds it lived."""
    command = [sys.executable, *map(str, arguments)]
    finished, seconds = timed(subprocess.run, command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(finished.stdout.splitlines()[-1]), seconds


def is_installed(package):
    """Tells whether a package could be imported, without importing it."""
    return importlib.util.find_spec(package) is not None


def tell(text):
    """Says what is going on, apart from the results."""
    print(text, file=sys.stderr, flush=True)


def median(records, key):
    """Returns the median of one number over several records of it."""
    return float(np.median([record[key] for record in records]))


def mean_and_error(differences):
    """Returns the mean of paired differences with its standard error, in points, as text."""
    differences = 100 * np.asarray(differences)
    if len(differences) < 2:
        return f"{differences.mean():+.2f}"
    return f"{differences.mean():+.2f} ± {differences.std(ddof=1) / np.sqrt(len(differences)):.2f}"


def markdown_table(header, rows):
    """Makes a Markdown table of texts."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


class Bar(NamedTuple):
    """One bar of a plot: of what, how long, and how long it should be."""

    label: str
    value: float
    target: float | None = None


def publish(script, doc, args, parts, raw, bars=(), axis="times as fast"):
    """Prints the results and writes them to `results/<name>.md`, with the raw numbers beside them in a `.json`.

    Args:
        script: `__file__` of the benchmark.
        doc: Its docstring, whose first line becomes the title.
        args: Its parsed arguments.
        parts: Markdown tables and sentences.
        raw: All that was measured, ready for JSON.
        bars: List of `Bar`, for `_plots.py`.
        axis: What their length is.
    """
    machine = describe_machine()
    title = doc.splitlines()[0].rstrip(".")
    text = "\n\n".join([f"# {title}", *parts, _one_line(machine)]) + "\n"
    print(text)
    args.results.mkdir(parents=True, exist_ok=True)
    path = args.results / Path(script).stem
    path.with_suffix(".md").write_text(text, encoding="utf-8")
    # The names of folders are enough: where they lie on this machine is nobody's business.
    given = {name: value for name, value in vars(args).items() if name != "results"}
    arguments = {name: value.name if isinstance(value, Path) else value for name, value in given.items()}
    record = {"machine": machine, "arguments": arguments, "measured": raw}
    if bars:
        record["plot"] = {"title": title, "axis": axis, "bars": [bar._asdict() for bar in bars]}
    path.with_suffix(".json").write_text(json.dumps(record, indent=1, default=str) + "\n", encoding="utf-8")


def describe_machine():
    """Returns processor, cores, versions and date as a dict of texts and numbers."""
    versions = {name: _version(name) for name in _NEEDED}
    versions |= {name: version for name in _OPTIONAL if (version := _version(name)) != _UNKNOWN}
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        **versions,
        "transferkit": _transferkit_version(),
        "date": datetime.now(UTC).date().isoformat(),
    }


def _one_line(machine):
    names = [name for name in ("python", *_NEEDED, *_OPTIONAL, "transferkit") if name in machine]
    versions = ", ".join(f"{name} {machine[name]}" for name in names)
    return f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}; {versions}; {machine['date']}"


def _cpu_model():
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _version(distribution):
    for name in (distribution, f"{distribution}-cpu"):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return _UNKNOWN


def _transferkit_version():
    """The version and, in a git checkout, the commit, with a mark if files were changed since."""
    import transferkit

    command = ["git", "-C", str(CHECKOUT), "describe", "--always", "--dirty", "--abbrev=9"]
    try:
        commit = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return transferkit.__version__
    return f"{transferkit.__version__} (commit {commit})"
