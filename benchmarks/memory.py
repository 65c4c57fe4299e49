"""Peak memory of `fit` on few and on many files of the same size.

Makes two class folders of JPEG files of ten classes, smooth random images, in a temporary folder. A few hundred are
distinct; the others are hard links to them under names of their own, which readers cannot tell apart.
`TransferClassifier(...).fit` on each runs in a fresh process, which reports the largest resident memory that it
ever had (`ru_maxrss`). The two may differ by the features of the larger folder, 1280 float32 an image, plus 200 MB.
1 MB is 10^6 bytes.

    python benchmarks/memory.py
"""

import json
import os
import resource
import sys
import tempfile
from pathlib import Path

import numpy as np
from _common import make_parser, markdown_table, median, publish, run_fresh, tell, timed
from PIL import Image

NUM_CLASSES = 10
DISTINCT = 30  # files a class
NUM_FEATURES = 1280
ALLOWANCE = 200  # MB


def make_folder(folder, num_files, pixels, seed=0):
    """Makes a class folder of `num_files` files."""
    rng = np.random.default_rng(seed)
    for label in range(NUM_CLASSES):
        subfolder = folder / f"class{label}"
        subfolder.mkdir(parents=True)
        colour = rng.uniform(60, 195, 3)
        for number in range(num_files // NUM_CLASSES):
            path = subfolder / f"{number:05d}.jpg"
            if number < DISTINCT:
                make_image(rng, colour, pixels).save(path, quality=90)
            else:
                os.link(subfolder / f"{number % DISTINCT:05d}.jpg", path)


def make_image(rng, colour, pixels):
    """Makes a smooth image around a colour: random numbers on a coarse grid, enlarged."""
    grid = np.clip(colour + rng.normal(0, 40, (5, 5, 3)), 0, 255).astype("uint8")
    return Image.fromarray(grid).resize((pixels, pixels), Image.Resampling.BICUBIC)


def peak_memory():
    """Returns the largest resident memory of this process so far, in MB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def measure_here(folder, image_size):
    """Fits in this process."""
    from transferkit import TransferClassifier

    after_import = peak_memory()
    _, seconds = timed(TransferClassifier(image_size=image_size, verbose=0).fit, folder)
    return {"after_import": after_import, "peak": peak_memory(), "fit": seconds}


def measure_in_turn(args):
    """Makes the folders and fits each in fresh processes."""
    # A process inherits `ru_maxrss` from the one that starts it: this one must stay small, without TensorFlow.
    records = {count: [] for count in args.counts}
    with tempfile.TemporaryDirectory() as temporary:
        for count in args.counts:
            make_folder(Path(temporary, str(count)), count, args.pixels)
        for _ in range(args.repeats):
            for count, kept in records.items():
                arguments = ("--only", Path(temporary, str(count)), "--image-size", args.image_size)
                kept.append(run_fresh(__file__, *arguments)[0])
                tell(f"{count:,} files: {kept[-1]}")
    return records


def main():
    parser = make_parser(__doc__)
    parser.add_argument("--counts", type=int, nargs=2, default=[2_000, 20_000], help="numbers of files")
    parser.add_argument("--pixels", type=int, default=64, help="width and height of the files")
    parser.add_argument("--image-size", type=int, default=64, help="`image_size` of the classifier")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--only", type=Path, help="fit on this folder in this process and print its numbers as JSON")
    args = parser.parse_args()
    if args.only:
        print(json.dumps(measure_here(args.only, args.image_size)))
        return
    records = measure_in_turn(args)
    keys = ("after_import", "peak", "fit")
    rows = [[f"{count:,}", *(f"{median(kept, key):,.0f}" for key in keys)] for count, kept in records.items()]
    table = markdown_table(["files", "peak after imports, MB", "peak of fit, MB", "fit, s"], rows)
    few, many = (median(records[count], "peak") for count in args.counts)
    features = args.counts[1] * NUM_FEATURES * 4 / 1e6
    verdict = "met" if many - few < features + ALLOWANCE else "missed"
    text = (
        f"Difference {many - few:,.0f} MB; allowed: features {features:,.0f} MB + {ALLOWANCE} MB = "
        f"{features + ALLOWANCE:,.0f} MB: {verdict}. JPEG files of {args.pixels} × {args.pixels} pixels, "
        f"`image_size={args.image_size}`; medians of {args.repeats}."
    )
    publish(__file__, __doc__, args, [table, text], records)


if __name__ == "__main__":
    main()
