"""`evaluate` beside one pass of the compiled classifier, and a second call on the same images.

The test images of cifar10-10k, 2,000, as an array and as PNG files. The classifier is the default one, fitted to a few
training images: what is measured does not depend on how good it is. In every repeat the images differ in one pixel from
those of the repeat before, so that nothing is found that was computed in that; the classifier is compiled before.

"pass" is what there is no way around: each image through the classifier, compiled as `evaluate` has it, in batches of
32; of files, read and resized by the same reader before. The calls of a repeat follow each other, so that both sides of
a ratio see the same machine; where that has other work as well, seconds of computing, in all threads, are steadier than
those on the clock.

    python benchmarks/evaluation.py --repeats 3
"""

import tempfile
import time
from pathlib import Path

import numpy as np
from _common import (
    Bar,
    add_data_arguments,
    first_per_class,
    load_cifar10,
    make_parser,
    markdown_table,
    median,
    publish,
    tell,
    timed,
)
from PIL import Image

TARGETS = {"evaluate": 1.1, "evaluate again": 0.1, "then predict": 0.1, "then predict_proba": 0.1, "then embed": 0.1}
BATCH_SIZE = 32
PER_CLASS = 20  # training images


def fit_classifier(data, image_size):
    """Fits the classifier that is measured."""
    from transferkit import TransferClassifier

    rows = first_per_class(data.y_train, PER_CLASS)
    clf = TransferClassifier(image_size=image_size, batch_size=BATCH_SIZE, verbose=0)
    return clf.fit(data.x_train[rows], data.y_train[rows])


def compile_pass(clf, size):
    """Compiles the classifier for images of one size: a function of batches of pixels."""
    from transferkit.frozen.compiling import compile_front, first_model
    from transferkit.models.assembly import components_of

    preprocessing, network, head = components_of(clf.model_)
    scaling = clf.backbone_.build_scaling(clf.image_format_.channels)
    first = first_model(scaling, preprocessing, size, clf.image_format_)
    return compile_front([first, network, head], batch_size=BATCH_SIZE)


def run_pass(front, clf, images):
    """Sends all images through the compiled classifier."""
    reader = clf.fitted_.reader
    for batch in reader.stream(reader.source(images), BATCH_SIZE):
        front(batch)


def write_files(images, folder):
    """Writes images as PNG files. Returns their paths, in order."""
    paths = [folder / f"{number:05}.png" for number in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image).save(path)
    return paths


def measure(clf, front, images, labels):
    """Measures one repeat. Returns seconds on the clock and, by the name and "CPU", those of computing."""
    calls = {
        "pass": (run_pass, front, clf, images),
        "evaluate": (clf.evaluate, images, labels),
        "evaluate again": (clf.evaluate, images, labels),
        "then predict": (clf.predict, images),
        "then predict_proba": (clf.predict_proba, images),
        "then embed": (clf.embed, images),
    }
    record = {}
    for name, call in calls.items():
        start = time.process_time()
        record[name] = timed(*call)[1]
        record[f"{name}, CPU"] = time.process_time() - start
    return record


def measure_kind(kind, clf, data, repeats):
    """Measures an array or files, several times. Returns the records."""
    records = []
    for repeat in range(repeats + 1):
        images = data.x_test.copy()
        images[:, 0, 0, 0] = repeat
        with tempfile.TemporaryDirectory() as folder:
            given = images if kind == "array" else write_files(images, Path(folder))
            if repeat == 0:
                front = compile_pass(clf, images.shape[1:3] if kind == "array" else clf.image_size_)
                run_pass(front, clf, given[:BATCH_SIZE])
                clf.predict(given[:BATCH_SIZE])
                continue
            records.append(measure(clf, front, given, data.y_test))
        tell(f"{kind}, repeat {repeat} of {repeats}: {records[-1]}")
    return records


def ratios_of(records, clock=""):
    """Median seconds of each call over those of the pass in the same repeat, on the clock or `", CPU"`."""
    return {
        name: float(np.median([record[name + clock] / record["pass" + clock] for record in records]))
        for name in TARGETS
    }


def main():
    parser = make_parser(__doc__)
    add_data_arguments(parser)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--image-size", type=int, help="default: that of the backbone")
    args = parser.parse_args()
    data = load_cifar10(args.data, args.per_class)
    if args.per_class:
        data = data._replace(x_test=data.x_test[:: 200 // args.per_class], y_test=data.y_test[:: 200 // args.per_class])
    clf = fit_classifier(data, args.image_size)
    records = {kind: measure_kind(kind, clf, data, args.repeats) for kind in ("array", "files")}
    header = ["images", "pass, s", *(f"{name} / pass (target {target})" for name, target in TARGETS.items())]
    rows = [
        [
            f"{kind}, {name}",
            f"{median(found, 'pass' + clock):.1f}",
            *(f"{ratio:.3f}" for ratio in ratios_of(found, clock).values()),
        ]
        for kind, found in records.items()
        for name, clock in (("on the clock", ""), ("computing", ", CPU"))
    ]
    note = f"{len(data.x_test):,} images at {clf.image_size_[0]} px; medians of {args.repeats}. {data.origin}"
    bars = [
        Bar(f"{name}, {kind}", ratio, TARGETS[name])
        for kind, found in records.items()
        for name, ratio in ratios_of(found).items()
    ]
    publish(__file__, __doc__, args, [markdown_table(header, rows), note], records, bars, axis="of one pass")


if __name__ == "__main__":
    main()
