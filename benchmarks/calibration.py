"""Calibration: error of probabilities, coverage and size of sets, gain of several views.

The images of cifar10-10k are divided by `--seed`: `--train` to train on, 1,000 to calibrate on, and the others, test
images among them, to judge by. The expected calibration error is that of the most probable class in 15 bins of as many
images each. Even if probabilities are perfect it is not 0, since an accuracy in a bin is measured on its images: "by
chance" is what it would be then, with labels drawn from the probabilities.

Sets: `--divisions` times, other 1,000 images are drawn from those that were not trained on to calibrate on, and all
others judge. "whole mass" is APS whose score is the probability of all classes down to the right one, itself included;
"naive" takes classes until their probability is the coverage.

Few images: the temperature of the default head, whose logits are three times as large as they should be, is fitted to
some of the images, with our prior and with Platt's targets.

    python benchmarks/calibration.py
    python benchmarks/calibration.py --size 224
"""

import numpy as np
from _common import add_data_arguments, draw_per_class, load_cifar10, make_parser, markdown_table, publish, tell
from scipy.special import softmax

COVERAGES = (0.8, 0.9, 0.95)
HELD_OUT = 1000
FEW = (10, 30, 100, 300, 1000)
VIEWS = (1, 2, 4, 10)
TARGET = 0.02


def divide(data, count, seed):
    """Returns images and labels to train on, to calibrate on, and to judge by."""
    rows, rest = draw_per_class(data.y_train, count // 10, seed)
    held_out, others = draw_per_class(data.y_train[rest], HELD_OUT // 10, 1000 + seed)
    x, y = data.x_train[rest], data.y_train[rest]
    judges = np.concatenate([x[others], data.x_test]), np.concatenate([y[others], data.y_test])
    return (data.x_train[rows], data.y_train[rows]), (x[held_out], y[held_out]), judges


def error_of(probabilities, labels):
    """Expected calibration error."""
    from transferkit.evaluation.reliability import reliability_of

    return reliability_of(probabilities.max(axis=1), probabilities.argmax(axis=1) == labels).error


def judged(probabilities, labels, seed=0):
    """What is told of probabilities `(n, 10)`."""
    rng = np.random.default_rng(seed)
    perfect = [(probabilities.cumsum(axis=1) > rng.random((len(labels), 1))).argmax(axis=1) for _ in range(5)]
    own = probabilities[np.arange(len(labels)), labels]
    return {
        "accuracy": float((probabilities.argmax(axis=1) == labels).mean()),
        "log_loss": float(-np.log(np.maximum(own, 1e-12)).mean()),
        "error": error_of(probabilities, labels),
        "by_chance": float(np.mean([error_of(probabilities, drawn) for drawn in perfect])),
    }


def measure(classifier, training, held_out, judges, views):
    """Fits, calibrates, and judges before and after. Returns the records, and the probabilities before."""
    classifier.fit(*training)
    before = [classifier.predict_proba(images) for images, _ in (held_out, judges)]
    record = {"before": judged(before[1], judges[1])}
    classifier.calibrate(*held_out)
    record["temperature"] = classifier.fitted_.temperature
    record["after"] = judged(classifier.predict_proba(judges[0]), judges[1])
    some = judges[0][-views:], judges[1][-views:]
    record["views"] = {
        count: judged(classifier.predict_proba(some[0], views=count), some[1]) for count in VIEWS if views
    }
    return record, before


def measure_sets(probabilities, labels, divisions, cross_validated):
    """Coverage and mean size of sets by each method, over several divisions."""
    from transferkit.evaluation.conformal import Conformal, conformal_quantile, rank_classes, unusualness

    ranking, own, found = rank_classes(probabilities), (np.arange(len(labels)), labels), {}
    whole = unusualness(ranking, "aps", 0.0)
    for division in range(divisions):
        order = np.random.default_rng(division).permutation(len(labels))
        rows, rest = order[:HELD_OUT], order[HELD_OUT:]
        conformal = Conformal.of(probabilities[rows], labels[rows])
        for coverage in COVERAGES:
            sets = {
                "naive": ranking.masses[rest] - probabilities[rest] < coverage,
                "APS, whole mass": whole[rest] <= conformal_quantile(whole[own][rows], coverage),
                "LAC": conformal.sets(probabilities[rest], coverage, "lac"),
                "APS": conformal.sets(probabilities[rest], coverage, "aps"),
                "RAPS (default)": conformal.sets(probabilities[rest], coverage),
                "RAPS, randomised": conformal.sets(
                    probabilities[rest], coverage, generator=np.random.default_rng(division)
                ),
                "RAPS, per class": conformal.sets(probabilities[rest], coverage, per_class=True),
                "RAPS, cross-validated by `fit`": cross_validated.sets(probabilities[rest], coverage),
            }
            for name, belong in sets.items():
                hits = belong[np.arange(len(rest)), labels[rest]]
                worst = min(hits[labels[rest] == code].mean() for code in range(10))
                hard = hits[np.argsort(probabilities[rest].max(axis=1))[: len(rest) // 4]].mean()
                row = hits.mean(), belong.sum(axis=1).mean(), worst, hard
                found.setdefault(name, {}).setdefault(str(coverage), []).append(row)
    return {
        name: {coverage: np.mean(rows, axis=0).tolist() for coverage, rows in of_one.items()}
        for name, of_one in found.items()
    }


def measure_few(probabilities, labels, draws=20):
    """Calibration error after fitting a temperature to few images, of logits that are three times too large."""
    from transferkit.evaluation.calibration import fit_temperature, judge_at_best_temperature, logits_of

    logits, found = 3 * logits_of(probabilities, labels), {}
    for count in FEW:
        rows = []
        for draw in range(draws):
            order = np.random.default_rng(draw).permutation(len(labels))
            some, rest = order[:count], order[count:]
            ours = fit_temperature(logits[some], labels[some])
            platt = judge_at_best_temperature(logits[some], labels[some])[2]
            rows.append([error_of(softmax(logits[rest] / t, axis=1), labels[rest]) for t in (1.0, ours, platt)])
        found[count] = np.mean(rows, axis=0).tolist()
    return found


def error_table(records):
    rows = []
    for name, record in records.items():
        for when in ("before", "after"):
            row = record[when]
            numbers = [f"{row['accuracy']:.1%}", *(f"{row[key]:.4f}" for key in ("log_loss", "error", "by_chance"))]
            note = "" if when == "before" else f" `calibrate` (temperature {record['temperature']:.3f})"
            rows.append([name, when + note, *numbers])
    return markdown_table(["classifier", "when", "accuracy", "log loss", "expected error", "by chance"], rows)


def sets_table(found):
    header = ["method"] + [f"{name} at {coverage}" for coverage in COVERAGES for name in ("coverage", "size")]
    header += ["worst class at 0.9", "hardest quarter at 0.9"]
    rows = []
    for name, record in found.items():
        numbers = [f"{record[str(c)][i]:{'.1%' if i == 0 else '.2f'}}" for c in COVERAGES for i in (0, 1)]
        rows.append([name, *numbers, *(f"{value:.1%}" for value in record["0.9"][2:])])
    return markdown_table(header, rows)


def views_table(records):
    rows = [
        [name, *(f"{row['accuracy']:.1%}, {row['log_loss']:.3f}" for row in record["views"].values())]
        for name, record in records.items()
        if record["views"]
    ]
    return markdown_table(
        ["accuracy, log loss", *("1 view" if count == 1 else f"{count} views" for count in VIEWS)], rows
    )


def main():
    parser = make_parser(__doc__)
    add_data_arguments(parser)
    parser.add_argument("--size", type=int, default=96, help="size of the images, in pixels")
    parser.add_argument("--train", type=int, default=4000, help="images to train the default classifier on")
    parser.add_argument("--tune", type=int, default=2000, help="images to fine-tune on; 0: leave that out")
    parser.add_argument("--epochs", type=int, default=3, help="epochs of fine-tuning")
    parser.add_argument("--views", type=int, default=2000, help="images to judge several views by; 0: leave that out")
    parser.add_argument("--divisions", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    from transferkit import TransferClassifier

    data = load_cifar10(args.data, args.per_class)
    options = {"image_size": args.size, "verbose": 0, "seed": args.seed}
    training, held_out, judges = divide(data, args.train, args.seed)
    default, records = TransferClassifier(**options), {}
    name = f"default, {args.train:,} images"
    records[name], before = measure(default, training, held_out, judges, args.views)
    tell(f"{name}: {records[name]}")
    probabilities, labels = np.concatenate(before), np.concatenate([held_out[1], judges[1]])
    cross_validated = TransferClassifier(**options).fit(*training).fitted_.conformal
    found = measure_sets(probabilities, labels, args.divisions, cross_validated)
    few = measure_few(probabilities, labels)
    if args.tune:
        some = tuple(part[draw_per_class(training[1], args.tune // 10, args.seed)[0]] for part in training)
        tuned = TransferClassifier(schedule="fine_tune", epochs=args.epochs, **options)
        name = f"fine-tuned for {args.epochs} epochs, {args.tune:,} images"
        records[name], _ = measure(tuned, some, held_out, judges, args.views)
        tell(f"{name}: {records[name]}")
    columns = ["images", "before", "`calibrate`", "Platt's targets"]
    parts = [
        f"{data.origin}, EfficientNet-Lite0 at {args.size} px; {len(judges[1]):,} images judge. "
        f"The expected error should be below {TARGET}.",
        error_table(records),
        f"Sets of classes for the default classifier, calibrated on {HELD_OUT:,} images; means of {args.divisions} "
        "divisions.",
        sets_table(found),
        "Expected error of logits three times too large, after few images:",
        markdown_table(columns, [[count, *(f"{value:.3f}" for value in row)] for count, row in few.items()]),
    ]
    if args.views:
        parts += [f"Several views of the last {args.views:,} of them:", views_table(records)]
    publish(__file__, __doc__, args, parts, {"errors": records, "sets": found, "few": few})


if __name__ == "__main__":
    main()
