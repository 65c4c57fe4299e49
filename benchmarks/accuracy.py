"""Test accuracy of the default settings.

`TransferClassifier().fit(train)`, then `.evaluate(test)` on images that had no part in the training: the class
folder examples/data/cifar10-mini (60 + 30 images a class) and the arrays of cifar10-10k.npz (1000 + 200 a class).
One run each: the same seed and data give the same classifier. The interval is Wilson's, at 95 %.

    python benchmarks/accuracy.py
"""

from _caches import fresh_cache
from _common import CIFAR10_MINI, add_data_arguments, load_cifar10, make_parser, markdown_table, publish, timed

TARGETS = {"cifar10-mini": 0.85, "cifar10-10k": 0.885}


def measure(training, test):
    """Fits on `training`, evaluates on `test`, both tuples of the arguments of `fit` and `evaluate`."""
    from transferkit import TransferClassifier

    with fresh_cache():
        classifier, fit_seconds = timed(TransferClassifier().fit, *training)
    report, evaluate_seconds = timed(classifier.evaluate, *test)
    return {"fit": fit_seconds, "evaluate": evaluate_seconds, "history": classifier.history_, **report.to_dict()}


def table_row(name, record):
    """One data set as texts."""
    low, high = record["accuracy_interval"]
    verdict = "met" if record["accuracy"] >= TARGETS[name] else "missed"
    return [
        name,
        f"{record['num_images']:,}",
        f"{record['accuracy']:.4f}",
        f"{low:.3f} to {high:.3f}",
        f"{record['macro_f1']:.4f}",
        f"{TARGETS[name]}: {verdict}",
        f"{record['fit']:.1f}",
        f"{record['evaluate']:.1f}",
    ]


def main():
    parser = make_parser(__doc__)
    add_data_arguments(parser)
    parser.add_argument("--only", choices=TARGETS, help="measure one of the two")
    args = parser.parse_args()
    records, notes = {}, []
    if args.only in (None, "cifar10-mini"):
        records["cifar10-mini"] = measure((CIFAR10_MINI / "train",), (CIFAR10_MINI / "test",))
    if args.only in (None, "cifar10-10k"):
        data = load_cifar10(args.data, args.per_class)
        records["cifar10-10k"] = measure((data.x_train, data.y_train), (data.x_test, data.y_test))
        notes.append(f"cifar10-10k here: {data.origin}.")
    header = ["data", "test images", "accuracy", "95 % interval", "macro F1", "at least", "fit, s", "evaluate, s"]
    table = markdown_table(header, [table_row(name, record) for name, record in records.items()])
    publish(__file__, __doc__, args, [table, *notes], records)


if __name__ == "__main__":
    main()
