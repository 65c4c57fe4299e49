"""Refusing unlike images: how well each score tells them from familiar ones.

The number is the area under the ROC curve: the chance that an image of cifar10-10k's test set looks more familiar than
an unlike one, by the default backbone and a logistic head on `--train` images. Scores of features learn what is
familiar from `--held-out` other training images. Unlike images, all of 32 x 32 pixels:

- digits: scikit-learn's handwritten digits, 8 x 8 pixels enlarged, which stand for those of MNIST;
- noise: normal noise, gray or coloured, sharp or blurred;
- gratings: sinusoidal and square stripes of two random colours;
- tiles: 32 x 32 and (halved) 64 x 64 pixels of scikit-learn's two photographs;
- other classes: for a head that knows six of the ten classes, test images of the other four.

The last column is for the default score: the share of images that `predict(reject_below=0.05)` refuses.

    python benchmarks/refusal.py
"""

import numpy as np
from _common import add_data_arguments, load_cifar10, make_parser, markdown_table, publish
from _features import add_cache_argument, load_features
from scipy.ndimage import gaussian_filter, zoom
from scipy.special import logsumexp, softmax
from sklearn.covariance import ledoit_wolf
from sklearn.datasets import load_digits, load_sample_images
from sklearn.metrics import roc_auc_score

SIDE = 32
KNOWN = (2, 3, 4, 5, 6, 7)  # the animals
LIMIT = 0.05


def digits():
    large = np.stack([zoom(image, 3.5, order=1) for image in load_digits().images[:1000] * 255 / 16])
    return np.pad(large.clip(0, 255), ((0, 0), (2, 2), (2, 2)))[..., None].repeat(3, axis=3).astype("uint8")


def noise(rng, count=1000):
    images = []
    for number in range(count):
        blur, channels = (0, 1, 2, 4)[number % 4], 3 if number % 8 < 4 else 1
        pixels = gaussian_filter(rng.normal(size=(SIDE, SIDE, channels)), (blur, blur, 0))
        pixels = (pixels - pixels.mean()) / pixels.std() * 50 + rng.uniform(60, 190, (1, 1, 3))
        images.append(pixels.clip(0, 255).astype("uint8"))
    return np.array(images)


def gratings(rng, count=1000):
    y, x = np.mgrid[:SIDE, :SIDE]
    images = []
    for number in range(count):
        angle, frequency = rng.uniform(0, np.pi), rng.uniform(0.2, 2)
        wave = np.sin(frequency * (x * np.cos(angle) + y * np.sin(angle)) + rng.uniform(0, 6))
        share = ((np.sign(wave) if number % 2 else wave) + 1)[..., None] / 2
        one, other = rng.uniform(0, 255, (2, 3))
        images.append((one * share + other * (1 - share)).astype("uint8"))
    return np.array(images)


def tiles(side):
    found = [
        image[y : y + side, x : x + side]
        for image in load_sample_images().images
        for y in range(0, image.shape[0] - side + 1, side)
        for x in range(0, image.shape[1] - side + 1, side)
    ]
    factor = side // SIDE
    blocks = np.array(found).reshape(len(found), SIDE, factor, SIDE, factor, 3)
    return blocks.mean(axis=(2, 4)).astype("uint8")


def normalised(features):
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def mahalanobis(references, labels, prepare):
    """Minus the distance to the nearest class mean by the shared covariance (Lee et al., NeurIPS 2018)."""
    rows, (classes, codes) = prepare(references), np.unique(labels, return_inverse=True)
    means = np.stack([rows[codes == code].mean(axis=0) for code in range(len(classes))])
    covariance, _ = ledoit_wolf(rows - means[codes], assume_centered=True)
    whiten = np.linalg.cholesky(np.linalg.inv(covariance))
    centres = means @ whiten

    def score(features):
        white = prepare(features) @ whiten
        squares = (white**2).sum(axis=1)[:, None] - 2 * white @ centres.T + (centres**2).sum(axis=1)
        return -squares.min(axis=1)

    return score


def neighbours(references, place):
    """Cosine to the nearest, or the fifth nearest, of the references."""
    rows = normalised(references)
    return lambda features: np.sort(normalised(features) @ rows.T, axis=1)[:, -place]


def fit_logits(features, labels, num_classes):
    """Fits the logistic head. Returns a function from features to logits."""
    from transferkit.solvers.examples import Examples
    from transferkit.solvers.path import LogisticProblem, fit_logistic_path

    path = fit_logistic_path(LogisticProblem(Examples(features, labels), num_classes))
    return lambda rows: rows @ path.kernel + path.bias


def make_scores(training, held_out):
    """All scores, by name: functions of features, higher for what is familiar."""
    classes, codes = np.unique(training[1], return_inverse=True)
    logits = fit_logits(training[0], codes, len(classes))
    references, labels = held_out
    return {
        "largest probability": lambda rows: softmax(logits(rows), axis=1).max(axis=1),
        "energy": lambda rows: logsumexp(logits(rows), axis=1),
        "Mahalanobis": mahalanobis(references, labels, lambda rows: rows),
        "Mahalanobis, normalised": mahalanobis(references, labels, normalised),
        "nearest neighbour": neighbours(references, 1),
        "fifth nearest neighbour (default)": neighbours(references, 5),
        "thirtieth nearest neighbour": neighbours(references, 30),
    }


def area(score, familiar, unlike):
    truth = np.repeat([1, 0], [len(familiar), len(unlike)])
    return float(roc_auc_score(truth, np.concatenate([score(familiar), score(unlike)])))


def judge(data, features, unlike, train, held_out, seed):
    """Areas of all scores against all unlike images, and what is refused by the default one."""
    from transferkit.evaluation.familiarity import Familiarity

    order = np.random.default_rng(seed).permutation(len(data.y_train))
    found = {}
    for known in (tuple(range(10)), KNOWN):
        own = order[np.isin(data.y_train[order], known)]
        parts = own[:train], own[train : train + held_out]
        training, others = ((features["train"][rows], data.y_train[rows]) for rows in parts)
        scores, is_known = make_scores(training, others), np.isin(data.y_test, known)
        familiar = features["test"][is_known]
        against = unlike if is_known.all() else {"other classes": features["test"][~is_known]}
        shares = Familiarity.of(others[0]).shares
        for name, rows in against.items():
            found[name] = {score: area(function, familiar, rows) for score, function in scores.items()}
            found[name]["refused"] = float(np.mean(shares(rows) < LIMIT))
        if is_known.all():
            found["(familiar)"] = {"refused": float(np.mean(shares(familiar) < LIMIT))}
    return found


def main():
    parser = make_parser(__doc__)
    add_data_arguments(parser)
    add_cache_argument(parser)
    parser.add_argument("--sizes", type=int, nargs="+", default=[96], help="sizes of the images, in pixels")
    parser.add_argument("--train", type=int, default=3000, help="images to fit the head to")
    parser.add_argument("--held-out", type=int, default=1000, help="images that say what is familiar")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    data, rng = load_cifar10(args.data, args.per_class), np.random.default_rng(args.seed)
    unlike = {"digits": digits(), "noise": noise(rng), "gratings": gratings(rng)}
    unlike |= {"tiles of 32 px": tiles(32), "tiles of 64 px": tiles(64)}
    parts, raw = [data.origin], {}
    for size in args.sizes:
        images = unlike | {"train": data.x_train, "test": data.x_test}
        features = {name: load_features(own, "bicubic", args.cache, size) for name, own in images.items()}
        found = judge(data, features, {name: features[name] for name in unlike}, args.train, args.held_out, args.seed)
        scores = [score for score in found["digits"] if score != "refused"]
        rows = [
            [name, *(f"{row[score]:.3f}" if score in row else "" for score in scores), f"{row['refused']:.1%}"]
            for name, row in found.items()
        ]
        parts.append(f"{size} px:\n\n" + markdown_table(["unlike images", *scores, f"refused below {LIMIT}"], rows))
        raw[size] = found
    publish(__file__, __doc__, args, parts, raw)


if __name__ == "__main__":
    main()
