"""How often the 95 % intervals of a report hold the true number.

Classifiers are made up: logits of 10 classes are drawn, the labels from what these logits say, and the probabilities
that the classifier gives are those of the logits times 1.5, so that it is overconfident. What its numbers really are is
computed on 400,000 images. Then reports of few images are drawn, 1,000 of each size, and it is counted how often the
interval of each number holds the true one; 95 % should. With 1,000 draws chance alone gives 93.6 to 96.4 %.

`plain` has classes of one size; `calibrated` gives the very probabilities that labels are drawn from; in `rare classes`
the sizes fall to a tenth; in `groups` five images each belong together and are alike, and the report is told so. The
last rows are of `compare`: the difference to a classifier that sees the same images with more noise.

    python benchmarks/intervals.py
"""

from concurrent.futures import ProcessPoolExecutor

import numpy as np
from _common import make_parser, markdown_table, publish, tell, timed
from scipy.special import softmax
from threadpoolctl import threadpool_limits

from transferkit.evaluation.comparison import compare
from transferkit.evaluation.metrics import metrics_of
from transferkit.evaluation.report import EvaluationReport

NUM_CLASSES = 10
NAMES = np.array([f"class {code}" for code in range(NUM_CLASSES)])
POPULATION = 400_000
GROUP = 5
SETTINGS = {
    "plain": {},
    "calibrated": {"sharpness": 1.0},
    "rare classes": {"ratio": 0.1},
    "groups": {"group": GROUP},
}


def draw_report(count, seed, sharpness=1.5, ratio=1.0, group=1, extra_noise=0.0):
    """Draws the report of one classifier; the same seed draws the same images for another `extra_noise`."""
    rng, noise = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    shares = ratio ** (np.arange(NUM_CLASSES) / (NUM_CLASSES - 1))
    num_groups = count // group
    kinds = np.repeat(rng.choice(NUM_CLASSES, num_groups, p=shares / shares.sum()), group)
    logits = 1.3 * rng.normal(size=(count, NUM_CLASSES)) + 5.5 * np.eye(NUM_CLASSES)[kinds]
    if group > 1:
        logits = logits / 2 + np.repeat(1.3 * rng.normal(size=(num_groups, NUM_CLASSES)), group, axis=0)
    labels = (softmax(logits, axis=1).cumsum(axis=1) > rng.random((count, 1))).argmax(axis=1)
    given = sharpness * logits + extra_noise * noise.normal(size=logits.shape)
    groups = np.repeat(np.arange(num_groups), group) if group > 1 else None
    return EvaluationReport(NAMES, labels, softmax(given, axis=1).astype("float32"), groups=groups)


def true_values(**options):
    """Computes all metrics of so many images that chance has no part in them."""
    sample = draw_report(POPULATION, 10**6, **options).sample
    return {metric.name: (metric.title, float(metric.function(sample))) for metric in metrics_of(sample)}


def judge(task):
    """Returns for each metric of one drawn report whether the truth is below, in or above its interval."""
    count, seed, options, truths = task
    values = draw_report(count, seed, **options).metrics
    return {name: place(truth, values[name]) for name, (_, truth) in truths.items()}


def judge_difference(task):
    """The same for `compare`."""
    count, seed, options, truths = task
    a, b = (draw_report(count, seed, **options, extra_noise=noise) for noise in (0.0, 2.0))
    found = compare(a, b).metrics
    return {name: place(truth, found[name]) for name, (_, truth) in truths.items() if name in found}


def place(truth, interval):
    """-1, 0 or 1: below, in or above it; `None` where there is no interval."""
    if not interval.low <= interval.high:
        return None
    return int(truth > interval.high) - int(truth < interval.low)


def measure(name, count, draws, pool):
    """Judges `draws` reports of a setting. Returns the shares of truths below, in and above, by metric."""
    if name == "difference":
        truths = [true_values(), true_values(extra_noise=2.0)]
        truths = {key: (title, truths[1][key][1] - value) for key, (title, value) in truths[0].items()}
        function, options = judge_difference, {}
    else:
        function, options = judge, SETTINGS[name]
        truths = true_values(**options)
    tasks = [(count, seed, options, truths) for seed in range(draws)]
    found, seconds = timed(lambda: list(pool.map(function, tasks, chunksize=4)))
    record = {"setting": name, "images": count, "seconds": seconds, "metrics": {}}
    for key, (title, truth) in truths.items():
        places = [each[key] for each in found if each.get(key) is not None]
        shares = {
            side: float(np.mean([each == value for each in places]))
            for side, value in (("below", -1), ("in", 0), ("above", 1))
        }
        record["metrics"][key] = {"title": title, "truth": truth, "intervals": len(places), **shares}
    tell(f"{name}, {count} images: " + ", ".join(f"{k} {v['in']:.3f}" for k, v in record["metrics"].items()))
    return record


def table_of(records):
    """One row a metric, one column a setting."""
    titles = {key: value["title"] for record in records for key, value in record["metrics"].items()}
    header = ["95 % interval of", *(f"{record['setting']}, {record['images']:,} images" for record in records)]
    rows = [
        [title, *(f"{100 * record['metrics'][key]['in']:.1f} %" for record in records)] for key, title in titles.items()
    ]
    return markdown_table(header, rows)


def measure_speed(repeats):
    """Seconds of all metrics with their intervals, of 2,000 images and 10 classes."""
    return [timed(lambda report: report.metrics, draw_report(2000, seed))[1] for seed in range(repeats)]


def main():
    parser = make_parser(__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[300, 2000], help="images of a report")
    parser.add_argument("--draws", type=int, default=1000, help="reports of each setting and size")
    parser.add_argument("--settings", nargs="+", default=[*SETTINGS, "difference"], help="some of the settings")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    args = parser.parse_args()
    seconds = measure_speed(5)
    with ProcessPoolExecutor(args.workers, initializer=threadpool_limits, initargs=(1,)) as pool:
        records = [measure(name, count, args.draws, pool) for name in args.settings for count in args.counts]
    speed = f"All metrics of 2,000 images and 10 classes, with their intervals: {np.median(seconds):.2f} s."
    text = f"Share of {args.draws:,} intervals that hold the true number."
    publish(__file__, __doc__, args, [table_of(records), text, speed], {"coverage": records, "seconds": seconds})


if __name__ == "__main__":
    main()
