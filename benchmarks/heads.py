"""Training a head for 10 epochs on a frozen network, beside the ways in which it is done elsewhere.

200 JPEG files of 500 × 375 pixels in class folders (ten classes; `_images.py`), read to 224 × 224. VGG16 and ResNet50
have random weights (`_networks.py`), on which the time does not depend. EfficientNet-Lite0 has its ImageNet weights and
is measured on three times as many files, too.

- `by hand`: the frozen recipe in its simplest and fastest form. The `keras.applications` model, called with
  `training=False`, global average pooling, Dense(256), Dense(10), Adam, `model.fit` for 10 epochs of a tf.data pipeline
  that decodes and scales every image once and keeps it in memory. No augmentation, no validation.
- `ImageDataGenerator`: the same model on `flow_from_directory` with shear, zoom and flip.
- `guide`: the recipe of Keras' guide "Transfer learning & fine-tuning": flip and rotation inside the model, pooling,
  Dropout(0.2), Dense(10).
- `keras-hub`: `keras_hub.models.ImageClassifier` on the same network, frozen, with its own head, which is pooling and
  Dense(10), on the pipeline of `by hand`.
- `PyTorch`: the usual loop, with the head of `by hand`; the frozen network in `eval()` and under `torch.no_grad()`;
  images decoded once; all cores; random weights for every network.
- `transferkit, Dense(256)`: `TransferClassifier(head=Head(units=(256,), dropout=0))` with a phase in which Adam trains
  the head, and nothing else, for all 10 epochs. A fifth of the images validates every epoch.
- `transferkit, logistic`: the default head, with its cross-validation.

Timed is `fit` only: from after the imports to the trained classifier, with building the models, reading weights and
files, and tracing. Every row runs in a fresh process, all in turn, and has the median of its repeats. Each fit of
transferkit has an empty cache of its own, but for `speeds.json`, where transferkit keeps which engine and precision are
the fastest on a machine once it has measured them: the row `..., first on a machine` is without, and so includes
measuring them. A row whose package is missing is left out, and the results say so.

    python benchmarks/heads.py --repeats 3
"""

import json
import os
import tempfile
from pathlib import Path
from typing import NamedTuple

from _caches import fresh_cache, read_speeds
from _common import Bar, is_installed, make_parser, markdown_table, median, publish, run_fresh, tell, timed
from _images import make_jpegs
from _networks import LITE0, PRETRAINED, find_weights

SIZE = (224, 224)
BATCH_SIZE = 32
UNITS = 256
TARGETS = {"vgg16": 15, "resnet50": 12, LITE0: 9}  # seconds of `by hand` over those of `OURS`
BY_HAND, OURS, FIRST, LOGISTIC = (
    "by hand",
    "transferkit, Dense(256)",
    "transferkit, Dense(256), first on a machine",
    "transferkit, logistic",
)


class Task(NamedTuple):
    """What a row trains on: a class folder, a network and its weights, the path of a file or `"imagenet"`."""

    folder: Path
    network: str
    weights: str
    epochs: int


def build_base(task):
    """Builds a frozen network as one does by hand. Returns it and the function that scales its pixels."""
    import keras

    if task.network == LITE0:
        from transferkit.backbones.efficientnet_lite import build_efficientnet_lite0

        base, preprocess = build_efficientnet_lite0(weights=PRETRAINED), lambda pixels: (pixels - 127) / 128
    else:
        builder, module = {"vgg16": ("VGG16", "vgg16"), "resnet50": ("ResNet50", "resnet50")}[task.network]
        build = getattr(keras.applications, builder)
        base = build(include_top=False, weights=task.weights, input_shape=(*SIZE, 3))
        preprocess = getattr(keras.applications, module).preprocess_input
    base.trainable = False
    return base, preprocess


def read_dataset(folder, preprocess):
    """Makes the fastest pipeline of tf.data: what it has decoded and scaled once stays in memory."""
    import keras

    options = {"image_size": SIZE, "batch_size": None, "shuffle": False, "verbose": False}
    images = keras.utils.image_dataset_from_directory(folder, **options)
    num_classes = len(images.class_names)
    images = images.map(lambda pixels, label: (preprocess(pixels), label)).cache()
    return images.shuffle(10_000, seed=0).batch(BATCH_SIZE).prefetch(2), num_classes


def build_classifier(base, num_classes):
    """The network, frozen, and the common head."""
    import keras

    inputs = keras.Input((*SIZE, 3))
    x = keras.layers.GlobalAveragePooling2D()(base(inputs, training=False))
    x = keras.layers.Dense(UNITS, activation="relu")(x)
    return keras.Model(inputs, keras.layers.Dense(num_classes, activation="softmax")(x))


def train(model, images, epochs, loss="sparse_categorical_crossentropy"):
    """Compiles and fits. Returns the last loss."""
    model.compile(optimizer="adam", loss=loss, metrics=["accuracy"])
    return model.fit(images, epochs=epochs, verbose=0).history["loss"][-1]


def by_hand(task):
    """The frozen recipe in its fastest form."""
    import keras  # noqa: F401

    def fit():
        base, preprocess = build_base(task)
        images, num_classes = read_dataset(task.folder, preprocess)
        return train(build_classifier(base, num_classes), images, task.epochs)

    return timed(fit)


def image_data_generator(task):
    """The common recipe, with the scaling of the network."""
    from tensorflow.keras.preprocessing.image import ImageDataGenerator

    def fit():
        base, preprocess = build_base(task)
        generator = ImageDataGenerator(
            shear_range=0.2, zoom_range=0.2, horizontal_flip=True, preprocessing_function=preprocess
        )
        images = generator.flow_from_directory(task.folder, target_size=SIZE, batch_size=BATCH_SIZE)
        return train(build_classifier(base, images.num_classes), images, task.epochs, "categorical_crossentropy")

    return timed(fit)


def guide(task):
    """The recipe of Keras' guide, without its second part, fine-tuning."""
    from keras import Input, Model, layers, losses

    def fit():
        base, preprocess = build_base(task)
        images, num_classes = read_dataset(task.folder, lambda pixels: pixels)
        inputs = Input((*SIZE, 3))
        x = layers.RandomRotation(0.1)(layers.RandomFlip("horizontal")(inputs))
        x = layers.GlobalAveragePooling2D()(base(preprocess(x), training=False))
        model = Model(inputs, layers.Dense(num_classes)(layers.Dropout(0.2)(x)))
        return train(model, images, task.epochs, losses.SparseCategoricalCrossentropy(from_logits=True))

    return timed(fit)


def keras_hub_classifier(task):
    """The classifier of KerasHub on the same network."""
    from keras_hub.models import ImageClassifier

    def fit():
        base, preprocess = build_base(task)
        images, num_classes = read_dataset(task.folder, preprocess)
        model = ImageClassifier(backbone=base, num_classes=num_classes, preprocessor=None, activation="softmax")
        return train(model, images, task.epochs)

    return timed(fit)


def pytorch(task):
    """The usual loop of PyTorch."""
    import torch

    torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])  # the first optimizer imports much
    torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    return timed(lambda: _train_in_torch(task, torch))


def _train_in_torch(task, torch):
    from _torch_networks import build_network

    images, labels = _read_tensors(task.folder, torch)
    batches = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(images, labels), BATCH_SIZE, shuffle=True)
    network, num_features = build_network(task.network)
    network.eval()
    pooling = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    hidden, output = torch.nn.Linear(num_features, UNITS), torch.nn.Linear(UNITS, int(labels.max()) + 1)
    head = torch.nn.Sequential(hidden, torch.nn.ReLU(), output)
    optimizer, loss_of = torch.optim.Adam(head.parameters()), torch.nn.CrossEntropyLoss()
    for _ in range(task.epochs):
        for pixels, wanted in batches:
            with torch.no_grad():
                features = pooling(network(pixels))
            optimizer.zero_grad()
            loss = loss_of(head(features), wanted)
            loss.backward()
            optimizer.step()
    return loss.item()


def _read_tensors(folder, torch):
    """Decodes all images of a class folder once, scaled as torchvision's networks expect them."""
    import numpy as np
    from PIL import Image

    mean, spread = (torch.tensor(values)[:, None, None] for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    images, labels = [], []
    for label, class_folder in enumerate(sorted(folder.iterdir())):
        for path in sorted(class_folder.iterdir()):
            pixels = np.array(Image.open(path).resize(SIZE, Image.Resampling.BILINEAR))
            images.append((torch.from_numpy(pixels).permute(2, 0, 1) / 255 - mean) / spread)
            labels.append(label)
    return torch.stack(images), torch.tensor(labels)


def transferkit_dense(task):
    """transferkit with the same head."""
    from transferkit import Head, Phase, TransferClassifier

    classifier = TransferClassifier(
        task.network,
        weights=task.weights,
        image_size=SIZE,
        head=Head(units=(UNITS,), dropout=0),
        schedule=[Phase("head", epochs=task.epochs, learning_rate=1e-3, patience=None)],
    )
    seconds = timed(classifier.fit, task.folder)[1]
    return classifier.history_["loss"][-1], seconds


def transferkit_logistic(task):
    """transferkit with its default head."""
    from transferkit import TransferClassifier

    classifier = TransferClassifier(task.network, weights=task.weights, image_size=SIZE)
    seconds = timed(classifier.fit, task.folder)[1]
    return min(classifier.history_["val_loss"]), seconds


# What each row runs, and the package that it needs.
ROWS = {
    BY_HAND: (by_hand, "keras"),
    "ImageDataGenerator": (image_data_generator, "keras"),
    "guide": (guide, "keras"),
    "keras-hub": (keras_hub_classifier, "keras_hub"),
    "PyTorch": (pytorch, "torch"),
    FIRST: (transferkit_dense, "transferkit"),
    OURS: (transferkit_dense, "transferkit"),
    LOGISTIC: (transferkit_logistic, "transferkit"),
}


def measure_case(task, args, rows):
    """Runs every row on one task in fresh processes, in turn. Returns their records and what the machine is fast in."""
    arguments = (
        "--folder",
        task.folder,
        "--networks",
        task.network,
        "--weights",
        task.weights,
        "--epochs",
        task.epochs,
    )
    records, speeds = {row: [] for row in rows}, None
    for repeat in range(args.repeats):
        for row in rows:
            with fresh_cache(None if row == FIRST else speeds) as cache:
                loss, seconds = run_fresh(__file__, "--only", row, *arguments)[0]
                speeds = speeds or read_speeds(cache)
            records[row].append({"fit": seconds, "loss": loss})
            tell(f"{task.network}, repeat {repeat + 1} of {args.repeats}, {row}: {seconds:.1f} s")
    return {"rows": records, "speeds": json.loads(speeds or "{}")}


def measure_all(args, rows):
    """Every network on `--count` images, and the smallest on three times as many."""
    cases = [(network, args.count) for network in args.networks]
    cases += [(LITE0, 3 * args.count)] if LITE0 in args.networks else []
    records = {}
    with tempfile.TemporaryDirectory() as temporary:
        for network, count in cases:
            folder = Path(temporary, str(count))
            if not folder.exists():
                make_jpegs(folder, count)
            task = Task(folder, network, find_weights(network, temporary), args.epochs)
            records[f"{network}, {count} images"] = measure_case(task, args, rows)
    return records


def table_rows(case, record):
    """The rows of one case as texts."""
    ours = median(record["rows"][OURS], "fit")
    rows = []
    for row, kept in record["rows"].items():
        seconds = sorted(entry["fit"] for entry in kept)
        ratio = median(kept, "fit") / ours
        target = f"{TARGETS[case.split(',')[0]]}" if row == BY_HAND else ""
        spread = f"{seconds[0]:.1f} to {seconds[-1]:.1f}"
        rows.append([case, row, f"{median(kept, 'fit'):.1f}", spread, f"{ratio:.2f}", target])
    return rows


def bars_of(records):
    """How many times faster transferkit is than each of the others."""
    return [
        Bar(
            f"{case}, {row}",
            median(kept, "fit") / median(record["rows"][OURS], "fit"),
            TARGETS[case.split(",")[0]] if row == BY_HAND else None,
        )
        for case, record in records.items()
        for row, kept in record["rows"].items()
        if not row.startswith("transferkit")
    ]


def run_here(args):
    """Runs one row in this process and prints its last loss and its seconds as JSON."""
    task = Task(args.folder, args.networks[0], args.weights, args.epochs)
    print(json.dumps(ROWS[args.only][0](task)))


def main():
    parser = make_parser(__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--count", type=int, default=200, help="number of images")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--networks", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), help="beside transferkit's own")
    parser.add_argument("--only", choices=ROWS, help="run one row in this process and print its numbers as JSON")
    parser.add_argument("--folder", type=Path, help="class folder, with --only")
    parser.add_argument("--weights", default=PRETRAINED, help="weights of the network, with --only")
    args = parser.parse_args()
    if args.only:
        run_here(args)
        return
    wanted = {row: package for row, (_, package) in ROWS.items() if row in args.rows or row.startswith("transferkit")}
    rows = [row for row, package in wanted.items() if is_installed(package)]
    records = measure_all(args, rows)
    header = ["network", "row", "fit, s", "in all repeats", "fit / fit of transferkit, Dense(256)", "at least"]
    table = markdown_table(header, [line for case, record in records.items() for line in table_rows(case, record)])
    notes = [f"{args.epochs} epochs; medians of {args.repeats}. VGG16 and ResNet50 have random weights."]
    notes += [f"Row {row!r} is missing: {wanted[row]} is not installed here." for row in wanted if row not in rows]
    publish(__file__, __doc__, args, [table, *notes], records, bars_of(records))


if __name__ == "__main__":
    main()
