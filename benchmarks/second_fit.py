"""A second `fit` on the same images, with another head.

600 JPEG files of 500 × 375 pixels in class folders (ten classes; `_images.py`), read to 224 × 224. The first `fit`
computes the features of all of them and keeps them on disk; the second one, of a new `TransferClassifier` with another
head, finds them there. It does so twice: in the same process and in a fresh one, which has to start TensorFlow's
threads and to trace anew. Both build the network and read its weights and fingerprint all files again, and the
times include that. VGG16 and ResNet50 have random weights, from one file for all fits (`_networks.py`);
EfficientNet-Lite0 has its ImageNet weights.

The two pairs of heads are the logistic one and the same with `class_weight="balanced"`; and the logistic one and
`Head(units=(256,), dropout=0)`, which Adam trains for 10 epochs.

Timed is `fit`. Pairs take turns; every repeat begins in fresh processes with an empty cache folder. Only `speeds.json`
is in it, what transferkit found out about the machine in a `fit` before, which "first on a machine" tells the time of.

    python benchmarks/second_fit.py --repeats 3
"""

import json
import tempfile
from pathlib import Path

from _caches import fresh_cache, read_speeds
from _common import Bar, make_parser, markdown_table, median, publish, run_fresh, tell, timed
from _images import make_jpegs
from _networks import LITE0, PRETRAINED, find_weights

TARGET = 50  # seconds of the first fit over those of the second
SIZE = (224, 224)
EPOCHS = 10
PAIRS = {
    "logistic → logistic, balanced": ("logistic", "balanced"),
    "logistic → Dense(256)": ("logistic", "dense"),
}


def build_classifier(head, network, weights):
    """Builds the classifier of one head."""
    from transferkit import Head, Phase, TransferClassifier

    dense = {
        "head": Head(units=(256,), dropout=0),
        "schedule": [Phase("head", epochs=EPOCHS, learning_rate=1e-3, patience=None)],
    }
    settings = {"logistic": {}, "balanced": {"class_weight": "balanced"}, "dense": dense}
    return TransferClassifier(network, weights=weights, image_size=SIZE, **settings[head])


def fit_here(heads, folder, network, weights):
    """Fits one head after the other in this process. Returns the seconds of each."""
    classifiers = [build_classifier(head, network, weights) for head in heads]
    return [timed(classifier.fit, folder)[1] for classifier in classifiers]


def measure_pair(heads, arguments, speeds=None):
    """Fits one pair in fresh processes. Returns its record and the speeds of the machine."""
    with fresh_cache(speeds) as cache:
        (first, second), _ = run_fresh(__file__, "--only", *heads, *arguments)
        (again,), _ = run_fresh(__file__, "--only", heads[1], *arguments)
        return {"first": first, "second": second, "second, fresh process": again}, read_speeds(cache)


def measure_network(network, folder, temporary, repeats):
    """Measures all pairs in turn, after one that only finds out about the machine."""
    weights = find_weights(network, temporary)
    arguments = ("--folder", folder, "--networks", network, "--weights", weights)
    unknown, speeds = measure_pair(PAIRS["logistic → Dense(256)"], arguments)
    records = {pair: [] for pair in PAIRS}
    for repeat in range(repeats):
        for pair, heads in PAIRS.items():
            records[pair].append(measure_pair(heads, arguments, speeds)[0])
            tell(f"{network}, repeat {repeat + 1} of {repeats}, {pair}: {records[pair][-1]}")
    return {"pairs": records, "first on a machine": unknown["first"], "speeds": json.loads(speeds or "{}")}


def ratios_of(records):
    """First over second: in the same process, and in a fresh one."""
    first = median(records, "first")
    return [first / median(records, key) for key in ("second", "second, fresh process")]


def table_rows(network, record):
    """The pairs of one network as texts."""
    return [
        [
            network,
            pair,
            f"{record['first on a machine']:.1f}",
            *(f"{median(kept, key):.2f}" for key in ("first", "second", "second, fresh process")),
            *(f"{ratio:.1f}" for ratio in ratios_of(kept)),
        ]
        for pair, kept in record["pairs"].items()
    ]


def bars_of(records):
    """How many times faster the second fit is."""
    return [
        Bar(f"{network}, {pair}{where}", ratio, TARGET)
        for network, record in records.items()
        for pair, kept in record["pairs"].items()
        for where, ratio in zip(("", ", fresh process"), ratios_of(kept), strict=True)
    ]


def main():
    parser = make_parser(__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--count", type=int, default=600, help="number of images")
    parser.add_argument("--networks", nargs="+", default=["vgg16", "resnet50", LITE0])
    parser.add_argument("--only", nargs="+", help="fit these heads in this process and print the seconds as JSON")
    parser.add_argument("--folder", type=Path, help="class folder, with --only")
    parser.add_argument("--weights", default=PRETRAINED, help="weights of the network, with --only")
    args = parser.parse_args()
    if args.only:
        print(json.dumps(fit_here(args.only, args.folder, args.networks[0], args.weights)))
        return
    records = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = make_jpegs(Path(temporary, "images"), args.count)
        for network in args.networks:
            records[network] = measure_network(network, folder, temporary, args.repeats)
    header = [
        "network",
        "heads",
        "first on a machine, s",
        "first, s",
        "second, s",
        "second in a fresh process, s",
        f"first / second (target {TARGET})",
        "first / second in a fresh process",
    ]
    table = markdown_table(header, [line for name, record in records.items() for line in table_rows(name, record)])
    note = f"{args.count} images; medians of {args.repeats}. VGG16 and ResNet50 have random weights."
    publish(__file__, __doc__, args, [table, note], records, bars_of(records))


if __name__ == "__main__":
    main()
