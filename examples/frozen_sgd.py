"""A frozen backbone, and a head trained by SGD with momentum along a cosine.

python examples/frozen_sgd.py
"""

from pathlib import Path

import keras

from transferkit import Head, Phase, TransferClassifier

DATA = Path(__file__).parent / "data" / "cifar10-mini"


def main():
    classifier = TransferClassifier(
        image_size=96,
        head=Head(units=()),
        optimizer=keras.optimizers.SGD(0.01, momentum=0.9),
        schedule=[Phase("head", epochs=30, rate_schedule="cosine", patience=None)],
    )
    classifier.fit(DATA / "train")
    print(classifier.evaluate(DATA / "test"))


if __name__ == "__main__":
    main()
