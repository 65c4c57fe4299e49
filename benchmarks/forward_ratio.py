"""The cost of fitting the default head, over the cost of one plain forward pass.

The forward pass is a keras.Model built by hand: resizing, scaling, the same backbone, global average pooling;
`.predict` on the images. It is built anew for every repeat and passes over the images twice: "first" is what one
pass costs whoever runs it once, since TensorFlow traces the function; "again" has nothing left to trace.
`fit` is all of `TransferClassifier(verbose=0).fit(x, y)`, with reading the weights, building the models and tracing
them. All run in turn in one process, on the same uint8 images of CIFAR-10; the triples are repeated, and ratios
are those of the medians. What `fit` spends on computing features and on the logistic path is timed inside it; the
rest is building and checking. Each has a cache folder that is empty but for `speeds.json`, what another `fit`,
before all of them, has found out about the machine.

    python benchmarks/forward_ratio.py --repeats 3
"""

from contextlib import contextmanager
from unittest import mock

from _caches import fresh_cache, read_speeds
from _common import (
    add_data_arguments,
    draw_per_class,
    load_cifar10,
    make_parser,
    markdown_table,
    median,
    publish,
    tell,
    timed,
)

TARGET = 1.25
BATCH_SIZE = 32


def build_forward_model():
    """Builds what has to be computed for every image, and nothing more."""
    import keras

    from transferkit.backbones.efficientnet_lite import build_efficientnet_lite0

    pixels = keras.Input((None, None, 3))
    x = keras.layers.Resizing(224, 224, interpolation="bicubic", antialias=True)(pixels)
    x = keras.layers.Rescaling(1 / 128, -127 / 128)(x)
    x = build_efficientnet_lite0(weights="imagenet")(x, training=False)
    model = keras.Model(pixels, keras.layers.GlobalAveragePooling2D()(x))
    model.compile(jit_compile=False)  # XLA cannot resize with antialiasing
    return model


@contextmanager
def stopwatch(module, name):
    """Yields a list that gets the seconds of every call of `module.name` inside the block."""
    function, calls = getattr(module, name), []

    def stopped(*args, **kwargs):
        result, seconds = timed(function, *args, **kwargs)
        calls.append(seconds)
        return result

    with mock.patch.object(module, name, stopped):
        yield calls


def find_speeds(x, y):
    """Returns what `fit` finds out about the machine."""
    from transferkit import TransferClassifier

    with fresh_cache() as cache:
        TransferClassifier(verbose=0).fit(x, y)
        return read_speeds(cache)


def time_fit(x, y, speeds):
    """Times `fit` and the two steps of it that grow with the number of images."""
    from transferkit import TransferClassifier
    from transferkit.backbones.efficientnet_lite import imagenet_weights
    from transferkit.frozen.features import FrozenFeatures
    from transferkit.training import logistic as heads

    imagenet_weights.cache_clear()  # the forward model has read them already; `fit` pays for itself
    with (
        fresh_cache(speeds),
        stopwatch(FrozenFeatures, "rows") as features,
        stopwatch(heads, "fit_logistic_path") as head,
    ):
        _, seconds = timed(TransferClassifier(verbose=0).fit, x, y)
    return {"fit": seconds, "features": sum(features), "head": sum(head), "rest": seconds - sum(features) - sum(head)}


def time_pairs(x, y, repeats):
    """Times the forward passes and `fit` in turn."""
    pairs, speeds = [], find_speeds(x, y)
    for repeat in range(repeats):
        model = build_forward_model()
        _, first = timed(model.predict, x, batch_size=BATCH_SIZE, verbose=0)
        _, again = timed(model.predict, x, batch_size=BATCH_SIZE, verbose=0)
        pairs.append({"first": first, "again": again, **time_fit(x, y, speeds)})
        tell(f"{len(x):,} images, repeat {repeat + 1} of {repeats}: {pairs[-1]}")
    return pairs


def table_row(num_images, pairs):
    """Medians of one number of images, and the ratio of every pair."""
    seconds = {key: median(pairs, key) for key in pairs[0]}
    ratios = [f"{seconds['fit'] / seconds[key]:.2f}" for key in ("first", "again")]
    each = ", ".join(f"{pair['fit'] / pair['first']:.2f}" for pair in pairs)
    parts = " + ".join(f"{seconds[key]:.1f}" for key in ("features", "head", "rest"))
    return [f"{num_images:,}", *(f"{seconds[key]:.1f}" for key in ("first", "again", "fit")), *ratios, each, parts]


def main():
    parser = make_parser(__doc__)
    add_data_arguments(parser)
    parser.add_argument("--counts", type=int, nargs="+", default=[600, 10_000], help="numbers of images")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    data = load_cifar10(args.data, args.per_class)
    records = {}
    for count in args.counts:
        rows, _ = draw_per_class(data.y_train, count // 10, seed=0)
        records[count] = time_pairs(data.x_train[rows], data.y_train[rows], args.repeats)
    header = [
        "images",
        "first pass, s",
        "again, s",
        "fit, s",
        f"fit / first (target {TARGET})",
        "fit / again",
        "fit / first, each",
        "fit: features + logistic path + rest, s",
    ]
    table = markdown_table(header, [table_row(count, pairs) for count, pairs in records.items()])
    publish(__file__, __doc__, args, [table, f"Images: {data.origin}. Medians of {args.repeats}."], records)


if __name__ == "__main__":
    main()
