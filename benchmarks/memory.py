"""Peak memory of `fit` on few and on many files of the same size.

Makes two class folders of JPEG files of ten classes, smooth random images, in a temporary folder. A few hundred are
distinct. The others are copies of them with other bytes after the end of the image, which decoders pass over: the same
pixels, but to the cache, which goes by content, files of their own. `TransferClassifier(...).fit` on each runs in a
fresh process with an empty cache folder, which reports the largest resident memory that it ever had (`ru_maxrss`), and
that without files that are mapped, which the system can drop at any time ("own", Linux only). With `cache="disk"` the
two folders may differ by a tenth of the latter: features are read from the disk as they are needed. With
"auto", which takes features into memory while they are few, by the features of the larger folder, 1280 float32 an
image, plus 200 MB. Engine and precision are set, so that both folders are computed in the same way. 1 MB is 10^6 bytes.

    python benchmarks/memory.py
"""

import json
import resource
import sys
import tempfile
from pathlib import Path

import numpy as np
from _caches import fresh_cache
from _common import Bar, make_parser, markdown_table, median, publish, run_fresh, tell, timed
from _memory import own_memory, with_growth
from PIL import Image

NUM_CLASSES = 10
DISTINCT = 30  # files a class
NUM_FEATURES = 1280
ALLOWANCE = 200  # MB
GROWTH = 1.1  # of the peak with cache="disk"
CACHES = ("disk", "auto")


def make_folder(folder, num_files, pixels, seed=0):
    """Makes a class folder of `num_files` files, of which no two have the same content."""
    rng = np.random.default_rng(seed)
    for label in range(NUM_CLASSES):
        subfolder = folder / f"class{label}"
        subfolder.mkdir(parents=True)
        colour = rng.uniform(60, 195, 3)
        distinct = []
        for number in range(num_files // NUM_CLASSES):
            path = subfolder / f"{number:05d}.jpg"
            if number < DISTINCT:
                make_image(rng, colour, pixels).save(path, quality=90)
                distinct.append(path.read_bytes())
            else:
                path.write_bytes(distinct[number % DISTINCT] + number.to_bytes(4, "little"))


def make_image(rng, colour, pixels):
    """Makes a smooth image around a colour: random numbers on a coarse grid, enlarged."""
    grid = np.clip(colour + rng.normal(0, 40, (5, 5, 3)), 0, 255).astype("uint8")
    return Image.fromarray(grid).resize((pixels, pixels), Image.Resampling.BICUBIC)


def peak_memory():
    """Returns the largest resident memory of this process so far, in MB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def measure_here(folder, args):
    """Fits in this process."""
    from transferkit import Compute, TransferClassifier

    after_import = peak_memory()
    compute = Compute(cache=args.caches[0], engine=args.engine, precision="float32")
    classifier = TransferClassifier(image_size=args.image_size, compute=compute, verbose=0)
    before = own_memory()
    (_, seconds), grown = with_growth(timed, classifier.fit, folder)
    own = peak_memory() if before is None else before + grown
    return {"after_import": after_import, "peak": peak_memory(), "own": own, "fit": seconds}


def measure_in_turn(args):
    """Makes the folders and fits each in fresh processes. Returns the records of each cache and number of files."""
    # A process inherits `ru_maxrss` from the one that starts it: this one must stay small, without TensorFlow.
    records = {cache: {count: [] for count in args.counts} for cache in args.caches}
    with tempfile.TemporaryDirectory() as temporary:
        for count in args.counts:
            make_folder(Path(temporary, str(count)), count, args.pixels)
        for _ in range(args.repeats):
            for cache, by_count in records.items():
                for count, kept in by_count.items():
                    arguments = ("--caches", cache, "--image-size", args.image_size, "--engine", args.engine)
                    with fresh_cache():
                        kept.append(run_fresh(__file__, "--only", Path(temporary, str(count)), *arguments)[0])
                    tell(f'cache="{cache}", {count:,} files: {kept[-1]}')
    return records


def verdict_on(cache, by_count):
    """Says whether the larger folder took as little as it should."""
    measure = "own" if cache == "disk" else "peak"
    (_, few), (count, many) = ((count, median(kept, measure)) for count, kept in by_count.items())
    if cache == "disk":
        allowed, why = few * (GROWTH - 1), "a tenth"
    else:
        features = count * NUM_FEATURES * 4 / 1e6
        allowed, why = features + ALLOWANCE, f"features {features:,.0f} MB + {ALLOWANCE} MB"
    outcome = "met" if many - few < allowed else "missed"
    return (
        f'`cache="{cache}"`: difference {many - few:+,.0f} MB, {many / few - 1:+.0%}; allowed: {why} = '
        f"{allowed:,.0f} MB: {outcome}."
    )


def main():
    parser = make_parser(__doc__)
    parser.add_argument("--counts", type=int, nargs=2, default=[10_000, 100_000], help="numbers of files")
    parser.add_argument("--pixels", type=int, default=64, help="width and height of the files")
    parser.add_argument("--image-size", type=int, default=64, help="`image_size` of the classifier")
    parser.add_argument("--caches", nargs="+", choices=CACHES, default=list(CACHES), help="`cache` of the classifier")
    parser.add_argument("--engine", default="keras", help="`engine` of the classifier")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--only", type=Path, help="fit on this folder in this process and print its numbers as JSON")
    args = parser.parse_args()
    if args.only:
        print(json.dumps(measure_here(args.only, args)))
        return
    records = measure_in_turn(args)
    cells = [(cache, count, kept) for cache, by_count in records.items() for count, kept in by_count.items()]
    numbers = [[f"{median(kept, key):,.0f}" for key in ("after_import", "peak", "own", "fit")] for *_, kept in cells]
    rows = [[f'"{cache}"', f"{count:,}", *texts] for (cache, count, _), texts in zip(cells, numbers, strict=True)]
    table = markdown_table(["cache", "files", "peak after imports, MB", "peak of fit, MB", "own, MB", "fit, s"], rows)
    verdicts = [verdict_on(cache, by_count) for cache, by_count in records.items()]
    size = f"JPEG files of {args.pixels} × {args.pixels} pixels, `image_size={args.image_size}`"
    note = f"{size}, `engine={args.engine!r}`, `precision='float32'`; medians of {args.repeats}."
    bars = [Bar(f'cache="{cache}", {count:,} files', median(kept, "peak")) for cache, count, kept in cells]
    publish(__file__, __doc__, args, [table, "\n".join(f"- {text}" for text in verdicts), note], records, bars, "MB")


if __name__ == "__main__":
    main()
