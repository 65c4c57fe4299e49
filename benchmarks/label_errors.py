"""Wrong labels: how many of them `find_label_errors` puts first, and what it costs beside `fit`.

The 10,000 training images of cifar10-10k, 5 % of whose labels are replaced by other ones, drawn by a seed. "found" is
the share of the replaced labels among the first 10 % of the ranking; "suspects" is how many labels are said to be
wrong perhaps, with the share of these that were replaced and the share of the replaced ones that are among them.
CIFAR-10 has wrong labels of its own, which count as right here.

Timed are `find_label_errors` and, of another classifier, `fit`, both on the same labels, without anything in the cache;
and both once more, with the features found. Where cleanlab is installed, NumPy judges the same probabilities as well.

    python benchmarks/label_errors.py --seeds 1
"""

import numpy as np
from _caches import fresh_cache
from _common import Bar, add_data_arguments, load_cifar10, make_parser, markdown_table, median, publish, tell, timed

SHARE = 0.05  # of the labels that are replaced
FIRST = 0.1  # of the ranking
LEAST_FOUND, MOST_COST = 0.8, 1.2


def replace_labels(labels, seed):
    """Returns labels of which some are replaced by others, and which those are."""
    rng = np.random.default_rng(seed)
    is_replaced = np.zeros(len(labels), bool)
    is_replaced[rng.choice(len(labels), round(SHARE * len(labels)), replace=False)] = True
    others = (labels + rng.integers(1, 10, len(labels))) % 10
    return np.where(is_replaced, others, labels), is_replaced


def found_among(errors, is_replaced):
    """Numbers about one result."""
    first = errors.ranking[: round(FIRST * len(is_replaced))]
    suspects = errors.is_suspect
    return {
        "found": float(is_replaced[first].sum() / is_replaced.sum()),
        "suspects": int(suspects.sum()),
        "replaced among suspects": float(is_replaced[suspects].mean()) if suspects.any() else 0.0,
        "suspects among replaced": float(suspects[is_replaced].mean()),
    }


def measure(data, seed, image_size):
    """Measures one seed. Returns its record."""
    from transferkit import TransferClassifier

    def classifier():
        return TransferClassifier(image_size=image_size, seed=seed, verbose=0)

    given, is_replaced = replace_labels(data.y_train, seed)
    with fresh_cache(None):
        errors, cost = timed(classifier().find_label_errors, data.x_train, given)
        _, again = timed(classifier().find_label_errors, data.x_train, given)
    with fresh_cache(None):
        _, fit = timed(classifier().fit, data.x_train, given)
        _, fit_again = timed(classifier().fit, data.x_train, given)
    record = {"cost": cost, "fit": fit, "cost again": again, "fit again": fit_again, **found_among(errors, is_replaced)}
    return record | {"cleanlab": judge_otherwise(errors, given, is_replaced)}


def judge_otherwise(errors, given, is_replaced):
    """Whether cleanlab, if it is there, and NumPy find the same; `None` if it is not."""
    from transferkit.evaluation import label_errors

    if not label_errors.has_cleanlab():
        return None
    has_cleanlab, label_errors.has_cleanlab = label_errors.has_cleanlab, lambda: False
    try:
        scores, is_suspect = label_errors.judge_labels(given, errors.probabilities, np.ones(len(given), bool))
    finally:
        label_errors.has_cleanlab = has_cleanlab
    return bool(np.allclose(scores, errors.scores) and np.array_equal(is_suspect, errors.is_suspect))


def main():
    parser = make_parser(__doc__)
    add_data_arguments(parser)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--image-size", type=int, help="default: that of the backbone")
    args = parser.parse_args()
    data = load_cifar10(args.data, args.per_class)
    records = []
    for seed in range(args.seeds):
        records.append(measure(data, seed, args.image_size))
        tell(f"seed {seed}: {records[-1]}")
    ratio = float(np.median([record["cost"] / record["fit"] for record in records]))
    names = ("found", "suspects", "replaced among suspects", "suspects among replaced")
    header = [
        f"found in the first 10 % (target {LEAST_FOUND})",
        *names[1:],
        "fit, s",
        f"find_label_errors / fit (target {MOST_COST})",
        "both again, s",
    ]
    found = median(records, "found")
    row = [
        f"{found:.3f}",
        f"{median(records, 'suspects'):.0f}",
        *(f"{median(records, name):.3f}" for name in names[2:]),
        f"{median(records, 'fit'):.1f}",
        f"{ratio:.2f}",
        f"{median(records, 'cost again'):.1f}, {median(records, 'fit again'):.1f}",
    ]
    note = f"{len(data.y_train):,} images; medians of {args.seeds} seeds. {data.origin}"
    bars = [Bar("found in the first 10 %", found, LEAST_FOUND), Bar("cost beside fit", ratio, MOST_COST)]
    publish(__file__, __doc__, args, [markdown_table(header, [row]), note], records, bars, axis="share, and ratio")


if __name__ == "__main__":
    main()
