"""Fine-tuning against the logistic head, at one image size.

`TransferClassifier(image_size=96, schedule="fine_tune")` and the same with the default schedule, for several seeds, on
the arrays of cifar10-10k.npz and on the class folder examples/data/cifar10-mini. A seed decides the images that are
held out for validation, their order and their augmentation; the logistic head hardly depends on it. Checked as well:
the BatchNorm statistics of the backbone are, bit for bit, those that it came with.

    python benchmarks/fine_tuning.py --epochs 4
"""

import gc

import numpy as np
from _caches import fresh_cache
from _common import (
    CIFAR10_MINI,
    add_data_arguments,
    load_cifar10,
    make_parser,
    markdown_table,
    mean_and_error,
    publish,
    tell,
    timed,
)

TARGETS = {"cifar10-10k": 2.0, "cifar10-mini": -0.5}  # points above the logistic head, at least


def statistics(network):
    """Returns the BatchNorm statistics of a network, as arrays."""
    import keras

    layers = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    return [value.numpy() for layer in layers for value in (layer.moving_mean, layer.moving_variance)]


def measure(training, test, seed, image_size, epochs):
    """Trains both ways with one seed. `training` and `test` are tuples of the arguments of `fit` and `evaluate`."""
    from transferkit import TransferClassifier

    with fresh_cache():
        linear, linear_seconds = timed(TransferClassifier(image_size=image_size, seed=seed, verbose=0).fit, *training)
    tuned = TransferClassifier(image_size=image_size, seed=seed, schedule="fine_tune", epochs=epochs, verbose=0)
    with fresh_cache():
        _, tuned_seconds = timed(tuned.fit, *training)
    pairs = zip(
        statistics(linear.backbone_.build(image_size=(image_size, image_size))),
        statistics(tuned.model_.get_layer("backbone")),
        strict=True,
    )
    unchanged = all(np.array_equal(before, after) for before, after in pairs)
    record = {
        "seed": seed,
        "linear": linear.evaluate(*test).accuracy,
        "fine_tune": tuned.evaluate(*test).accuracy,
        "linear_seconds": linear_seconds,
        "fine_tune_seconds": tuned_seconds,
        "statistics_unchanged": unchanged,
        "history": tuned.history_,
    }
    tell(f"seed {seed}: {record['linear']:.4f} → {record['fine_tune']:.4f}, {tuned_seconds:.0f} s")
    gc.collect()
    return record


def table_row(name, records):
    """One data set as texts."""
    gains = [record["fine_tune"] - record["linear"] for record in records]
    met = min(gains) * 100 >= TARGETS[name] and all(record["statistics_unchanged"] for record in records)
    return [
        name,
        ", ".join(f"{record['linear']:.4f}" for record in records),
        ", ".join(f"{record['fine_tune']:.4f}" for record in records),
        mean_and_error(gains),
        f"{100 * min(gains):+.2f}",
        f"{TARGETS[name]:+}: {'met' if met else 'missed'}",
        "yes" if all(record["statistics_unchanged"] for record in records) else "no",
        " to ".join(f"{pick(record['fine_tune_seconds'] for record in records):.0f}" for pick in (min, max)),
    ]


def main():
    parser = make_parser(__doc__)
    add_data_arguments(parser)
    parser.add_argument("--only", choices=TARGETS, help="measure one of the two")
    parser.add_argument("--image-size", type=int, default=96)
    parser.add_argument("--epochs", type=int, default=None, help="default: the schedule's own")
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    data_sets = {"cifar10-mini": ((CIFAR10_MINI / "train",), (CIFAR10_MINI / "test",))}
    data = load_cifar10(args.data, args.per_class)
    data_sets["cifar10-10k"] = (data.x_train, data.y_train), (data.x_test, data.y_test)
    records = {
        name: [measure(*parts, seed, args.image_size, args.epochs) for seed in range(args.seeds)]
        for name, parts in data_sets.items()
        if args.only in (None, name)
    }
    header = [
        "data",
        "logistic head",
        "fine_tune",
        "gain, points",
        "least gain",
        "at least",
        "statistics unchanged",
        "fine_tune, s",
    ]
    table = markdown_table(header, [table_row(name, rows) for name, rows in records.items()])
    note = (
        f"{args.image_size} px, {args.epochs or 'default'} epochs, one value a seed. cifar10-10k here: {data.origin}."
    )
    publish(__file__, __doc__, args, [table, note], records)


if __name__ == "__main__":
    main()
