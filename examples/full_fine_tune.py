"""Fine-tunes all of the network by Adam: the head first, then everything, at a rate that falls from stage to stage.

BatchNorm statistics stay as they are, and so do the weights if validation says that nothing was gained.

    python examples/full_fine_tune.py
"""

from pathlib import Path

from transferkit import TransferClassifier

DATA = Path(__file__).parent / "data" / "cifar10-mini"


def main():
    classifier = TransferClassifier(image_size=96, schedule="fine_tune", optimizer="adam")
    classifier.summary(num_classes=10, num_images=600)
    classifier.fit(DATA / "train")
    print(classifier.evaluate(DATA / "test"))


if __name__ == "__main__":
    main()
