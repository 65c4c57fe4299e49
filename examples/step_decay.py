"""Arrays in memory, a head with L2 and dropout, a rate that falls in steps, early stopping.

python examples/step_decay.py
"""

from pathlib import Path

import numpy as np
from PIL import Image

from transferkit import Head, Phase, StepDecay, TransferClassifier

DATA = Path(__file__).parent / "data" / "cifar10-mini"


def load(folder):
    """Reads a class folder into arrays, as Keras' own data sets come."""
    files = sorted(folder.glob("*/*"))
    return np.stack([np.asarray(Image.open(file)) for file in files]), np.array([file.parent.name for file in files])


def main():
    x_train, y_train = load(DATA / "train")
    x_test, y_test = load(DATA / "test")
    classifier = TransferClassifier(
        image_size=96,
        head=Head(units=(256,), dropout=0.5, l2=1e-4),
        schedule=[Phase("head", epochs=40, learning_rate=1e-3, rate_schedule=StepDecay(every=10), patience=8)],
    )
    classifier.fit(x_train, y_train)
    print(classifier.evaluate(x_test, y_test))

    history = classifier.history_
    best = int(np.argmin(history["val_loss"]))
    print(f"Stopped after epoch {history['epoch'][-1]} of 40; epoch {history['epoch'][best]} was kept.")


if __name__ == "__main__":
    main()
