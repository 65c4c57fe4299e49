"""The logistic path: its speed, what to choose the strength of the penalty by, and features larger than memory.

Speed: `fit_logistic_path` on the training features of cifar10-10k, strengths chosen by the first of 5 folds as it
does from 5,000 images on, beside scikit-learn's LogisticRegression over the same strengths *without* holding anything
out: warm started from the stronger penalty, on standardised float32 features, C = 1 / (strength n). Both minimise the
same function, which is given, too, for what each found at the strength that was chosen: less is better.
scikit-learn runs with SciPy's BLAS held to one thread, which favours it: the wheels of NumPy and SciPy bring a
thread pool each, and the two can slow each other down many times.

Choice: several draws of n images a class from the training images are fitted over all strengths and scored on all
other training images, once for each way of choosing the strength: held-out log loss after temperature scaling over 5
folds, the same on the first fold alone, plain held-out log loss, held-out accuracy (the stronger penalty if equal).
`fit_logistic_path` does the first below 5,000 images and the second from there on. Log loss on the others is given
without and with the temperature found on what was held out. The differences are paired. The test images have no part
in any of it.

Large: the features are drawn with replacement and given noise that has their covariance within classes, `--rows` of
them, written to a temporary folder as float32 and as float16, and fitted as `cache="disk"` does it: through a view that
reads what is asked for. A second set has a quarter of the rows and 100 classes, ten around each of the first. Given are
seconds, passes over all rows, and how much the memory of the process grew, without mapped files (Linux only).

    python benchmarks/solver.py
"""

import os
import tempfile
import threading
from pathlib import Path
from unittest import mock

import numpy as np
from _common import (
    add_data_arguments,
    draw_per_class,
    load_cifar10,
    make_parser,
    markdown_table,
    mean_and_error,
    publish,
    tell,
    timed,
)
from _features import add_cache_argument, load_features
from _memory import with_growth
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from threadpoolctl import ThreadpoolController

from transferkit.cache.rows import Rows
from transferkit.cache.segments import Segment
from transferkit.solvers import path as solvers
from transferkit.solvers.axes import Taken, principal_axes, rotate, standardise
from transferkit.solvers.examples import Examples
from transferkit.solvers.regression import Images, Problem, compute_logits, solve
from transferkit.solvers.workers import one_worker_a_core

CHOICES = {
    "log loss at its temperature": ("tempered_loss", "temperature"),
    "the same, first fold alone": ("part_tempered_loss", "part_temperature"),
    "log loss": ("loss", "temperature"),
    "accuracy": ("error", "temperature"),
}
ROWS = 200_000
FINER = 10  # classes that each becomes in the second large set


def log_loss(logits, labels):
    """Mean log loss in nats."""
    logits = logits - logits.max(axis=1, keepdims=True)
    return float((np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(labels)), labels]).mean(dtype="float64"))


def objective(kernel, bias, strength, standardised, labels):
    """What both solvers minimise."""
    return log_loss(standardised @ kernel + bias, labels) + 0.5 * strength * float(np.square(kernel).sum())


def measure_speed(features, labels, repeats):
    """Times the path, then scikit-learn over its strengths, and compares what they minimised."""
    seconds, problem = [], solvers.LogisticProblem(Examples(features, labels), int(labels.max()) + 1)
    for _ in range(repeats):
        path, each = timed(solvers.fit_logistic_path, problem)
        seconds.append(each)
        tell(f"fit_logistic_path: {each:.1f} s for {len(path.strengths)} strengths")
    scaler = StandardScaler().fit(features)
    standardised = scaler.transform(features)
    best = path.strengths.index(path.strength)
    kernel = path.kernel * scaler.scale_[:, None] * path.temperature[best]
    bias = (path.bias + scaler.mean_ @ path.kernel) * path.temperature[best]
    record = {
        "strengths": path.strengths,
        "strength": path.strength,
        "seconds": float(np.median(seconds)),
        "seconds_each": seconds,
        "objective": objective(kernel, bias, path.strength, standardised, labels),
    }
    return {"transferkit": record, "scikit-learn": time_sklearn(features, labels, path.strengths, best)}


def time_sklearn(features, labels, strengths, best):
    """Times scikit-learn over the same strengths, with standardising."""
    scaler = StandardScaler()
    standardised, total = timed(scaler.fit_transform, features)
    model = LogisticRegression(warm_start=True, max_iter=2000)
    each, steps, value = [], [], None
    for index, strength in enumerate(strengths):
        model.set_params(C=1 / (strength * len(labels)))
        with one_thread_in_scipy():
            _, seconds = timed(model.fit, standardised, labels)
        each.append(seconds)
        steps.append(int(model.n_iter_.max()))
        tell(f"scikit-learn, strength {strength:.4f}: {seconds:.1f} s, {steps[-1]} iterations")
        if index == best:
            value = objective(model.coef_.T, model.intercept_, strength, standardised, labels)
    return {"seconds": total + sum(each), "seconds_each": each, "iterations": steps, "objective": value}


def one_thread_in_scipy():
    """Holds SciPy's BLAS to one thread for a while; NumPy's keeps its own."""
    controller = ThreadpoolController()
    paths = [library["filepath"] for library in controller.info() if f"{os.sep}scipy" in library["filepath"]]
    return controller.select(filepath=paths).limit(limits=1)


def trace_path(features, labels, other_features, other_labels, seed):
    """Solves all strengths on one draw. Returns one record a strength: held-out scores, and scores on the others."""
    with one_worker_a_core() as workers, mock.patch.object(solvers, "_CROSS_VALIDATED", np.inf):
        image_weights = np.ones(len(labels), "float32")
        rows = standardise(features, image_weights, workers)
        others = rows.of(other_features)
        design = rotate(rows, principal_axes(rows, image_weights, workers), workers)
        problem = Problem(design, Images(rows, labels, image_weights), int(other_labels.max()) + 1, workers)
        folds = solvers._ByFolds(5, seed)
        held_out = folds.hold_out(labels)
        training = np.vstack([~held_out, np.ones((1, len(labels)), bool)])
        weights = np.zeros((len(training), problem.num_classes, design.rows.shape[1] + 1), "float32")
        records = []
        for strength in solvers.STRENGTHS:
            weights = solve(problem, training, weights, strength, solvers._EXACT)
            logits = compute_logits(others, design.standardised(weights[-1]), workers)
            records.append(record_of(problem, folds, held_out, weights, logits, other_labels) | {"strength": strength})
    return records


def record_of(problem, folds, held_out, weights, logits, other_labels):
    """Scores of one strength: of the folds' weights on what they hold out, of the last ones' logits of the others."""
    loss, accuracy, temperature = folds.judge(problem, held_out, weights[:-1])
    part_loss, _, part_temperature = folds.judge(problem, held_out[:1], weights[:1])
    parts = [np.flatnonzero(mask) for mask in held_out]
    own = [
        compute_logits(Taken(problem.design.rows, part), own, problem.workers)
        for part, own in zip(parts, weights[:-1], strict=True)
    ]
    return {
        "loss": log_loss(np.concatenate(own), problem.images.labels[np.concatenate(parts)]),
        "tempered_loss": loss,
        "part_tempered_loss": part_loss,
        "error": 1 - accuracy,
        "temperature": temperature,
        "part_temperature": part_temperature,
        "others_accuracy": float((logits.argmax(axis=1) == other_labels).mean()),
        "others_loss": log_loss(logits, other_labels),
        "others_tempered_loss": {
            name: log_loss(logits / value, other_labels)
            for name, value in (("temperature", temperature), ("part_temperature", part_temperature))
        },
    }


def measure_choices(features, labels, count, seeds):
    """Traces the path of several draws of `count` images a class."""
    traces = []
    for seed in range(seeds):
        drawn, others = draw_per_class(labels, count, seed)
        traces.append(trace_path(features[drawn], labels[drawn], features[others], labels[others], seed))
        tell(f"{count} images a class, draw {seed + 1} of {seeds}")
    return traces


def choice_rows(count, traces):
    """One row a way of choosing, averaged over the draws."""
    reference, rows = None, []
    for name, (key, temperature) in CHOICES.items():
        records = [min(trace, key=lambda record: record[key]) for trace in traces]
        strength = np.exp(np.mean([np.log(record["strength"]) for record in records]))
        accuracies = np.array([record["others_accuracy"] for record in records])
        reference = accuracies if reference is None else reference
        plain = np.mean([record["others_loss"] for record in records])
        tempered = np.mean([record["others_tempered_loss"][temperature] for record in records])
        difference = mean_and_error(accuracies - reference) if rows else ""
        numbers = [f"{accuracies.mean():.4f}", difference, f"{plain:.4f}", f"{tempered:.4f}"]
        rows.append([count, name, f"{strength:.3f}", *numbers])
    return rows


class Counted:
    """A view of rows that counts how many were read."""

    def __init__(self, rows):
        self.rows = rows
        self.shape = rows.shape
        self.num_read = 0
        self._lock = threading.Lock()

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        block = self.rows[index]
        with self._lock:
            self.num_read += len(block)
        return block


def write_features(features, labels, path, num_rows, finer, dtype):
    """Writes drawn features with noise to a file. Returns them, mapped from it, and their labels."""
    rng = np.random.default_rng(0)
    means = np.stack([features[labels == label].mean(axis=0) for label in range(labels.max() + 1)])
    covariance = np.cov((features - means[labels]).T)
    width = len(covariance)
    mix = np.linalg.cholesky(covariance + 1e-3 * np.trace(covariance) / width * np.eye(width)).T.astype("float32")
    centres = rng.standard_normal((finer, width), "float32") @ mix * (finer > 1)
    mapped = np.memmap(path, dtype, "w+", shape=(num_rows, width))
    codes = np.empty(num_rows, int)
    for start in range(0, num_rows, 10_000):
        part = slice(start, min(start + 10_000, num_rows))
        drawn, fine = (rng.integers(bound, size=part.stop - part.start) for bound in (len(features), finer))
        mapped[part] = features[drawn] + rng.standard_normal((len(drawn), width), "float32") @ mix + centres[fine]
        codes[part] = labels[drawn] * finer + fine
    return mapped, codes


def measure_large(features, labels, num_rows, finer, dtype):
    """Fits a file of features."""
    with tempfile.TemporaryDirectory() as folder:
        mapped, codes = write_features(features, labels, Path(folder, "features"), num_rows, finer, dtype)
        positions = np.arange(num_rows)
        view = Counted(Rows([Segment(None, mapped)], np.zeros_like(positions), positions, mapped.shape[1:]))
        problem = solvers.LogisticProblem(Examples(view, codes), int(codes.max()) + 1)
        (path, seconds), grown = with_growth(timed, solvers.fit_logistic_path, problem)
    record = {
        "rows": num_rows,
        "classes": int(codes.max()) + 1,
        "dtype": dtype,
        "seconds": seconds,
        "passes": view.num_read / num_rows,
        "grown": grown,
        "strength": path.strength,
        "strengths": path.strengths,
        "val_loss": path.val_loss,
    }
    tell(f"large: {record}")
    return record


def tables_of(speed, choices, large):
    """The three tables."""
    ours, theirs = speed["transferkit"], speed["scikit-learn"]
    number = len(ours["strengths"])
    rows = [
        ["`fit_logistic_path`", number, number + 1, f"{ours['seconds']:.1f}", f"{ours['objective']:.6f}"],
        ["scikit-learn, nothing held out", number, number, f"{theirs['seconds']:.1f}", f"{theirs['objective']:.6f}"],
    ]
    tables = [markdown_table(["solver", "strengths", "fits", "seconds", "objective where chosen"], rows)]
    header = [
        "images a class",
        "strength chosen by",
        "strength (geometric mean)",
        "accuracy on the others",
        "difference, points",
        "log loss",
        "log loss at the temperature",
    ]
    rows = [row for count, traces in choices.items() for row in choice_rows(count, traces)]
    tables.append(markdown_table(header, rows))
    rows = [
        [
            f"{record['rows']:,}",
            record["classes"],
            record["dtype"],
            f"{record['seconds']:.1f}",
            f"{record['passes']:.0f}",
            "" if record["grown"] is None else f"{record['grown']:.0f}",
        ]
        for record in large
    ]
    if rows:
        tables.append(markdown_table(["rows", "classes", "kept as", "seconds", "passes", "memory, MB"], rows))
    return tables


def main():
    parser = make_parser(__doc__)
    add_data_arguments(parser)
    add_cache_argument(parser)
    parser.add_argument(
        "--counts", type=int, nargs="+", default=[5, 20, 60, 300, 500, 800], help="images a class of the draws"
    )
    parser.add_argument("--seeds", type=int, default=6, help="draws of each number of images")
    parser.add_argument("--repeats", type=int, default=3, help="how often the path is timed")
    parser.add_argument("--rows", type=int, help="rows of the large set, 0 for none; default: 200000, or few if tried")
    args = parser.parse_args()
    num_rows = args.rows if args.rows is not None else ROWS if args.per_class is None else 2000
    data = load_cifar10(args.data, args.per_class)
    features = load_features(data.x_train, args.cache)
    labels = data.y_train
    speed = measure_speed(features, labels, args.repeats)
    choices = {count: measure_choices(features, labels, count, args.seeds) for count in args.counts}
    sets = [(num_rows, 1, "float32"), (num_rows, 1, "float16"), (num_rows // 4, FINER, "float16")] if num_rows else []
    large = [measure_large(features, labels, *each) for each in sets]
    text = f"{len(features):,} training images of {data.origin}; {args.seeds} draws, mean ± standard error."
    raw = {"speed": speed, "choices": choices, "large": large}
    publish(__file__, __doc__, args, [*tables_of(speed, choices, large), text], raw)


if __name__ == "__main__":
    main()
