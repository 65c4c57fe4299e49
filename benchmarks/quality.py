"""Checking data: time beside one plain decoding, planted problems found, false alarms.

Time: `check_data` with near-duplicates on class folders of the 10,000 training images of cifar10-10k, enlarged and
written as JPEG, beside reading the same files once by as many threads. Both take turns in one process.

Problems: into a validation part of the 2,000 test images go corrupt files of 8 kinds, 50 exact copies of training
files and 50 changed ones (brightness, compression, crop), drawn by `--seed`. False alarms are pairs and images that are
called near-duplicates of each other but were not planted. CIFAR-10 does have near-duplicates of its own: they count as
false alarms here, and are listed in the raw results to be looked at.

    python benchmarks/quality.py
"""

import io
import os
import struct
import tempfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path

import numpy as np
from _common import Bar, add_data_arguments, load_cifar10, make_parser, markdown_table, median, publish, tell, timed
from PIL import Image, ImageEnhance

QUALITY = 90
PLANTED = 50
TARGET = 1.5
MOST_FALSE = 0.001


def write_images(folder, images, labels, side):
    """Writes images as JPEG files into class folders. Returns their paths."""
    paths = []
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = folder / str(label) / f"{number:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC).save(path, quality=QUALITY)
        paths.append(path)
    return paths


def decode_all(folder):
    """Reads all files of a class folder once, in parallel."""
    from transferkit.data.decoder import RGB
    from transferkit.data.inputs.convert import LABELLED, as_source

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(RGB.decode, as_source(folder, label_rule=LABELLED).images):
            pass


def check(folder, **options):
    """Checks a class folder, near-duplicates included."""
    from transferkit import check_data

    return check_data(folder, near_duplicates=True, verbose=0, **options)


def measure_time(folder, repeats):
    """Seconds of both in each round; the first round does not count."""
    rounds = []
    for number in range(repeats + 1):
        record = {"decode": timed(decode_all, folder)[1], "check": timed(check, folder)[1]}
        record["ratio"] = record["check"] / record["decode"]
        tell(f"round {number}{' (does not count)' if number == 0 else ''}: {record}")
        rounds.append(record)
    return rounds[1:]


def brighter(image, rng):
    return ImageEnhance.Brightness(image).enhance(rng.choice([rng.uniform(0.7, 0.9), rng.uniform(1.1, 1.3)]))


def cropped(image, rng):
    """Leaves out 2 % of width and height, from one side or the other."""
    left = [round(0.02 * side) or 1 for side in image.size]
    x, y = (int(rng.integers(0, most + 1)) for most in left)
    return image.crop((x, y, image.width - left[0] + x, image.height - left[1] + y))


def compressed(image, rng):
    return image


CHANGES = {"brightness": brighter, "compression": compressed, "2 % crop": cropped}


def changed_copy(path, copy, kind, rng):
    """Writes a changed version of an image."""
    quality = int(rng.integers(30, 75)) if kind == "compression" else QUALITY
    CHANGES[kind](Image.open(path), rng).save(copy, quality=quality)


def corrupt_files(path):
    """Contents of 8 kinds of files that cannot be read, by name."""
    data, png = path.read_bytes(), io.BytesIO()
    Image.open(path).save(png, "PNG")
    png = png.getvalue()
    middle = len(png) // 2
    header = b"IHDR" + struct.pack(">II", 60000, 60000) + png[24:29]
    return {
        "truncated.jpg": data[: len(data) // 2],
        "empty.jpg": b"",
        "text.jpg": b"<html>404 Not Found</html>",
        "zeros.jpg": bytes(len(data)),
        "headless.jpg": data[20:],
        "truncated.png": png[:middle],
        "damaged.png": png[:middle] + bytes(64) + png[middle + 64 :],
        "bomb.png": png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:],
    }


def plant(training, folder, seed):
    """Puts problems into a validation folder. Returns paths of corrupt files, and original and kind of each copy."""
    rng = np.random.default_rng(seed)
    home = folder / training[0].parent.name
    corrupt = []
    for name, data in corrupt_files(training[0]).items():
        (home / name).write_bytes(data)
        corrupt.append(str(home / name))
    drawn = [training[row] for row in rng.permutation(len(training))[: 2 * PLANTED]]
    kinds = ["exact"] * PLANTED + [list(CHANGES)[number % len(CHANGES)] for number in range(PLANTED)]
    copies = {}
    for number, (path, kind) in enumerate(zip(drawn, kinds, strict=True)):
        copy = folder / path.parent.name / f"planted{number:03d}.jpg"
        if kind == "exact":
            copy.write_bytes(path.read_bytes())
        else:
            changed_copy(path, copy, kind, rng)
        copies[str(copy)] = (str(path), kind)
    return corrupt, copies


def measure_findings(training, folder, seed, data, side):
    """Counts what `check_data` finds of planted problems, and what it finds besides."""
    validation = folder / "validation"
    count = len(write_images(validation, data.x_test, data.y_test, side))
    corrupt, copies = plant(training, validation, seed)
    report = check(training[0].parents[1], validation_data=validation)
    named = {item.image.name for item in report.unreadable}
    groups = [{image.name for image in group} for group in report.leaks]
    exact = [{image.name for image in group} for group in report.exact_duplicates]
    found = {kind: [0, 0] for kind in ("exact", *CHANGES)}
    for copy, (path, kind) in copies.items():
        found[kind][0] += any({copy, path} <= group for group in (exact if kind == "exact" else groups))
        found[kind][1] += 1
    false = [
        pair
        for group in report.near_duplicates
        for pair in combinations(sorted({image.name for image in group} - set(copies)), 2)
    ]
    total = len(training) + count
    return {
        "seed": seed,
        "corrupt": [len(named & set(corrupt)), len(corrupt)],
        "whole files named": len(named - set(corrupt)),
        **found,
        "false pairs": len(false),
        "false pairs of all pairs": len(false) / (total * (total - 1) / 2),
        "images in them": len({name for pair in false for name in pair}) / total,
        "pairs": [[Path(name).relative_to(folder).as_posix() for name in pair] for pair in false],
    }


def main():
    parser = make_parser(__doc__)
    add_data_arguments(parser)
    parser.add_argument("--sides", type=int, nargs="+", default=[128, 32], help="width and height of the files")
    parser.add_argument("--repeats", type=int, default=3, help="number of rounds that count")
    parser.add_argument("--seed", type=int, default=7, help="seed of what is planted")
    args = parser.parse_args()
    data = load_cifar10(args.data, args.per_class)
    raw, times, findings = {}, [], []
    for side in args.sides:
        with tempfile.TemporaryDirectory() as folder:
            training = write_images(Path(folder) / "training", data.x_train, data.y_train, side)
            rounds = measure_time(Path(folder) / "training", args.repeats)
            found = measure_findings(training, Path(folder), args.seed, data, side)
        raw[side] = {"rounds": rounds, "found": found}
        times.append([f"{side} px", *(f"{median(rounds, key):.2f}" for key in ("decode", "check", "ratio")), TARGET])
        counts = [f"{found[key][0]} of {found[key][1]}" for key in ("corrupt", "exact", *CHANGES)]
        rate = f"{found['false pairs of all pairs']:.1e}"
        findings.append([f"{side} px", *counts, found["false pairs"], rate, f"{found['images in them']:.2%}"])
    parts = [
        markdown_table(["files", "decoding, s", "check_data, s", "ratio", "target"], times),
        markdown_table(
            ["files", "corrupt", "exact", *CHANGES, "other pairs", "of all pairs", "images in them"], findings
        ),
        f"Medians of {args.repeats} rounds. {len(data.x_train):,} files, {data.origin}; at most {MOST_FALSE:.1%} of "
        "pairs may be false alarms.",
    ]
    bars = [Bar(f"check_data, {side} px", median(raw[side]["rounds"], "ratio"), TARGET) for side in args.sides]
    publish(__file__, __doc__, args, parts, raw, bars, axis="times one decoding")


if __name__ == "__main__":
    main()
