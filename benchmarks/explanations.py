"""Heat maps of Grad-CAM: is what they show what the classifier uses?

Pixels are removed by their heat, and what is left is classified. A classifier of the default settings is fitted to
training images of cifar10-10k. Of test images, the given shares of the pixels are removed, once those with the most
heat first and once those with the least, and the probability of the class that was predicted before is measured. The
better the map, the more it falls in the first case, and the less in the second. What is removed is filled in from its
neighbours, with a little noise, so that neither the shape of the hole nor pixels that no image has tell the network
anything: ROAD, Rong et al., ICML 2022, arXiv:2202.00449.

Beside Grad-CAM there are a map of the same number of places drawn at random, one that is hot in the middle of every
image, and the map of the least probable class.

    python benchmarks/explanations.py
"""

import numpy as np
from _common import (
    Bar,
    add_data_arguments,
    draw_per_class,
    load_cifar10,
    make_parser,
    markdown_table,
    publish,
    tell,
    timed,
)
from scipy import sparse
from scipy.sparse.linalg import spsolve

NOISE = 2.55  # standard deviation in gray levels
GRAD_CAM, RANDOM, MIDDLE, OTHER = "Grad-CAM", "at random", "the middle", "Grad-CAM of the least probable class"


def neighbours(height, width):
    """The weights of the eight neighbours of each pixel, `(pixels, pixels)`: 1 where they touch it, 1/2 at corners."""

    def beside(length):
        return sparse.diags_array([np.ones(length - 1)] * 2, offsets=[-1, 1])

    rows, columns = beside(height), beside(width)
    touching = sparse.kron(rows, sparse.eye_array(width)) + sparse.kron(sparse.eye_array(height), columns)
    weights = (touching + 0.5 * sparse.kron(rows, columns)).tocsr()
    return sparse.diags_array(1 / weights.sum(axis=1)) @ weights


def fill_in(image, is_removed, weights, rng):
    """Replaces pixels by the weighted means of their neighbours, all at once, and noise.

    Args:
        image: uint8 `(height, width, 3)`.
        is_removed: `(height, width)` truth values.
        weights: From `neighbours`.
        rng: Generator of the noise.

    Returns:
        uint8 `(height, width, 3)`.
    """
    pixels, removed = image.reshape(-1, 3).astype(float), np.flatnonzero(is_removed)
    known = np.flatnonzero(~is_removed)
    rows = weights[removed]
    system = (sparse.eye_array(len(removed)) - rows[:, removed]).tocsc()
    pixels[removed] = spsolve(system, rows[:, known] @ pixels[known]) + rng.normal(0, NOISE, (len(removed), 3))
    return np.rint(pixels).clip(0, 255).astype("uint8").reshape(image.shape)


def remove(images, heats, share, weights, seed):
    """Removes the share of the pixels of each image that have the most heat."""
    rng = np.random.default_rng(seed)
    count = round(share * heats[0].size)
    filled = []
    for image, heat in zip(images, heats, strict=True):
        # Pixels of the same heat, such as 0, go in an order drawn at random.
        order = np.lexsort((rng.random(heat.size), -heat.ravel()))
        is_removed = np.zeros(heat.size, bool)
        is_removed[order[:count]] = True
        filled.append(fill_in(image, is_removed.reshape(heat.shape), weights, rng))
    return np.stack(filled)


def measure(classifier, images, heats, codes, args):
    """Mean probability of the classes after removal, for each image, the most and the least heat first."""
    weights, found = neighbours(*images.shape[1:3]), {}
    for name, sign in (("most", 1), ("least", -1)):
        by_share = [
            classifier.predict_proba(remove(images, sign * heats, share, weights, args.seed))[
                np.arange(len(codes)), codes
            ]
            for share in args.shares
        ]
        found[name] = np.mean(by_share, axis=0).tolist()
        found[f"{name}_by_share"] = [float(each.mean()) for each in by_share]
    return found


def maps_of(classifier, images, args):
    """The heat maps to compare, by name, each `(n, height, width)`, and the seconds that Grad-CAM took."""
    from transferkit.inspection.heat_maps import spread

    def heats_of(explanations):
        return np.stack([each.heat_map for each in explanations])

    explanations, seconds = timed(classifier.explain, images)
    least = classifier.classes_[classifier.predict_proba(images).argmin(axis=1)]
    size, rng = images.shape[1:3], np.random.default_rng(args.seed)
    drawn = rng.random(explanations.grids.shape)
    rows, columns = (abs(np.arange(length) - (length - 1) / 2) for length in size)
    maps = {GRAD_CAM: heats_of(explanations)}
    for stage in args.stages:
        maps[f"{GRAD_CAM} after {stage}"] = heats_of(classifier.explain(images, stage=stage))
    maps[OTHER] = heats_of(classifier.explain(images, classes=least))
    maps[MIDDLE] = np.broadcast_to(-np.hypot(rows[:, np.newaxis], columns), images.shape[:3])
    maps[RANDOM] = np.stack([spread(grid, size, (0, 0, *size)) for grid in drawn])
    return maps, explanations, seconds


def table_of(records):
    rows = []
    for name, record in records.items():
        most, least = (np.array(record[key]) for key in ("most", "least"))
        gain = least - most
        error = gain.std(ddof=1) / np.sqrt(len(gain))
        rows.append([name, f"{most.mean():.3f}", f"{least.mean():.3f}", f"{gain.mean():+.3f} ± {error:.3f}"])
    return markdown_table(["map", "most heat removed", "least heat removed", "difference"], rows)


def main():
    parser = make_parser(__doc__)
    add_data_arguments(parser)
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--count", type=int, default=300, help="test images to explain")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.1, 0.2, 0.3, 0.5, 0.7], help="of pixels removed")
    parser.add_argument("--stages", nargs="*", default=["block5", "block3"], help="earlier stages to take maps after")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    from transferkit import TransferClassifier

    data = load_cifar10(args.data, args.per_class)
    classifier = TransferClassifier(image_size=args.image_size, verbose=0).fit(data.x_train, data.y_train)
    images = data.x_test[draw_per_class(data.y_test, args.count // 10, args.seed)[0]]
    maps, explanations, seconds = maps_of(classifier, images, args)
    codes = explanations.labels
    records = {}
    for name, heats in maps.items():
        records[name] = measure(classifier, images, heats, codes, args)
        tell(f"{name}: {np.mean(records[name]['most']):.3f}, {np.mean(records[name]['least']):.3f}")
    grid = " x ".join(map(str, explanations.grids.shape[1:]))
    note = (
        f"Mean probability of the class that was predicted, {explanations.probabilities.mean():.3f} with all pixels, "
        f"over {len(images)} test images and shares of {', '.join(f'{share:.0%}' for share in args.shares)} removed; "
        f"standard errors over images. {args.image_size} px, {grid} places. `explain` took {seconds:.1f} s. Trained on "
        f"{len(data.x_train):,} images of {data.origin}."
    )
    bars = [Bar(name, float(np.mean(record["least"]) - np.mean(record["most"]))) for name, record in records.items()]
    raw = {"maps": records, "probability": float(explanations.probabilities.mean()), "explain": seconds}
    publish(__file__, __doc__, args, [table_of(records), note], raw, bars, "probability, least less most heat removed")


if __name__ == "__main__":
    main()
