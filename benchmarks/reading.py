"""Reading files: one plain pass of the stream beside those of Keras.

Class folders of JPEG files of 500 × 375 pixels are read to float32 batches of 32 images of 224 × 224 pixels: by
`ImageDataGenerator().flow_from_directory`, by `keras.utils.image_dataset_from_directory` and by `stream_images`,
which all of transferkit reads through. Each with its own resizing: nearest neighbour; bilinear; bicubic with
antialiasing. All take turns in one process, after one pass each that does not count. Listing the files counts.

    python benchmarks/reading.py
"""

import contextlib
import sys
import tempfile
import time
from pathlib import Path

from _common import Bar, make_parser, markdown_table, median, publish, tell, timed
from _images import make_jpegs

SIZE = (224, 224)
BATCH_SIZE = 32
GENERATOR, DATASET, STREAM = "ImageDataGenerator", "image_dataset_from_directory", "transferkit"
TARGETS = {GENERATOR: 2.2, DATASET: 1.1}


def read_by_generator(folder):
    """One pass of Keras' iterator. Returns the number of images."""
    from tensorflow.keras.preprocessing.image import ImageDataGenerator

    batches = ImageDataGenerator().flow_from_directory(folder, target_size=SIZE, batch_size=BATCH_SIZE)
    return sum(len(batches[index][0]) for index in range(len(batches)))


def read_by_dataset(folder):
    """One pass of Keras' dataset. Returns the number of images."""
    import keras

    batches = keras.utils.image_dataset_from_directory(folder, image_size=SIZE, batch_size=BATCH_SIZE)
    return sum(len(images) for images, _ in batches)


def read_by_stream(folder):
    """One pass of the library's stream. Returns the number of images."""
    from transferkit.data.datasets import stream_images
    from transferkit.data.inputs.convert import as_source
    from transferkit.data.resizing import ImageFormat

    return sum(len(images) for images in stream_images(as_source(folder), ImageFormat(SIZE), BATCH_SIZE))


READERS = {GENERATOR: read_by_generator, DATASET: read_by_dataset, STREAM: read_by_stream}


def measure(folder, repeats):
    """Images a second, and milliseconds of processor time an image, of each reader in each round."""
    rounds = []
    for number in range(repeats + 1):
        record = {}
        for name, read in READERS.items():
            start = time.process_time()
            with contextlib.redirect_stdout(sys.stderr):  # Keras says how many files it found
                count, seconds = timed(read, folder)
            record[name] = count / seconds
            record[f"{name}, ms"] = 1000 * (time.process_time() - start) / count
        for name in TARGETS:
            record[f"over {name}"] = record[STREAM] / record[name]
        tell(f"round {number}{' (does not count)' if number == 0 else ''}: {record}")
        rounds.append(record)
    return rounds[1:]


def table_of(rounds):
    """One row a reader."""
    rows = []
    for name in READERS:
        rates = [record[name] for record in rounds]
        ratio = f"{median(rounds, f'over {name}'):.2f}" if name in TARGETS else ""
        rows.append(
            [
                name,
                f"{median(rounds, name):.0f}",
                f"{min(rates):.0f} to {max(rates):.0f}",
                f"{median(rounds, f'{name}, ms'):.2f}",
                ratio,
                TARGETS.get(name, ""),
            ]
        )
    header = ["reader", "images/s", "in all rounds", "processor ms an image", "transferkit is faster by", "target"]
    return markdown_table(header, rows)


def main():
    parser = make_parser(__doc__)
    parser.add_argument("--images", type=int, default=1000, help="number of files")
    parser.add_argument("--repeats", type=int, default=5, help="number of rounds that count")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = make_jpegs(Path(folder) / "images", args.images)
        size = sum(path.stat().st_size for path in folder.rglob("*.jpg")) / args.images
        rounds = measure(folder, args.repeats)
    text = (
        f"Medians of {args.repeats} rounds, the ratios within each. {args.images:,} JPEG files of 500 × 375 pixels and "
        f"{size / 1024:.0f} KB, batches of {BATCH_SIZE}."
    )
    bars = [Bar(f"over {name}", median(rounds, f"over {name}"), target) for name, target in TARGETS.items()]
    publish(__file__, __doc__, args, [table_of(rounds), text], rounds, bars)


if __name__ == "__main__":
    main()
