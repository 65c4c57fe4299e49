"""Trains an image classifier on 600 images, tests it on 300 others, and keeps it in a file.

Needs no network: the pretrained weights come with transferkit, the images lie beside this script.

    python examples/quickstart.py
"""

import tempfile
import time
from pathlib import Path

from transferkit import TransferClassifier

DATA = Path(__file__).parent / "data" / "cifar10-mini"


def main():
    start = time.perf_counter()

    # Training: one subfolder of images for each class is all it needs to know.
    classifier = TransferClassifier("efficientnet_lite0")
    classifier.fit(DATA / "train")

    # Testing, on images that had no part in the training.
    report = classifier.evaluate(DATA / "test")
    print(report)

    # Prediction: a file, a list of files, arrays or PIL images give labels; a folder gives path, label and probability.
    photograph = sorted((DATA / "test" / "ship").iterdir())[0]
    print(f"ship/{photograph.name} shows: {classifier.predict(photograph)[0]}")
    for prediction in classifier.predict_files(DATA / "test")[:3]:
        print(f"{Path(prediction.path).name}: {prediction.label} ({prediction.probability:.0%})")

    # Saving: one file, which plain Keras opens too. Keep yours somewhere better than a temporary folder.
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "cifar10-mini.keras")
        classifier.save(file)
        reloaded = TransferClassifier.load(file)
    print(f"loaded again, ship/{photograph.name} shows: {reloaded.predict(photograph)[0]}")

    print(f"\n{time.perf_counter() - start:.1f} seconds in all. Test accuracy: {report.accuracy:.1%}")


if __name__ == "__main__":
    main()
