"""The page of a report: seconds and megabytes, beyond the evaluation.

A report of the 2,000 test images of cifar10-10k (10 classes), whose logistic head was fitted to a fifth of the training
images. Its numbers are computed before the clock starts, since `print(report)` needs them as well; what is measured is
drawing the plots, reading and encoding the images, and writing the file. As photographs take longer to read, the images
are enlarged and written as JPEG first.

    python benchmarks/report_page.py
"""

import tempfile
from pathlib import Path

from _common import Bar, add_data_arguments, load_cifar10, make_parser, markdown_table, median, publish, tell, timed
from PIL import Image

SECONDS, MEGABYTES = 3.0, 3.0
QUALITY = 90


def write_images(folder, images, labels, side):
    """Writes images as JPEG files into class folders."""
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = folder / str(label) / f"{number:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC).save(path, quality=QUALITY)


def make_report(data, folder, image_size, side):
    """Fits to the training images, and evaluates on files of the test images."""
    from transferkit import TransferClassifier

    write_images(folder, data.x_test, data.y_test, side)
    classifier = TransferClassifier(image_size=image_size, verbose=0)
    classifier.fit(data.x_train[::5], data.y_train[::5].astype(str))
    return classifier.evaluate(folder)


def measure(report, path, repeats):
    """Seconds and megabytes of each round; the first round, in which Matplotlib finds its fonts, is one of its own."""
    rounds = []
    for number in range(repeats + 1):
        _, seconds = timed(report.to_html, path)
        rounds.append({"seconds": seconds, "megabytes": path.stat().st_size / 1e6})
        tell(f"round {number}: {rounds[-1]}")
    return rounds


def main():
    parser = make_parser(__doc__)
    add_data_arguments(parser)
    parser.add_argument("--image-size", type=int, default=96, help="what the network sees")
    parser.add_argument("--side", type=int, default=500, help="width and height of the files")
    parser.add_argument("--repeats", type=int, default=5, help="number of rounds after the first")
    args = parser.parse_args()
    data = load_cifar10(args.data, args.per_class)
    with tempfile.TemporaryDirectory() as folder:
        report = make_report(data, Path(folder) / "test", args.image_size, args.side)
        _, numbers = timed(lambda: report.metrics)
        first, *rounds = measure(report, Path(folder) / "report.html", args.repeats)
    raw = {"images": report.num_images, "metrics": numbers, "first": first, "rounds": rounds}
    rows = [
        ["seconds", f"{median(rounds, 'seconds'):.2f}", f"{first['seconds']:.2f}", SECONDS],
        ["megabytes", f"{median(rounds, 'megabytes'):.2f}", f"{first['megabytes']:.2f}", MEGABYTES],
    ]
    parts = [
        markdown_table(["", "median", "first page of a process", "target"], rows),
        f"{report.num_images:,} JPEG files of {args.side} px, {len(report.class_names)} classes, {data.origin}. "
        f"Numbers and intervals took {numbers:.1f} s before.",
    ]
    bars = [
        Bar("seconds", median(rounds, "seconds"), SECONDS),
        Bar("seconds, first page of a process", first["seconds"], SECONDS),
        Bar("megabytes", median(rounds, "megabytes"), MEGABYTES),
    ]
    publish(__file__, __doc__, args, parts, raw, bars, axis="seconds, and megabytes")


if __name__ == "__main__":
    main()
