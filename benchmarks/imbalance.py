"""What to do about classes of different sizes: balanced accuracy on long-tailed CIFAR-10.

Of the training images of cifar10-10k, class k keeps `1000 * ratio ** (-k / 9)` at random, so that the largest class has
`--ratio` times as many as the smallest; which class is the largest is drawn, too. The classifier is the default one at
`--image-size`, with each way of `balance` and `class_weight` in turn on the same images. It is judged on all test
images, which are balanced: there, balanced accuracy is accuracy. `plain` does nothing about it.

What `balance="auto"` does was settled before any of this was measured. To try other ways without looking at test
images, `--judge training` sets a tenth of the training images aside, all classes alike, and judges on these.

    python benchmarks/imbalance.py
"""

import numpy as np
from _caches import fresh_cache
from _common import add_data_arguments, load_cifar10, make_parser, markdown_table, mean_and_error, publish, tell

WAYS = {
    "plain": {},
    "balance='auto'": {"balance": "auto"},
    "balance='logit_adjustment'": {"balance": "logit_adjustment"},
    "balance='crt'": {"balance": "crt"},
    "balance='smote'": {"balance": "smote"},
    "balance='oversample'": {"balance": "oversample"},
    "balance='undersample'": {"balance": "undersample"},
    "balance='focal'": {"balance": "focal"},
    "class_weight='balanced'": {"class_weight": "balanced"},
    "class_weight='effective_number'": {"class_weight": "effective_number"},
}


def draw_long_tail(labels, ratio, seed):
    """Draws rows so that class sizes fall geometrically, in a random order of the classes."""
    rng = np.random.default_rng(seed)
    largest = np.bincount(labels).min()
    order, last = rng.permutation(labels.max() + 1), labels.max()
    counts = {code: max(1, round(largest * ratio ** (-place / last))) for place, code in enumerate(order)}
    rows = [rng.permutation(np.flatnonzero(labels == code))[:count] for code, count in counts.items()]
    return np.sort(np.concatenate(rows))


def hold_out(labels, share, seed):
    """Divides rows in two, the same share of each class in the second part."""
    rng = np.random.default_rng([seed, 1])
    second = [
        rng.permutation(np.flatnonzero(labels == code))[: round(share * (labels == code).sum())]
        for code in np.unique(labels)
    ]
    second = np.sort(np.concatenate(second))
    return np.setdiff1d(np.arange(len(labels)), second), second


def measure(data, args):
    """Fits and judges every way for every seed. Returns a list of records for each."""
    from transferkit import Compute, TransferClassifier

    records = {way: [] for way in WAYS}
    with fresh_cache():
        for seed in range(args.seeds):
            x, y, judges = data.x_train, data.y_train, (data.x_test, data.y_test)
            if args.judge == "training":
                rest, held_out = hold_out(y, 0.1, seed)
                x, y, judges = x[rest], y[rest], (x[held_out], y[held_out])
            rows = draw_long_tail(y, args.ratio, seed)
            for way, options in WAYS.items():
                classifier = TransferClassifier(
                    image_size=args.image_size, compute=Compute(cache="disk"), verbose=0, **options
                )
                report = classifier.fit(x[rows], y[rows]).evaluate(*judges)
                records[way].append({"seed": seed, "counts": np.bincount(y[rows]).tolist(), **report.to_dict()})
                tell(f"seed {seed}, {way}: {report.balanced_accuracy:.4f}")
    return records


def table_rows(records):
    """One row for each way, beside `plain`, the differences paired."""
    scores = {way: np.array([each["balanced_accuracy"] for each in kept]) for way, kept in records.items()}
    worst = {way: np.mean([each["worst_class"]["recall"] for each in kept]) for way, kept in records.items()}
    return [
        [
            way,
            f"{values.mean():.4f}",
            "" if way == "plain" else mean_and_error(values - scores["plain"]),
            f"{worst[way]:.3f}",
        ]
        for way, values in scores.items()
    ]


def main():
    parser = make_parser(__doc__)
    add_data_arguments(parser)
    parser.add_argument("--ratio", type=float, default=100, help="size of the largest class over the smallest")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--image-size", type=int, default=96)
    parser.add_argument("--judge", choices=["test", "training"], default="test", help="images to judge on")
    args = parser.parse_args()
    data = load_cifar10(args.data, args.per_class)
    records = measure(data, args)
    header = ["way", "balanced accuracy", "points over plain", "recall of the worst class"]
    text = f"{data.origin}, ratio {args.ratio:g}, {args.seeds} draws, judged on {args.judge} images; mean ± its error."
    publish(__file__, __doc__, args, [markdown_table(header, table_rows(records)), text], records)


if __name__ == "__main__":
    main()
