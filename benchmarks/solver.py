"""The logistic path: its speed, and what to choose the strength of the penalty by.

Speed: `fit_logistic_path` with its 5 folds on the training features of cifar10-10k, beside scikit-learn's
LogisticRegression over the same strengths *without* cross-validation, so with one fit a strength instead of six:
warm started from the stronger penalty, on standardised float32 features, C = 1 / (strength n). Both minimise the
same function, which is given, too, for what each found at the strength that was chosen: less is better.
scikit-learn runs with SciPy's BLAS held to one thread, which favours it: the wheels of NumPy and SciPy bring a
thread pool each, and the two can slow each other down many times.

Choice: several draws of n images a class from the training images are fitted over all strengths and scored on all
other training images, once for each way of choosing the strength by cross-validation: held-out log loss after
temperature scaling (what `fit_logistic_path` does), plain held-out log loss, held-out accuracy (the stronger
penalty if equal). Log loss on the others is given without and with the temperature found by cross-validation. The
differences are paired. The test images have no part in any of it.

    python benchmarks/solver.py
"""

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
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from transferkit.backbones.preprocessing import INTERPOLATION
from transferkit.training import solvers

CHOICES = {"log loss at its temperature": "tempered_loss", "log loss": "loss", "accuracy": "error"}


def log_loss(logits, labels):
    """Mean log loss in nats."""
    logits = logits - logits.max(axis=1, keepdims=True)
    return float((np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(labels)), labels]).mean(dtype="float64"))


def objective(kernel, bias, strength, standardised, labels):
    """What both solvers minimise."""
    return log_loss(standardised @ kernel + bias, labels) + 0.5 * strength * float(np.square(kernel).sum())


def measure_speed(features, labels):
    """Times the path with cross-validation, then scikit-learn's without, and compares what they minimised."""
    path, seconds = timed(solvers.fit_logistic_path, features, labels, int(labels.max()) + 1)
    tell(f"fit_logistic_path: {seconds:.1f} s for {len(path.strengths)} strengths")
    scaler = StandardScaler().fit(features)
    standardised = scaler.transform(features)
    best = path.strengths.index(path.strength)
    kernel = path.kernel * scaler.scale_[:, None] * path.temperature[best]
    bias = (path.bias + scaler.mean_ @ path.kernel) * path.temperature[best]
    record = {
        "strengths": path.strengths,
        "strength": path.strength,
        "seconds": seconds,
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
        with solvers._one_thread_in_scipy():
            _, seconds = timed(model.fit, standardised, labels)
        each.append(seconds)
        steps.append(int(model.n_iter_.max()))
        tell(f"scikit-learn, strength {strength:.4f}: {seconds:.1f} s, {steps[-1]} iterations")
        if index == best:
            value = objective(model.coef_.T, model.intercept_, strength, standardised, labels)
    return {"seconds": total + sum(each), "seconds_each": each, "iterations": steps, "objective": value}


def trace_path(features, labels, other_features, other_labels, seed):
    """Solves all strengths on one draw. Returns one record a strength: held-out scores, and scores on the others."""
    axes = solvers._principal_axes(features)
    rotated, others = axes.rotate(features), axes.rotate(other_features)
    held_out = solvers._fold_masks(labels, 5, seed)
    training_rows = np.vstack([~held_out, np.ones((1, len(labels)), bool)])
    weights = np.zeros((len(training_rows), int(other_labels.max()) + 1, rotated.shape[1] + 1), "float32")
    records = []
    for strength in solvers.STRENGTHS:
        weights = solvers._solve(rotated, labels, training_rows, weights, strength, axes.variances)
        held_out_logits = np.empty((len(labels), weights.shape[1]), "float32")
        for rows, fold_weights in zip(held_out, weights, strict=False):
            held_out_logits[rows] = solvers._logits(rotated[rows], fold_weights)
        tempered_loss, accuracy, temperature = solvers._judge(held_out_logits, labels)
        logits = solvers._logits(others, weights[-1])
        records.append({
            "strength": strength,
            "loss": log_loss(held_out_logits, labels),
            "tempered_loss": tempered_loss,
            "error": 1 - accuracy,
            "temperature": temperature,
            "others_accuracy": float((logits.argmax(axis=1) == other_labels).mean()),
            "others_loss": log_loss(logits, other_labels),
            "others_tempered_loss": log_loss(logits / temperature, other_labels),
        })  # fmt: skip
    return records


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
    chosen = {name: [min(trace, key=lambda record: record[key]) for trace in traces] for name, key in CHOICES.items()}
    reference = [record["others_accuracy"] for record in next(iter(chosen.values()))]
    rows = []
    for name, records in chosen.items():
        strength = np.exp(np.mean([np.log(record["strength"]) for record in records]))
        accuracies = [record["others_accuracy"] for record in records]
        plain, tempered = (
            np.mean([record[key] for record in records]) for key in ("others_loss", "others_tempered_loss")
        )
        difference = mean_and_error(np.subtract(accuracies, reference)) if rows else ""
        rows.append([count, name, f"{strength:.3f}", f"{np.mean(accuracies):.4f}", difference, f"{plain:.4f}",
                     f"{tempered:.4f}"])  # fmt: skip
    return rows


def tables_of(speed, choices):
    """The two tables."""
    ours, theirs = speed["transferkit"], speed["scikit-learn"]
    number, fold_fits = len(ours["strengths"]), 6 * len(ours["strengths"])
    rows = [
        ["`fit_logistic_path`", number, fold_fits, f"{ours['seconds']:.1f}", f"{ours['objective']:.6f}"],
        ["scikit-learn, no cross-validation", number, number, f"{theirs['seconds']:.1f}", f"{theirs['objective']:.6f}"],
    ]
    speed_table = markdown_table(["solver", "strengths", "fits", "seconds", "objective where chosen"], rows)
    header = ["images a class", "strength chosen by", "strength (geometric mean)", "accuracy on the others",
              "difference, points", "log loss", "log loss at the temperature"]  # fmt: skip
    rows = [row for count, traces in choices.items() for row in choice_rows(count, traces)]
    return [speed_table, markdown_table(header, rows)]


def main():
    parser = make_parser(__doc__)
    add_data_arguments(parser)
    add_cache_argument(parser)
    parser.add_argument("--counts", type=int, nargs="+", default=[5, 20, 60, 300], help="images a class of the draws")
    parser.add_argument("--seeds", type=int, default=6, help="draws of each number of images")
    args = parser.parse_args()
    data = load_cifar10(args.data, args.per_class)
    features = load_features(data.x_train, INTERPOLATION, args.cache)
    speed = measure_speed(features, data.y_train)
    choices = {count: measure_choices(features, data.y_train, count, args.seeds) for count in args.counts}
    text = f"{len(features):,} training images of {data.origin}; {args.seeds} draws, mean ± standard error."
    raw = {"speed": speed, "choices": choices}
    publish(__file__, __doc__, args, [*tables_of(speed, choices), text], raw)


if __name__ == "__main__":
    main()
