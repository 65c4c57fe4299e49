"""The frozen forward pass as `fit` runs it, beside `keras.Model.predict`.

Images a second from uint8 pixels of 224 × 224 in memory to pooled features. `predict` is that of a Keras model written
by hand: scaling, the same network, global average pooling, in float32, 32 images a batch. The others are what `fit`
chooses from, `compile_front` run by `iterate_model`: on each engine that is installed, in float32 and bfloat16, with
the same batches. All run in turn in one process, after a pass each that is not timed. Building and compiling are not
timed either; `heads.py` includes them. "Deviation" is the length of the difference from the features of `predict`, over
the length of those.

Where `onnxruntime` and `tf2onnx` are installed, ONNX Runtime runs the model of `predict`, for the record. VGG16 and
ResNet50 have random weights (`_networks.py`), EfficientNet-Lite0 its ImageNet weights.

    python benchmarks/forward.py --repeats 5
"""

import gc
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from _caches import fresh_cache
from _common import Bar, is_installed, make_parser, markdown_table, median, publish, tell, timed
from _images import enlarge
from _networks import LITE0, find_weights

SIZE = (224, 224)
BATCH_SIZE = 32
PREDICT = "predict, float32"
PRECISIONS = ("float32", "bfloat16")


class Case(NamedTuple):
    """How many images, and how many times faster than `predict` the fastest should be."""

    count: int
    target: float


CASES = {LITE0: Case(320, 1.25), "resnet50": Case(128, 1.6), "vgg16": Case(64, 2)}


def make_images(count):
    """Makes uint8 images of the right size."""
    from _common import CIFAR10_MINI
    from PIL import Image

    rng = np.random.default_rng(0)
    paths = sorted((CIFAR10_MINI / "train").glob("*/*.png"))
    images = [enlarge(Image.open(paths[number % len(paths)]), rng).resize(SIZE) for number in range(count)]
    return np.stack([np.asarray(image) for image in images])


def build_by_hand(models):
    """Joins scaling, network and pooling into the model of `predict`."""
    import keras

    x = inputs = keras.Input((*SIZE, 3))
    for model in models:
        x = model(x, training=False)
    return keras.Model(inputs, x)


def build_runners(name, weights, folder):
    """Builds everything that is timed. Returns a dict of functions from images to features."""
    from transferkit import get_backbone
    from transferkit.models.heads import build_pooling

    backbone = get_backbone(name)
    network = backbone.build(SIZE, weights)
    models = backbone.build_scaling(), network, build_pooling("avg", network.output_shape[1:])
    by_hand = build_by_hand(models)
    runners = {PREDICT: lambda images: by_hand.predict(images, batch_size=BATCH_SIZE, verbose=0)}
    for engine in ("keras", *(["openvino"] if is_installed("openvino") else [])):
        for precision in PRECISIONS:
            runners[f"{engine}, {precision}"] = build_front(models, engine, precision)
    if is_installed("onnxruntime") and is_installed("tf2onnx"):
        runners["ONNX Runtime, float32"] = build_session(by_hand, Path(folder, f"{name}.onnx"))
    return runners


def build_front(models, engine, precision):
    """Compiles a frozen front, to be run as `fit` does."""
    from transferkit.data.datasets import stream_images
    from transferkit.data.inputs.convert import as_source
    from transferkit.data.resizing import ImageFormat
    from transferkit.frozen.compiling import compile_front
    from transferkit.frozen.forward import iterate_model

    front = compile_front(models, precision=precision, engine=engine, batch_size=BATCH_SIZE)

    def run(images):
        batches = stream_images(as_source(images), ImageFormat(SIZE), BATCH_SIZE)
        return np.concatenate(list(iterate_model(front, batches, len(images))))

    return run


def build_session(model, path):
    """Exports a model and runs it by ONNX Runtime."""
    import onnxruntime

    model(np.zeros((1, *SIZE, 3), "float32"))  # only what was called can be exported
    model.export(path, format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(images):
        batches = [images[start : start + BATCH_SIZE] for start in range(0, len(images), BATCH_SIZE)]
        return np.concatenate([session.run(None, {name: batch.astype("float32")})[0] for batch in batches])

    return run


def measure_network(name, count, repeats, temporary):
    """Runs everything on one network in turn. Returns images a second and the deviation from `predict`."""
    images = make_images(count)
    runners = build_runners(name, find_weights(name, temporary), temporary)
    features = {label: run(images) for label, run in runners.items()}
    wanted = features[PREDICT]
    records = {label: [] for label in runners}
    for repeat in range(repeats):
        for label, run in runners.items():
            _, seconds = timed(run, images)
            records[label].append({"rate": count / seconds})
        rates = ", ".join(f"{label}: {kept[-1]['rate']:.1f}" for label, kept in records.items())
        tell(f"{name}, repeat {repeat + 1} of {repeats}, images/s: {rates}")
    deviations = {
        label: float(np.linalg.norm(rows - wanted) / np.linalg.norm(wanted)) for label, rows in features.items()
    }
    return {"runners": records, "deviations": deviations}


def ratios_of(record):
    """How many times faster than `predict` each is."""
    base = median(record["runners"][PREDICT], "rate")
    return {label: median(kept, "rate") / base for label, kept in record["runners"].items()}


def fastest_of(record):
    """Which of those that `fit` chooses from is the fastest, and how many times faster it is."""
    own = {label: ratio for label, ratio in ratios_of(record).items() if label.startswith(("keras", "openvino"))}
    return max(own.items(), key=lambda item: item[1])


def table_rows(name, record):
    """One network as texts."""
    best, rows = fastest_of(record)[0], []
    for label, ratio in ratios_of(record).items():
        rates = [entry["rate"] for entry in record["runners"][label]]
        target = f"{CASES[name].target}" if label == best else ""
        rows.append(
            [
                name,
                label,
                f"{np.median(rates):.1f}",
                f"{min(rates):.1f} to {max(rates):.1f}",
                f"{ratio:.2f}",
                target,
                f"{record['deviations'][label]:.0e}",
            ]
        )
    return rows


def bars_of(records):
    """Ratios to `predict`; the target goes to the fastest that `fit` chooses from."""
    return [
        Bar(f"{name}, {label}", ratio, CASES[name].target if label == fastest_of(record)[0] else None)
        for name, record in records.items()
        for label, ratio in ratios_of(record).items()
        if label != PREDICT
    ]


def main():
    parser = make_parser(__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--count", type=int, help="number of images; default: 320, 128 and 64")
    parser.add_argument("--networks", nargs="+", choices=CASES, default=list(CASES))
    args = parser.parse_args()
    records = {}
    with tempfile.TemporaryDirectory() as temporary, fresh_cache():
        for name in args.networks:
            records[name] = measure_network(name, args.count or CASES[name].count, args.repeats, temporary)
            gc.collect()
    header = ["network", "what runs it", "images/s", "in all repeats", "over `predict`", "at least", "deviation"]
    table = markdown_table(header, [line for name, record in records.items() for line in table_rows(name, record)])
    note = f"Batches of {BATCH_SIZE}; medians of {args.repeats}. VGG16 and ResNet50 have random weights."
    publish(__file__, __doc__, args, [table, note], records, bars_of(records), "times as fast as predict")


if __name__ == "__main__":
    main()
