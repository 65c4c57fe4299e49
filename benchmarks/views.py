"""What augmentation costs and gains when an image has a few versions that are computed once.

Training images of CIFAR-10 at 96 px: some to train on, drawn at random, and 2,000 others to judge by; the test images
have no part in it. Two uses of `views`, each for several numbers of images and seeds; a seed decides the draw, the
split and the augmentation.

- Last stages: the logistic head first, then the stages from `block6` on for 8 epochs, with `augmentation="auto"`,
  which is "light" in that phase and none for the head. K versions take turns in the epochs, 1 being the image as it
  is; "new in every epoch" is `views=None`, for which the frozen stages are computed again in each.
- Logistic head: with `augmentation="light"` it is fitted to K versions of each image at once.

Timed is `fit`, everything in turn in one process, each with a cache folder that is empty but for `speeds.json`: the
first fit that is long enough for it also finds out which engine and precision are the fastest on this machine.

    python benchmarks/views.py
"""

import gc

import numpy as np
from _caches import fresh_cache, read_speeds
from _common import (
    Bar,
    add_data_arguments,
    draw_with_judges,
    load_cifar10,
    make_parser,
    markdown_table,
    mean_and_error,
    publish,
    tell,
    timed,
)

LAST_STAGES, LOGISTIC = "last stages", "logistic head"
EPOCHS = 8


def build_classifier(use, views, image_size, seed):
    """Builds one of the classifiers that are compared."""
    from transferkit import Phase, TransferClassifier

    common = {"image_size": image_size, "seed": seed, "verbose": 0}
    if use == LOGISTIC:
        return TransferClassifier(augmentation="light", schedule=[Phase("logistic", views=views)], **common)
    against_overfitting = {"layer_decay": 0.8, "label_smoothing": 0.1, "patience": None}
    last_stages = Phase("block6", EPOCHS, 1e-3, "cosine", views=views, **against_overfitting)
    return TransferClassifier(schedule=[Phase("logistic"), last_stages], augmentation="auto", **common)


def measure(data, use, counts, choices, args):
    """Fits everything, one after the other. Returns one record a fit."""
    records, speeds = [], None
    for count in counts:
        for seed in range(args.seeds):
            training, others = draw_with_judges(data, count, seed)
            for views in choices:
                with fresh_cache(speeds) as cache:
                    classifier = build_classifier(use, views, args.image_size, seed)
                    _, seconds = timed(classifier.fit, *training)
                    speeds = read_speeds(cache)
                accuracy = classifier.evaluate(*others).accuracy
                records.append({"count": count, "seed": seed, "views": views, "fit": seconds, "accuracy": accuracy})
                tell(f"{use}: {records[-1]}")
                gc.collect()
    return records


def pick(records, count, views):
    """The records of one number of images and of views, by seed."""
    return [record for record in records if (record["count"], record["views"]) == (count, views)]


def gains_of(records, count, views):
    """Accuracy above that with the images as they are, seed by seed."""
    pairs = zip(pick(records, count, views), pick(records, count, 1), strict=True)
    return [record["accuracy"] - plain["accuracy"] for record, plain in pairs]


def cells_of(records):
    """The numbers of images and of views, in order."""
    return list(dict.fromkeys((record["count"], record["views"]) for record in records))


def table_of(records):
    """One row a number of images and of views."""
    rows = []
    for count, views in cells_of(records):
        kept = pick(records, count, views)
        seconds, accuracies = ([record[key] for record in kept] for key in ("fit", "accuracy"))
        gain = mean_and_error(gains_of(records, count, views)) if views != 1 else ""
        each = ", ".join(f"{accuracy:.4f}" for accuracy in accuracies)
        rows.append(
            [f"{count:,}", _in_words(views), f"{np.mean(seconds):.1f}", f"{np.mean(accuracies):.4f}", each, gain]
        )
    return markdown_table(["images", "versions", "fit, s", "accuracy", "each seed", "gain, points"], rows)


def _in_words(views):
    return {None: "new in every epoch", 1: "1, as they are"}.get(views, views)


def bars_of(results):
    """What versions gain, in points."""
    return [
        Bar(f"{use}, {count:,} images, {_in_words(views)}", 100 * float(np.mean(gains_of(records, count, views))))
        for use, records in results.items()
        for count, views in cells_of(records)
        if views != 1
    ]


def main():
    parser = make_parser(__doc__)
    add_data_arguments(parser)
    parser.add_argument("--image-size", type=int, default=96)
    parser.add_argument("--counts", type=int, nargs="*", default=[600, 3000, 8000], help="images, for the last stages")
    parser.add_argument("--head-counts", type=int, nargs="*", default=[100, 600, 3000], help="the same for the head")
    parser.add_argument("--views", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--seeds", type=int, default=2)
    args = parser.parse_args()
    data = load_cifar10(args.data, args.per_class)
    choices = sorted({1, *args.views})
    results = {
        LAST_STAGES: measure(data, LAST_STAGES, args.counts, [*choices, None], args),
        LOGISTIC: measure(data, LOGISTIC, args.head_counts, choices, args),
    }
    parts = [f"## {use.capitalize()}\n\n{table_of(records)}" for use, records in results.items()]
    note = (
        f"{args.image_size} px, means of {args.seeds} seeds; the gain is that over the images as they are, with its "
        f"standard error. Judged by 200 other training images a class, of {data.origin}."
    )
    publish(__file__, __doc__, args, [*parts, note], results, bars_of(results), "points of accuracy gained")


if __name__ == "__main__":
    main()
