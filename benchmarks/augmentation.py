"""Reading and augmenting images: the training stream beside the `ImageDataGenerator` that it translates.

Class folders of JPEG files of 500 × 375 pixels, cut from two photographs that come with scikit-learn, are read to
224 × 224 with shear, zoom and flip, for several epochs: by `ImageDataGenerator.flow_from_directory`, which reads every
file in every epoch; and with the same generator translated, as `TransferClassifier.fit` does it, which reads them into
memory first. Beside these, one epoch of the training stream straight from the files, with and without augmentation.
All take turns, after one pass each that does not count.

    python benchmarks/augmentation.py
"""

import contextlib
import sys
import tempfile
from pathlib import Path

import numpy as np
from _common import make_parser, markdown_table, median, publish, tell, timed

SIZE = (224, 224)
BATCH_SIZE = 32
GENERATOR = {"shear_range": 20, "zoom_range": 0.2, "horizontal_flip": True}
KERAS, FIT = "ImageDataGenerator", "transferkit, as `fit` does it"
STREAM, PLAIN = "transferkit, one epoch from files", "the same without augmentation"


def make_folder(folder, count):
    """Writes `count` files in two classes: cuts of a photograph at other places and of other brightness."""
    from PIL import Image
    from sklearn.datasets import load_sample_image

    rng = np.random.default_rng(0)
    photos = [Image.fromarray(load_sample_image(name)) for name in ("china.jpg", "flower.jpg")]
    for number in range(count):
        left, top = rng.integers(0, 640 - 560), rng.integers(0, 427 - 420)
        cut = photos[number % 2].crop((left, top, left + 560, top + 420)).resize((500, 375), Image.Resampling.BICUBIC)
        pixels = np.clip(np.asarray(cut) * rng.uniform(0.9, 1.1), 0, 255).astype("uint8")
        (folder / str(number % 2)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / str(number % 2) / f"{number:05}.jpg", quality=90)


def read_by_keras(folder, generator):
    """One pass of Keras' iterator. Returns the number of images."""
    with contextlib.redirect_stdout(sys.stderr):  # it says how many files it found
        batches = generator.flow_from_directory(folder, target_size=SIZE, batch_size=BATCH_SIZE, seed=0)
    return sum(len(batches[index][0]) for index in range(len(batches)))


def read_by_stream(folder, generator, epochs=1):
    """Epochs of the training stream, without augmentation if `generator` is `None`; several go through memory."""
    from transferkit.data.augmentation.augmentation import as_augmentation
    from transferkit.data.datasets import Targets, Variation, read_into_memory, training_batches
    from transferkit.data.epochs import Epochs
    from transferkit.data.inputs.convert import LABELLED, as_source
    from transferkit.data.resizing import ImageFormat

    source = as_source(folder, label_rule=LABELLED)
    if epochs > 1:
        source = read_into_memory(source, ImageFormat(SIZE), BATCH_SIZE)
    targets = Targets(source.labels, len(source.class_names))
    augmenter, _ = as_augmentation(generator)
    epochs, variation = Epochs(epochs, seed=0), Variation(augmenter)
    with training_batches(source, targets, ImageFormat(SIZE), BATCH_SIZE, epochs, variation) as batches:
        return sum(len(batch[0]) for batch in batches)


def measure(folder, epochs, repeats):
    """Images a second of each reader in each round."""
    from tensorflow.keras.preprocessing.image import ImageDataGenerator

    generator = ImageDataGenerator(**GENERATOR)
    readers = {
        KERAS: lambda: sum(read_by_keras(folder, generator) for _ in range(epochs)),
        FIT: lambda: read_by_stream(folder, generator, epochs),
        STREAM: lambda: read_by_stream(folder, generator),
        PLAIN: lambda: read_by_stream(folder, None),
    }
    rounds = []
    for number in range(repeats + 1):
        rates = {}
        for name, read in readers.items():
            count, seconds = timed(read)
            rates[name] = count / seconds
        rates["ratio"] = rates[FIT] / rates[KERAS]
        rates["ratio of one epoch"] = rates[STREAM] / rates[KERAS]
        tell(f"round {number}{' (does not count)' if number == 0 else ''}: {rates}")
        rounds.append(rates)
    return rounds[1:]


def main():
    parser = make_parser(__doc__)
    parser.add_argument("--images", type=int, default=1000, help="number of files")
    parser.add_argument("--epochs", type=int, default=5, help="number of epochs")
    parser.add_argument("--repeats", type=int, default=5, help="number of rounds that count")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make_folder(Path(folder), args.images)
        size = sum(path.stat().st_size for path in Path(folder).rglob("*.jpg")) / args.images
        rounds = measure(folder, args.epochs, args.repeats)
    keras_rate = median(rounds, KERAS)
    rows = []
    for name in (KERAS, FIT, STREAM, PLAIN):
        rates = [record[name] for record in rounds]
        rows.append(
            [
                name,
                f"{median(rounds, name):.0f}",
                f"{min(rates):.0f} to {max(rates):.0f}",
                f"{median(rounds, name) / keras_rate:.2f}",
            ]
        )
    arguments = ", ".join(f"{name}={value}" for name, value in GENERATOR.items())
    text = (
        f"`fit` over `ImageDataGenerator({arguments})`, {args.epochs} epochs, median of the ratios of {args.repeats} "
        f"rounds: {median(rounds, 'ratio'):.2f} (target: at least 4); one epoch straight from the files: "
        f"{median(rounds, 'ratio of one epoch'):.2f}. {args.images:,} JPEG files of 500 × 375 pixels and "
        f"{size / 1024:.0f} KB, batches of {BATCH_SIZE}."
    )
    header = ["reader", "images/s", "in all rounds", "over ImageDataGenerator"]
    publish(__file__, __doc__, args, [markdown_table(header, rows), text], rounds)


if __name__ == "__main__":
    main()
