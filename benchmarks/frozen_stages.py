"""Training the last stages of a network for 20 epochs, with what is frozen computed once or in every epoch.

200 JPEG files of 500 × 375 pixels in class folders (ten classes; `_images.py`), read to 160 × 160, a fifth of them for
validation; no augmentation. `cache=False` runs the frozen stages over all images in each epoch, from images in memory;
`cache="auto"` runs them once and trains on what they gave. Same seed, same order of images, same first weights; the
losses of both tell how far they part: from step to step rounding is amplified, the more the higher the rate.

VGG16 and ResNet50 have random weights, the same in all fits (`_networks.py`): their speed counts, their accuracy means
nothing. EfficientNet-Lite0 has its ImageNet weights and is tested on 100 other images, too.

`fit` is timed, in a fresh process each, in turn, with `precision="auto"`, and once with "float32". The cache folder is
empty but for `speeds.json`, what transferkit found out about the machine in a `fit` before, which the column "first on
a machine" tells the time of.

    python benchmarks/frozen_stages.py --repeats 3
"""

import json
import tempfile
from pathlib import Path
from typing import NamedTuple

from _caches import fresh_cache, read_speeds
from _common import Bar, make_parser, markdown_table, median, publish, run_fresh, tell, timed
from _images import make_jpegs
from _networks import LITE0, PRETRAINED, find_weights


class Case(NamedTuple):
    """What trains, and how many times faster it should be."""

    stage: str
    target: float | None = None


CASES = {"resnet50": Case("conv5", 1.9), "vgg16": Case("block5", 3), LITE0: Case("block6")}
CACHES = {"auto": "auto", "False": False}


def fit_here(args):
    """Trains in this process. Returns seconds, the last losses, and accuracies."""
    from transferkit import Compute, Phase, TransferClassifier

    network = args.networks[0]
    phase = Phase(CASES[network].stage, epochs=args.epochs, learning_rate=args.learning_rate, patience=None)
    compute = Compute(cache=CACHES[args.only], precision=args.precision)
    options = {"weights": args.weights, "image_size": args.image_size, "compute": compute}
    classifier = TransferClassifier(network, schedule=[phase], augmentation=None, **options)
    _, seconds = timed(classifier.fit, args.folder / "train")
    last = {name: classifier.history_[name][-1] for name in ("loss", "val_loss", "val_accuracy")}
    accuracy = classifier.evaluate(args.folder / "test").accuracy if network == LITE0 else None
    return {"fit": seconds, **last, "accuracy": accuracy}


def measure_case(network, args, folder, temporary):
    """Runs all fits of one network, after one that only finds out about the machine."""
    weights = find_weights(network, temporary)
    arguments = (
        "--folder",
        folder,
        "--networks",
        network,
        "--weights",
        weights,
        "--image-size",
        args.image_size,
        "--epochs",
        args.epochs,
        "--learning-rate",
        args.learning_rate,
    )

    def measure(cache, precision, speeds=None):
        with fresh_cache(speeds) as cache_folder:
            record, _ = run_fresh(__file__, "--only", cache, "--precision", precision, *arguments)
            tell(f"{network}, cache={cache}, precision={precision}: {record}")
            return record, read_speeds(cache_folder)

    unknown, speeds = measure("auto", "auto")
    records = {}
    for precision, repeats in (("auto", args.repeats), ("float32", 1)):
        for _ in range(repeats):
            for cache in CACHES:
                records.setdefault(precision, {}).setdefault(cache, []).append(measure(cache, precision, speeds)[0])
    return {"precisions": records, "first on a machine": unknown, "speeds": json.loads(speeds or "{}")}


def ratio_of(kept):
    """Seconds without over seconds with the cache."""
    return median(kept["False"], "fit") / median(kept["auto"], "fit")


def table_rows(network, record):
    """One network as texts: a row a precision."""
    case, rows = CASES[network], []
    for precision, kept in record["precisions"].items():
        unknown = f"{record['first on a machine']['fit']:.1f}" if precision == "auto" else ""
        seconds = [f"{median(kept[cache], 'fit'):.1f}" for cache in ("False", "auto")]
        losses = [
            " and ".join(f"{kept[cache][0][name]:.4f}" for cache in ("False", "auto")) for name in ("loss", "val_loss")
        ]
        accuracies = [_accuracies(kept, name, network) for name in ("val_accuracy", "accuracy")]
        target = case.target or ""
        rows.append(
            [
                f"{network}, {case.stage}",
                precision,
                unknown,
                *seconds,
                f"{ratio_of(kept):.2f}",
                target,
                *losses,
                *accuracies,
            ]
        )
    return rows


def _accuracies(kept, name, network):
    if network != LITE0:
        return ""
    return " and ".join(f"{kept[cache][0][name]:.3f}" for cache in ("False", "auto"))


def bars_of(records):
    """How many times faster training is with the cache."""
    return [
        Bar(f"{network}, {CASES[network].stage} on, {precision}", ratio_of(kept), CASES[network].target)
        for network, record in records.items()
        for precision, kept in record["precisions"].items()
    ]


def main():
    parser = make_parser(__doc__)
    parser.add_argument("--repeats", type=int, default=3, help='of precision="auto"')
    parser.add_argument("--count", type=int, default=200, help="number of images")
    parser.add_argument("--image-size", type=int, default=160)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--networks", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--only", choices=CACHES, help="fit with this `cache` here and print the numbers as JSON")
    parser.add_argument("--precision", default="auto", help="with --only")
    parser.add_argument("--folder", type=Path, help="folder with train/<class> and test/<class>, with --only")
    parser.add_argument("--weights", default=PRETRAINED, help="weights of the network, with --only")
    args = parser.parse_args()
    if args.only:
        print(json.dumps(fit_here(args)))
        return
    records = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "images")
        make_jpegs(folder / "train", args.count)
        make_jpegs(folder / "test", 100, "test")
        for network in args.networks:
            records[network] = measure_case(network, args, folder, temporary)
    both = "without and with cache"
    header = [
        "trained",
        "precision",
        "first on a machine, s",
        "cache=False, s",
        'cache="auto", s',
        "ratio",
        "at least",
        f"last loss, {both}",
        f"last validation loss, {both}",
        f"validation accuracy, {both}",
        f"test accuracy, {both}",
    ]
    table = markdown_table(header, [line for name, record in records.items() for line in table_rows(name, record)])
    note = (
        f"{args.count} images of {args.image_size} px, {args.epochs} epochs; medians of {args.repeats}, losses and "
        "accuracies of the first. VGG16 and ResNet50 have random weights."
    )
    publish(__file__, __doc__, args, [table, note], records, bars_of(records))


if __name__ == "__main__":
    main()
