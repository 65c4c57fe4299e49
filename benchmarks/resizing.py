"""Bilinear or bicubic: which antialiased resizing gives the better features.

Features of the training images of cifar10-10k only, under each rule; the test images have no part in the choice.
Then, for each rule: the held-out log loss and accuracy that `fit_logistic_path` finds by 5-fold cross-validation on
all of them; and for several seeds, 60 images a class fitted and scored on all other training images. Both rules get
the same draws, so that their differences are paired. Features are kept in `--cache`.

    python benchmarks/resizing.py
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
)
from _features import add_cache_argument, load_features

from transferkit.solvers.examples import Examples
from transferkit.solvers.path import LogisticProblem, Search, fit_logistic_path

RULES = ("bilinear", "bicubic")


def cross_validate(features, labels):
    """Cross-validates on all images, as `fit` does."""
    path = fit_logistic_path(LogisticProblem(Examples(features, labels), int(labels.max()) + 1))
    best = path.strengths.index(path.strength)
    return {"loss": path.val_loss[best], "accuracy": path.val_accuracy[best], "strength": path.strength}


def score_draws(features, labels, count, seeds):
    """Fits to `count` images a class and scores on the others, once for each seed."""
    accuracies = []
    for seed in range(seeds):
        drawn, others = draw_per_class(labels, count, seed)
        problem = LogisticProblem(Examples(features[drawn], labels[drawn]), int(labels.max()) + 1)
        path = fit_logistic_path(problem, Search(seed=seed))
        predicted = (features[others] @ path.kernel + path.bias).argmax(axis=1)
        accuracies.append(float((predicted == labels[others]).mean()))
    return accuracies


def measure(rule, data, args):
    """Everything about one rule."""
    features = load_features(data.x_train, rule, args.cache)
    record = {
        "cross_validation": cross_validate(features, data.y_train),
        "draws": score_draws(features, data.y_train, args.count, args.seeds),
    }
    tell(f"{rule}: {record}")
    return record


def table_of(records, args):
    """One row a rule."""
    rows = []
    for rule, record in records.items():
        whole = record["cross_validation"]
        numbers = (whole["loss"], whole["accuracy"], np.mean(record["draws"]))
        rows.append([rule, *(f"{number:.4f}" for number in numbers)])
    all_images = "of 5-fold cross-validation, all images"
    header = [
        "resizing",
        f"log loss {all_images}",
        f"accuracy {all_images}",
        f"accuracy of {args.count} images a class, on the others",
    ]
    return markdown_table(header, rows)


def main():
    parser = make_parser(__doc__)
    add_data_arguments(parser)
    add_cache_argument(parser)
    parser.add_argument("--count", type=int, default=60, help="images a class of each draw")
    parser.add_argument("--seeds", type=int, default=8, help="number of draws")
    args = parser.parse_args()
    data = load_cifar10(args.data, args.per_class)
    records = {rule: measure(rule, data, args) for rule in RULES}
    differences = np.subtract(records["bicubic"]["draws"], records["bilinear"]["draws"])
    text = (
        f"Bicubic minus bilinear, {args.count} images a class, paired: {mean_and_error(differences)} points of "
        f"accuracy (mean and standard error of {args.seeds} draws); bicubic better in {int((differences > 0).sum())}. "
        f"Images: {len(data.x_train):,} training images of {data.origin}."
    )
    publish(__file__, __doc__, args, [table_of(records, args), text], records)


if __name__ == "__main__":
    main()
