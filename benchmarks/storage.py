"""What half precision does to accuracy: features computed in bfloat16, and kept as float16.

The logistic head on training images of CIFAR-10, drawn at random several times, with features computed in float32 or
bfloat16, which `cache="memory"` keeps as float32 and `cache="disk"` as float16. Accuracy and log loss are those of
`predict_proba`, which computes everything in float32 always, on 2,000 other training images; the test images have no
part in it. All settings get the same draws, so that their differences from the first one are paired.

    python benchmarks/storage.py
"""

import gc

import numpy as np
from _caches import fresh_cache
from _common import (
    Bar,
    add_data_arguments,
    draw_with_judges,
    is_installed,
    load_cifar10,
    make_parser,
    markdown_table,
    mean_and_error,
    publish,
    tell,
)

KEPT_AS = {"memory": "float32", "disk": "float16"}


def settings_here():
    """All combinations of engine, precision and cache; the first is the one that the others are compared with."""
    engines = ["keras", *(["openvino"] if is_installed("openvino") else [])]
    return [
        {"engine": engine, "precision": precision, "cache": cache}
        for engine in engines
        for precision in ("float32", "bfloat16")
        for cache in KEPT_AS
    ]


def name_of(setting):
    """Says what a setting is."""
    return f"{setting['engine']}, {setting['precision']}, kept as {KEPT_AS[setting['cache']]}"


def measure(training, others, image_size, setting):
    """Fits and judges once."""
    from transferkit import Compute, TransferClassifier

    classifier = TransferClassifier(image_size=image_size, compute=Compute(**setting), verbose=0).fit(*training)
    probabilities = classifier.predict_proba(others[0])
    of_truth = probabilities[np.arange(len(others[1])), others[1]].astype("float64")
    gc.collect()
    return {
        "accuracy": float((probabilities.argmax(axis=1) == others[1]).mean()),
        "log_loss": float(-np.log(np.maximum(of_truth, 1e-12)).mean()),
    }


def measure_all(data, args):
    """Fits every setting to every draw. Returns the records of each setting by the number of images."""
    settings, records = settings_here(), {}
    for count in args.counts:
        for seed in range(args.seeds):
            training, others = draw_with_judges(data, count, seed)
            for setting in settings:
                with fresh_cache():
                    record = measure(training, others, args.image_size, setting)
                records.setdefault(count, {}).setdefault(name_of(setting), []).append(record)
                tell(f"{count:,} images, draw {seed + 1} of {args.seeds}, {name_of(setting)}: {record}")
    return records


def differences_of(kept, key):
    """What every setting differs by from the first, draw by draw."""
    first = [record[key] for record in next(iter(kept.values()))]
    return {name: np.subtract([record[key] for record in records], first) for name, records in kept.items()}


def table_rows(count, kept):
    """One number of images as texts."""
    accuracies, losses, rows = differences_of(kept, "accuracy"), differences_of(kept, "log_loss"), []
    for name, records in kept.items():
        accuracy, loss = (np.mean([record[key] for record in records]) for key in ("accuracy", "log_loss"))
        is_first = not rows
        rows.append(
            [
                f"{count:,}",
                name,
                f"{accuracy:.4f}",
                "" if is_first else mean_and_error(accuracies[name]),
                f"{loss:.5f}",
                "" if is_first else f"{losses[name].mean():+.5f}",
                "" if is_first else f"{np.abs(losses[name]).max():.5f}",
            ]
        )
    return rows


def bars_of(records):
    """What accuracy loses or gains, in points."""
    return [
        Bar(f"{count:,} images: {name}", 100 * float(differences.mean()))
        for count, kept in records.items()
        for number, (name, differences) in enumerate(differences_of(kept, "accuracy").items())
        if number
    ]


def main():
    parser = make_parser(__doc__)
    add_data_arguments(parser)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--counts", type=int, nargs="+", default=[600, 8000], help="numbers of images")
    parser.add_argument("--seeds", type=int, default=3, help="draws of each number")
    args = parser.parse_args()
    data = load_cifar10(args.data, args.per_class)
    records = measure_all(data, args)
    header = ["images", "features", "accuracy", "difference, points", "log loss", "difference", "largest of all draws"]
    table = markdown_table(header, [line for count, kept in records.items() for line in table_rows(count, kept)])
    note = (
        f"{args.image_size} px, means of {args.seeds} draws, with the standard error of differences. Judged by "
        f"200 other training images a class, of {data.origin}."
    )
    publish(__file__, __doc__, args, [table, note], records, bars_of(records), "points of accuracy above the first")


if __name__ == "__main__":
    main()
