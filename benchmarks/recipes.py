"""The hand-written recipes for transfer learning beside transferkit's default.

600 images of CIFAR-10 for training, 300 for testing (examples/data/cifar10-mini); the same EfficientNet-Lite0 with
the same bundled ImageNet weights in every row:

- `tutorial`: the common recipe. ImageDataGenerator with rescale=1/255, shear, zoom and flip; frozen base, global
  average pooling, Dense(256), Dense(10), Adam, 10 epochs.
- `scaled`: the same with the scaling that this network expects, (x - 127) / 128.
- `guide`: the recipe of Keras' guide "Transfer learning & fine-tuning" up to the end of training the head, on
  tf.data: augmentation inside the model, scaling, frozen base, pooling, Dropout(0.2), Dense(10), Adam, 10 epochs.
  Because of the augmentation the base runs over all images in every epoch.
- `transferkit`: `TransferClassifier().fit(train)`, `.evaluate(test)`, nothing else.

The recipes are not validated while they train, though the tutorials do so, and the images of the guide's recipe are
cached after reading: both favour the recipes. "fit" is timed from after the imports to the end of training, and so
includes building the models and setting up the data; "evaluate" is one pass over the test images. Every row runs in
a fresh process, in turn, and has the median of its repeats; each repeat of a recipe has another seed. The cache of
transferkit is empty each time.

    python benchmarks/recipes.py --repeats 3
"""

import json
from pathlib import Path

from _caches import fresh_cache
from _common import CIFAR10_MINI, Bar, make_parser, markdown_table, median, publish, run_fresh, tell, timed

IMAGE_SIZE = (224, 224)
BATCH_SIZE = 32
TARGET = 6  # seconds of `tutorial` and of `guide` over those of transferkit


def tutorial_recipe(data, epochs, seed):
    """The common recipe, with the scaling that it takes from the first tutorial."""
    return _generator_recipe(data, epochs, seed, rescale=1 / 255)


def scaled_recipe(data, epochs, seed):
    """The common recipe, with the scaling of the network."""
    return _generator_recipe(data, epochs, seed, preprocessing_function=lambda pixels: (pixels - 127) / 128)


def _generator_recipe(data, epochs, seed, **scaling):
    import keras
    from tensorflow.keras.preprocessing.image import ImageDataGenerator

    from transferkit.backbones.efficientnet_lite import build_efficientnet_lite0

    keras.utils.set_random_seed(seed)
    options = {"target_size": IMAGE_SIZE, "batch_size": BATCH_SIZE}

    def fit():
        augmented = ImageDataGenerator(shear_range=0.2, zoom_range=0.2, horizontal_flip=True, **scaling)
        images = augmented.flow_from_directory(data / "train", **options)
        base = build_efficientnet_lite0(weights="imagenet")
        base.trainable = False
        model = keras.Sequential(
            [
                base,
                keras.layers.GlobalAveragePooling2D(),
                keras.layers.Dense(256, activation="relu"),
                keras.layers.Dense(images.num_classes, activation="softmax"),
            ]
        )
        model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
        model.fit(images, epochs=epochs, verbose=0)
        return model

    def evaluate(model):
        images = ImageDataGenerator(**scaling).flow_from_directory(data / "test", shuffle=False, **options)
        return model.evaluate(images, verbose=0, return_dict=True)["accuracy"]

    return _fit_and_evaluate(fit, evaluate)


def guide_recipe(data, epochs, seed):
    """The recipe of Keras' guide, without its second part, fine-tuning."""
    import keras
    from keras import layers

    from transferkit.backbones.efficientnet_lite import build_efficientnet_lite0

    keras.utils.set_random_seed(seed)

    def dataset(folder, shuffle):
        images = keras.utils.image_dataset_from_directory(
            folder, image_size=IMAGE_SIZE, batch_size=None, shuffle=shuffle, seed=seed
        )
        num_classes = len(images.class_names)
        images = images.cache()
        images = images.shuffle(1000, seed=seed) if shuffle else images
        return images.batch(BATCH_SIZE).prefetch(10), num_classes

    def fit():
        images, num_classes = dataset(data / "train", shuffle=True)
        base = build_efficientnet_lite0(weights="imagenet")
        base.trainable = False
        inputs = keras.Input((*IMAGE_SIZE, 3))
        x = layers.RandomFlip("horizontal")(inputs)
        x = layers.RandomRotation(0.1)(x)
        x = layers.Rescaling(1 / 128, -127 / 128)(x)
        x = base(x, training=False)
        x = layers.GlobalAveragePooling2D()(x)
        x = layers.Dropout(0.2)(x)
        model = keras.Model(inputs, layers.Dense(num_classes)(x))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer=keras.optimizers.Adam(), loss=loss, metrics=["accuracy"])
        model.fit(images, epochs=epochs, verbose=0)
        return model

    def evaluate(model):
        images, _ = dataset(data / "test", shuffle=False)
        return model.evaluate(images, verbose=0, return_dict=True)["accuracy"]

    return _fit_and_evaluate(fit, evaluate)


def transferkit_default(data, epochs, seed):
    """The default of transferkit, which has neither epochs nor, here, another seed than its own."""
    from transferkit import TransferClassifier

    return _fit_and_evaluate(
        lambda: TransferClassifier().fit(data / "train"),
        lambda classifier: classifier.evaluate(data / "test").accuracy,
    )


def _fit_and_evaluate(fit, evaluate):
    model, fit_seconds = timed(fit)
    accuracy, evaluate_seconds = timed(evaluate, model)
    return {"fit": fit_seconds, "evaluate": evaluate_seconds, "accuracy": accuracy}


RECIPES = {
    "tutorial": ("tutorial: ImageDataGenerator, rescale=1/255, Dense(256)", tutorial_recipe),
    "scaled": ("the same with the network's own scaling", scaled_recipe),
    "guide": ("Keras' transfer-learning guide, training of the head", guide_recipe),
    "transferkit": ("transferkit, default", transferkit_default),
}


def run_in_turn(args):
    """Runs every recipe in a fresh process, one after the other, then all of them again."""
    records = {name: [] for name in RECIPES}
    for repeat in range(args.repeats):
        for name, kept in records.items():
            arguments = ("--only", name, "--data", args.data, "--epochs", args.epochs, "--seed", repeat)
            with fresh_cache():
                record, seconds = run_fresh(__file__, *arguments)
            kept.append({**record, "process": seconds})
            tell(f"repeat {repeat + 1} of {args.repeats}, {name}: {kept[-1]}")
    return records


def table_of(records):
    """One row a recipe, medians of its repeats, and how many times faster transferkit was."""
    fastest = median(records["transferkit"], "fit")
    rows = []
    for name, (label, _) in RECIPES.items():
        fit, evaluate, process = (median(records[name], key) for key in ("fit", "evaluate", "process"))
        accuracies = sorted(record["accuracy"] for record in records[name])
        spread = f" ({accuracies[0]:.3f} to {accuracies[-1]:.3f})" if accuracies[0] < accuracies[-1] else ""
        accuracy = f"{median(records[name], 'accuracy'):.3f}{spread}"
        rows.append([label, f"{fit:.1f}", f"{fit / fastest:.1f}", f"{evaluate:.1f}", f"{process:.1f}", accuracy])
    header = ["recipe", "fit, s", "fit / fit of transferkit", "evaluate, s", "whole process, s", "test accuracy"]
    return markdown_table(header, rows)


def bars_of(records):
    """How many times faster than each recipe `fit` of transferkit is."""
    fastest = median(records["transferkit"], "fit")
    return [
        Bar(name, median(kept, "fit") / fastest, TARGET if name in ("tutorial", "guide") else None)
        for name, kept in records.items()
        if name != "transferkit"
    ]


def main():
    parser = make_parser(__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10, help="epochs of the recipes")
    parser.add_argument("--data", type=Path, default=CIFAR10_MINI, help="folder with train/<class> and test/<class>")
    parser.add_argument("--only", choices=RECIPES, help="run one recipe in this process and print its numbers as JSON")
    parser.add_argument("--seed", type=int, default=0, help="seed of a recipe, with --only")
    args = parser.parse_args()
    if args.only:
        print(json.dumps(RECIPES[args.only][1](args.data, args.epochs, args.seed)))
        return
    records = run_in_turn(args)
    note = f"{args.epochs} epochs for the recipes, none validated while training; medians of {args.repeats}."
    publish(__file__, __doc__, args, [table_of(records), note], records, bars_of(records))


if __name__ == "__main__":
    main()
