import tracemalloc
from itertools import groupby

import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_info

from transferkit.solvers.examples import Examples
from transferkit.solvers.path import (
    STRENGTHS,
    LogisticProblem,
    Search,
    _ByFolds,
    can_hold_out,
    fit_logistic_path,
    held_out_logits,
)


def fit(x, y, num_classes, *, on_strength=lambda count: None, activation="softmax", **options):
    """Fits a path to features `x` and codes `y`; options are those of `Examples` and of `Search`."""
    told = {name: options.pop(name) for name in ("targets", "weights", "groups", "copies") if name in options}
    problem = LogisticProblem(Examples(x, y, **told), num_classes, activation)
    return fit_logistic_path(problem, Search(**options), on_strength)


@pytest.fixture(scope="module", params=["more rows than columns", "more columns than rows"])
def data(request):
    num_images, num_features = (400, 20) if request.param.startswith("more rows") else (60, 100)
    x, y = make_classification(
        num_images, num_features, n_informative=8, n_classes=4, n_clusters_per_class=1, flip_y=0.1, random_state=0
    )
    return (x * np.linspace(0.1, 50, num_features) + 3).astype("float32"), y


@pytest.fixture
def bounds(monkeypatch):
    """Sets bounds of the solver."""

    def set_bounds(**values):
        for name, value in values.items():
            monkeypatch.setattr(f"transferkit.solvers.path._{name}", value)

    return set_bounds


@pytest.fixture
def whole_path(bounds):
    """Lets the path go on to its end."""
    bounds(PATIENCE=99, HOPELESS=99)


class Lazy:
    """Rows that are made when they are asked for, few at a time, and counted."""

    def __init__(self, array, most=200):
        self.array, self.most = array, most
        self.shape = array.shape
        self.reads = []

    def __len__(self):
        return len(self.array)

    def __getitem__(self, rows):
        block = np.asarray(self.array[rows], "float32")
        assert isinstance(rows, slice | np.ndarray)
        assert len(block) <= self.most
        self.reads.append(rows)
        return block


def objective(path, x, y, class_weights=None):
    """What was minimised at the strength that was chosen."""
    temperature = path.temperature[path.strengths.index(path.strength)]
    log_probabilities = log_softmax(x @ (path.kernel * temperature) + path.bias * temperature, axis=1)
    weights = np.ones(len(y)) if class_weights is None else class_weights[y]
    loss = -np.average(log_probabilities[np.arange(len(y)), y], weights=weights)
    scale = standard(x, weights)[1]
    return loss + path.strength / 2 * np.square(path.kernel * temperature * scale[:, None]).sum()


def standard(x, weights):
    """Mean and scale of features, weighted."""
    mean = np.average(x, axis=0, weights=weights)
    return mean, np.sqrt(np.average(np.square(x - mean), axis=0, weights=weights))


def scikit_learn(x, y, strength, class_weights=None):
    """Weights of the same problem, solved by scikit-learn on standardised features."""
    weights = np.ones(4) if class_weights is None else class_weights
    mean, scale = standard(x, weights[y])
    model = LogisticRegression(
        C=1 / (strength * weights[y].sum()), class_weight=dict(enumerate(weights)), tol=1e-8, max_iter=5000
    ).fit((x - mean) / scale, y)
    kernel = model.coef_.T / scale[:, None]
    return kernel, model.intercept_ - mean @ kernel


@pytest.mark.parametrize("strength", [1.0, 0.01])
def test_it_agrees_with_scikit_learn(data, strength):
    x, y = data
    path = fit(x, y, 4, strengths=(10.0, strength))
    assert path.strength == strength
    kernel, bias = scikit_learn(x, y, strength)
    expected = softmax((x @ kernel + bias) / path.temperature[1], axis=1)
    assert softmax(x @ path.kernel + path.bias, axis=1) == pytest.approx(expected, abs=5e-3)


def test_cross_validation_agrees_with_one_by_hand(data):
    x, y = data
    path = fit(x, y, 4, strengths=(0.1,), folds=4, seed=3)
    logits = np.empty((len(y), 4))
    # Standardised with all rows, as the path does: it looks at no label.
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    for train, test in StratifiedKFold(4, shuffle=True, random_state=3).split(z, y):
        model = LogisticRegression(C=1 / (0.1 * len(train)), tol=1e-8, max_iter=5000).fit(z[train], y[train])
        logits[test] = model.decision_function(z[test])
    assert path.val_accuracy[0] == pytest.approx((logits.argmax(axis=1) == y).mean(), abs=0.011)
    sharpness = np.exp(np.linspace(-2, 4, 2001))
    trust = (np.bincount(y) + 1) / (np.bincount(y) + 2)  # Platt's targets
    targets = np.where(np.eye(4)[y] == 1, trust[y, None], (1 - trust[y, None]) / 3)
    losses = [-(targets * log_softmax(logits * s, axis=1)).sum(axis=1).mean() for s in sharpness]
    assert path.val_loss[0] == pytest.approx(min(losses), rel=5e-3)
    assert path.temperature[0] == pytest.approx(1 / sharpness[np.argmin(losses)], rel=0.05)


CLASS_WEIGHTS = np.array([3.0, 1.0, 0.5, 2.0], "float32")


@pytest.mark.parametrize("strength", [1.0, 0.01])
def test_weighted_classes_agree_with_scikit_learn(data, strength):
    x, y = data
    path = fit(x, y, 4, weights=CLASS_WEIGHTS[y], strengths=(strength,))
    kernel, bias = scikit_learn(x, y, strength, CLASS_WEIGHTS)
    expected = softmax((x @ kernel + bias) / path.temperature[0], axis=1)
    found = softmax(x @ path.kernel + path.bias, axis=1)
    assert found == pytest.approx(expected, abs=5e-3)
    plain = fit(x, y, 4, strengths=(strength,))
    assert np.abs(found - softmax(x @ plain.kernel + plain.bias, axis=1)).max() > 0.02


def test_weights_count_in_what_the_strength_is_chosen_by(data):
    x, y = data
    train, held_out = np.arange(0, len(y), 2), np.arange(1, len(y), 2)
    path = fit(
        x[train],
        y[train],
        4,
        weights=CLASS_WEIGHTS[y[train]],
        strengths=(0.1,),
        validation=Examples(x[held_out], y[held_out], weights=CLASS_WEIGHTS[y[held_out]]),
    )
    right = (x[held_out] @ path.kernel + path.bias).argmax(axis=1) == y[held_out]
    assert path.val_accuracy[0] == pytest.approx(np.average(right, weights=CLASS_WEIGHTS[y[held_out]]))


def test_equal_weights_of_any_size_are_none(data):
    x, y = data
    plain = fit(x, y, 4, strengths=(0.1,))
    path = fit(x, y, 4, weights=np.full(len(y), 7, "float32"), strengths=(0.1,))
    assert softmax(x @ path.kernel + path.bias, axis=1) == pytest.approx(
        softmax(x @ plain.kernel + plain.bias, axis=1), abs=1e-3
    )
    assert path.val_loss == pytest.approx(plain.val_loss, rel=1e-3)


@pytest.mark.parametrize("copies", [1, 2])
@pytest.mark.parametrize("has_validation", [False, True])
def test_an_image_without_weight_is_not_there(data, has_validation, copies):
    x, y = data
    rng = np.random.default_rng(0)
    x = np.concatenate([x, x + rng.normal(size=x.shape).astype("float32")])[: copies * len(x)]
    weights = rng.integers(0, 2, len(y)).astype("float32")
    outliers = x + 1000 * (np.tile(weights, copies) == 0)[:, None].astype("float32")
    options = {
        "copies": copies,
        "validation": Examples(x[:50], y[:50], weights=weights[:50]) if has_validation else None,
    }
    found = fit(outliers, y, 4, weights=weights, **options)
    kept = np.flatnonzero(weights)
    rows = np.concatenate([kept, kept + len(y)])[: copies * len(kept)]
    if has_validation:
        options["validation"] = Examples(x[:50][weights[:50] > 0], y[:50][weights[:50] > 0])
    expected = fit(x[rows], y[kept], 4, **options)
    assert found.strengths == expected.strengths
    assert found.val_loss == pytest.approx(expected.val_loss, rel=1e-5)
    assert found.temperature == pytest.approx(expected.temperature, rel=1e-3)
    assert found.kernel == pytest.approx(expected.kernel, rel=1e-3, abs=1e-5)


def test_an_image_of_twice_the_weight_is_there_twice(data):
    x, y = data
    weights = np.tile([1, 1, 2], len(y))[: len(y)]
    twice = np.repeat(np.arange(len(y)), weights)
    held_out = np.arange(0, len(y), 2)
    validation = Examples(x[held_out], y[held_out], weights=weights[held_out].astype("float32"))
    found = fit(x, y, 4, weights=weights.astype("float32"), validation=validation)
    held_out = np.repeat(held_out, weights[held_out])
    expected = fit(x[twice], y[twice], 4, validation=Examples(x[held_out], y[held_out]))
    assert found.strength == expected.strength
    assert found.val_loss == pytest.approx(expected.val_loss, rel=1e-3)
    assert softmax(x @ found.kernel + found.bias, axis=1) == pytest.approx(
        softmax(x @ expected.kernel + expected.bias, axis=1), abs=5e-3
    )


def test_folds_of_images_that_are_all_there_twice_are_those_of_images_that_weigh_twice(data):
    x, y = data
    groups, twice = np.arange(len(y)), np.repeat(np.arange(len(y)), 2)
    found = fit(x, y, 4, weights=np.full(len(y), 2, "float32"), groups=groups)
    expected = fit(x[twice], y[twice], 4, weights=np.full(2 * len(y), 0.5, "float32"), groups=twice)
    assert found.val_accuracy == pytest.approx(expected.val_accuracy)
    # Platt's targets are those of 60 images here and of 120 there, so the losses differ in the third digit, and where
    # they hardly fall any more a neighbouring strength may be chosen.
    assert abs(found.strengths.index(found.strength) - expected.strengths.index(expected.strength)) <= 1


def test_all_the_weight_in_few_images_leaves_numbers(data):
    x, y = data
    first = np.concatenate([np.flatnonzero(y == code)[:3] for code in range(4)])
    weights = np.zeros(len(y), "float32")
    weights[first] = 1
    path = fit(x, y, 4, weights=weights)
    assert np.isfinite(path.kernel).all()
    assert np.isfinite(path.val_loss).all()
    expected = fit(x[np.sort(first)], y[np.sort(first)], 4)
    assert path.strength == expected.strength


def test_of_labels_that_are_judged_the_places_among_all_images_are_told():
    rng = np.random.default_rng(0)
    targets = np.eye(3, dtype="float32")[rng.permutation(42) % 3][:40]
    x = (targets @ rng.normal(size=(3, 6)) + rng.normal(size=(40, 6))).astype("float32")
    weights = np.tile([0, 1], 20).astype("float32")
    options = {"targets": targets, "activation": "sigmoid", "weights": weights}
    rows, logits = fit(x, targets.argmax(axis=1), 3, **options).judged
    assert np.array_equal(rows, np.arange(1, 40, 2))
    expected = fit(x[1::2], targets[1::2].argmax(axis=1), 3, targets=targets[1::2], activation="sigmoid").judged
    assert logits == pytest.approx(expected[1], abs=1e-3)


def test_the_strength_with_the_lowest_held_out_loss_is_chosen(data):
    path = fit(*data, 4)
    chosen = path.strengths.index(path.strength)
    assert path.val_loss[chosen] <= min(path.val_loss) * 1.001
    assert list(path.strengths) == sorted(path.strengths, reverse=True)


def test_the_path_ends_when_weaker_strengths_are_worse_and_all_steps_are_told(data, bounds):
    bounds(HOPELESS=99)
    told = []
    path = fit(*data, 4, strengths=tuple(np.logspace(2, -6, 17)), on_strength=told.append)
    assert len(path.strengths) == path.strengths.index(path.strength) + 3
    assert sum(told) == 17


def test_a_strength_that_is_much_worse_ends_the_path_at_once(data, bounds):
    bounds(HOPELESS=0, WORTHWHILE=0)
    told = []
    path = fit(*data, 4, on_strength=told.append)
    assert len(path.strengths) == path.strengths.index(path.strength) + 2
    assert sum(told) == 10


def test_validation_data_replace_cross_validation(data):
    x, y = data
    train, held_out = np.arange(0, len(y), 2), np.arange(1, len(y), 2)
    path = fit(x[train], y[train], 4, strengths=(0.1,), validation=Examples(x[held_out], y[held_out]))
    predicted = (x[held_out] @ path.kernel + path.bias).argmax(axis=1)
    assert path.val_accuracy[0] == pytest.approx((predicted == y[held_out]).mean())
    kernel, _ = scikit_learn(x[train], y[train], 0.1)
    assert np.corrcoef(path.kernel.ravel(), kernel.ravel())[0, 1] > 0.999


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_the_scale_of_features_does_not_matter(data, scale):
    x, y = data
    plain = fit(x, y, 4, strengths=(0.1,))
    scales = np.where(np.arange(x.shape[1]) % 2, scale, 1).astype("float32")
    path = fit(x * scales, y, 4, strengths=(0.1,))
    expected = softmax(x @ plain.kernel + plain.bias, axis=1)
    assert softmax((x * scales) @ path.kernel + path.bias, axis=1) == pytest.approx(expected, abs=5e-3)


def test_a_handful_of_images_does_not_make_it_certain():
    rng = np.random.default_rng(0)

    def draw(count):
        y = np.repeat([0, 1], count)
        x = rng.normal(size=(2 * count, 50)).astype("float32")
        x[:, :5] += y[:, None]
        return x, y

    losses = []
    for _ in range(10):
        path = fit(*draw(3), 2)
        x, y = draw(200)
        losses.append(-log_softmax(x @ path.kernel + path.bias, axis=1)[np.arange(400), y].mean())
    assert np.mean(losses) < 0.85  # knowing nothing costs log(2); being certain and often wrong, far more


def test_a_constant_feature_is_ignored(data):
    x, y = data
    with_constant = np.hstack([x, np.full((len(x), 1), 7, "float32")])
    path, plain = (fit(features, y, 4, strengths=(0.1,)) for features in (with_constant, x))
    assert np.abs(path.kernel[-1]).max() == 0
    assert path.kernel[:-1] == pytest.approx(plain.kernel, abs=1e-3 * float(np.abs(plain.kernel).max()))


def test_features_that_say_nothing_give_the_shares_of_the_classes():
    y = np.repeat([0, 1], [30, 10])
    path = fit(np.full((40, 3), 5, "float32"), y, 2)
    assert np.abs(path.kernel).max() == 0
    assert softmax(path.bias)[0] == pytest.approx(0.75, abs=0.02)


def test_two_images_a_class_are_enough():
    x = np.array([[0, 0], [0, 1], [9, 9], [9, 8]], "float32")
    path = fit(x, np.array([0, 0, 1, 1]), 2)
    assert (x @ path.kernel + path.bias).argmax(axis=1).tolist() == [0, 0, 1, 1]


def test_a_rare_class_does_not_stop_cross_validation():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], [30, 30, 2])
    x = rng.normal(size=(62, 5)).astype("float32") + y[:, None]
    assert np.isfinite(fit(x, y, 3).val_loss).all()


def test_the_features_are_not_changed(data):
    x, y = data
    before = x.copy()
    fit(x, y, 4, strengths=(1.0,))
    assert np.array_equal(x, before)


def test_problems_solved_one_by_one_give_the_same(data, monkeypatch):
    together = fit(*data, 4, strengths=(0.1,))
    monkeypatch.setattr("transferkit.solvers.regression._STACK_FLOATS", 1)
    monkeypatch.setattr("transferkit.solvers.workers._BLOCK_FLOATS", 1)
    alone = fit(*data, 4, strengths=(0.1,))
    x, _ = data
    assert softmax(x @ alone.kernel + alone.bias, axis=1) == pytest.approx(
        softmax(x @ together.kernel + together.bias, axis=1), abs=5e-3
    )
    assert alone.val_loss == pytest.approx(together.val_loss, rel=1e-3)


def test_the_seed_decides_everything(data):
    first, again, other = (fit(*data, 4, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.kernel, again.kernel)
    assert first.val_loss == again.val_loss
    assert first.val_loss != other.val_loss


def test_what_a_fold_holds_out_leaves_no_trace_in_its_start(whole_path):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 100)).astype("float32"), np.arange(60) % 3
    path = fit(x, y, 3)
    assert len(path.strengths) == 10
    # Nothing can be known of these images. Seen in advance, they would cost 0.8 at the weakest strengths.
    assert min(path.val_loss) > 0.97 * np.log(3)


def test_of_many_images_one_part_is_held_out(data, bounds):
    x, y = data
    options = {"strengths": (1.0, 0.1), "folds": 4, "seed": 3}
    bounds(CROSS_VALIDATED=len(y))
    path = fit(x, y, 4, **options)
    train, test = next(StratifiedKFold(4, shuffle=True, random_state=3).split(x, y))
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    model = LogisticRegression(C=1 / (0.1 * len(train)), tol=1e-8, max_iter=5000).fit(z[train], y[train])
    logits = model.decision_function(z[test])
    assert path.val_accuracy[1] == pytest.approx((logits.argmax(axis=1) == y[test]).mean(), abs=0.02)
    trust = (np.bincount(y) + 1) / (np.bincount(y) + 2)  # of all images of a class, not only those held out
    targets = np.where(np.eye(4)[y] == 1, trust[y, None], (1 - trust[y, None]) / 3)[test]
    sharpness = np.exp(np.linspace(-2, 4, 2001))
    losses = [-(targets * log_softmax(logits * s, axis=1)).sum(axis=1).mean() for s in sharpness]
    assert path.val_loss[1] == pytest.approx(min(losses), rel=5e-3)
    bounds(CROSS_VALIDATED=len(y) + 1)
    assert fit(x, y, 4, **options).val_loss[1] != pytest.approx(path.val_loss[1], rel=0.01)


def test_no_more_images_are_held_out_than_it_takes(data, bounds):
    x, y = data
    bounds(CROSS_VALIDATED=0, HELD_OUT=len(y) // 10)
    path = fit(x, y, 4, strengths=(0.1,))
    correct = path.val_accuracy[0] * len(y) / 10
    assert correct == pytest.approx(round(correct))


def test_nothing_but_the_weights_depends_on_leaving_out_logits(data, bounds):
    bounds(CROSS_VALIDATED=0)
    with_all = fit(*data, 4, strengths=(0.1,))
    bounds(LOGIT_FLOATS=0)
    path = fit(*data, 4, strengths=(0.1,))
    assert path.val_accuracy == pytest.approx(with_all.val_accuracy)
    assert path.temperature[0] > with_all.temperature[0]  # smaller classes, more modest targets


def test_rows_that_are_read_on_demand_give_the_same(data):
    x, y = data
    lazy = Lazy(x)
    path, expected = fit(lazy, y, 4), fit(x, y, 4)
    assert np.array_equal(path.kernel, expected.kernel)
    assert path.val_loss == expected.val_loss
    assert lazy.reads


def test_rows_of_half_the_precision_do(data, tmp_path):
    x, y = data
    mapped = np.memmap(tmp_path / "features", "float16", "w+", shape=x.shape)
    mapped[:] = x
    path, expected = fit(mapped, y, 4), fit(mapped.astype("float32"), y, 4)
    assert path.kernel == pytest.approx(expected.kernel)


STREAMED = {"CROSS_VALIDATED": 0, "MEMORY_FLOATS": 0, "FLOATS_ON_DISK": 1}


@pytest.fixture(scope="module")
def many():
    """Images with so much noise that a part of them shows clearly which strength is best."""
    rng = np.random.default_rng(0)
    y = rng.permutation(np.arange(1500) % 4)
    x = 0.2 * rng.normal(size=(4, 150))[y] + rng.normal(size=(1500, 150))
    return ((x * np.arange(1, 151) ** -0.3) @ rng.normal(size=(150, 150)) + 9).astype("float32"), y


@pytest.mark.parametrize("num_images", [100, 500])  # fewer than features, or more
@pytest.mark.parametrize("class_weights", [None, CLASS_WEIGHTS])
def test_rows_that_are_not_copied_give_the_same(many, bounds, num_images, class_weights):
    x, y = many
    bounds(CROSS_VALIDATED=0)
    expected = fit(x, y, 4, weights=None if class_weights is None else class_weights[y])
    bounds(**STREAMED, SAMPLE_FLOATS=num_images * x.shape[1])
    path = fit(Lazy(x, most=len(x) // 2), y, 4, weights=None if class_weights is None else class_weights[y])
    assert path.strength == expected.strength
    assert objective(path, x, y, class_weights) == pytest.approx(objective(expected, x, y, class_weights), rel=1e-3)
    assert path.val_loss[0] == pytest.approx(expected.val_loss[expected.strengths.index(path.strengths[0])], rel=5e-3)
    found = softmax(x @ path.kernel + path.bias, axis=1)
    assert found == pytest.approx(softmax(x @ expected.kernel + expected.bias, axis=1), abs=0.02)


def test_rows_that_are_not_copied_are_read_from_first_to_last(many, bounds, monkeypatch):
    x, y = many
    monkeypatch.setattr("transferkit.solvers.workers._BLOCK_FLOATS", 100 * x.shape[1])
    bounds(**STREAMED, SAMPLE_FLOATS=x.size // 4)
    lazy = Lazy(x, most=100)
    fit(lazy, y, 4)
    slices = [rows for rows in lazy.reads if isinstance(rows, slice)][1:]  # but for the look at the first rows
    assert all(rows.step in (None, 1) for rows in slices)
    times_read = np.bincount(np.concatenate([np.arange(len(x))[rows] for rows in slices]))
    assert len(set(times_read)) == 1
    assert times_read[0] < 60
    scattered = sum(len(rows) for rows in lazy.reads if isinstance(rows, np.ndarray))
    assert scattered < 2 * len(x)


def test_one_part_is_held_out_where_rows_are_not_copied(many, bounds):
    bounds(MEMORY_FLOATS=0, SAMPLE_FLOATS=many[0].size // 4)
    path = fit(*many, 4, strengths=(0.1, 0.01))
    bounds(CROSS_VALIDATED=0)
    assert fit(*many, 4, strengths=(0.1, 0.01)).val_accuracy[-1] == path.val_accuracy[-1]


def test_a_sample_has_seen_nothing_that_is_held_out(many, bounds):
    x, y = many
    bounds(**STREAMED, SAMPLE_FLOATS=x.size // 2)
    lazy = Lazy(x, most=len(x) // 2)
    fit(lazy, y, 4, strengths=(0.1,))
    # Passes over all rows, made of slices, come before the sample is read, and before what is held out is judged.
    groups = [list(group) for _, group in groupby(lazy.reads, key=type)]
    sample, held_out, *again = (set(np.concatenate(group)) for group in groups if isinstance(group[0], np.ndarray))
    assert again in ([], [held_out])  # for the logits that are handed on
    assert len(sample) == len(x) // 2
    assert len(held_out) == len(x) // 5
    assert not sample & held_out


def test_validation_data_replace_folds_where_rows_are_not_copied(many, bounds):
    x, y = many
    train, held_out = np.arange(0, len(y), 2), np.arange(1, len(y), 2)
    options = {"validation": Examples(Lazy(x[held_out], most=400), y[held_out])}
    expected = fit(x[train], y[train], 4, **options)
    bounds(**STREAMED, SAMPLE_FLOATS=x.size // 8)
    path = fit(Lazy(x[train], most=400), y[train], 4, **options)
    assert path.strength == expected.strength
    assert min(path.val_loss) == pytest.approx(min(expected.val_loss), rel=5e-3)
    assert objective(path, x[train], y[train]) == pytest.approx(objective(expected, x[train], y[train]), rel=1e-3)


class Noise:
    """Many features that are made up on demand."""

    shape = (30_000, 128)

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, rows):
        numbers = np.arange(self.shape[0])[rows]
        return np.sin(numbers[:, None] * np.arange(1, 129) ** 2 * 0.37).astype("float32")


def test_memory_is_bounded_however_many_rows_there_are(bounds, monkeypatch):
    bounds(**STREAMED, SAMPLE_FLOATS=1 << 14, LOGIT_FLOATS=0, HELD_OUT=1000)
    monkeypatch.setattr("transferkit.solvers.workers._BLOCK_FLOATS", 1 << 14)
    noise = Noise()
    labels = (np.arange(len(noise)) * 5.92 % 6.28 > 3.14).astype(int)  # what a feature of theirs tells
    tracemalloc.start()
    fit(noise, labels, 2, strengths=(0.1,))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    all_rows = 4 * noise.shape[0] * noise.shape[1]
    assert peak < all_rows / 3


def views(x, copies, noise, seed=0):
    """Versions of images one below the other: the images themselves, then noisy ones."""
    rng = np.random.default_rng(seed)
    others = [x + noise * x.std() * rng.normal(size=x.shape).astype("float32") for _ in range(copies - 1)]
    return np.concatenate([x, *others])


@pytest.mark.parametrize("streamed", [False, True])
def test_versions_of_an_image_are_on_one_side_of_a_fold(streamed, bounds, whole_path):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(150, 100)).astype("float32"), rng.permutation(np.arange(150) % 3)
    if streamed:
        bounds(**STREAMED, SAMPLE_FLOATS=200 * 100)
    path = fit(views(x, 3, 0.01), y, 3, copies=3, strengths=(1.0, 0.1, 0.01, 0.001))
    # An image whose other version was fitted to would always be right.
    assert max(path.val_accuracy) < 0.6
    assert min(path.val_loss) > 0.97 * np.log(3)


def test_all_versions_are_fitted_to(data):
    x, y = data
    stacked, labels = views(x, 3, 0.1), np.tile(y, 3)
    path = fit(stacked, y, 4, copies=3, strengths=(0.1,), weights=CLASS_WEIGHTS[y])
    kernel, bias = scikit_learn(stacked, labels, 0.1, CLASS_WEIGHTS)
    expected = softmax((x @ kernel + bias) / path.temperature[0], axis=1)
    assert softmax(x @ path.kernel + path.bias, axis=1) == pytest.approx(expected, abs=5e-3)


def test_images_are_judged_as_they_are():
    rng = np.random.default_rng(0)
    y = np.arange(200) % 2
    clear = (rng.normal(size=(200, 5)) + 4 * y[:, None]).astype("float32")
    noise = rng.normal(size=(200, 5)).astype("float32") + 2
    assert fit(np.concatenate([clear, noise]), y, 2, copies=2).val_accuracy[-1] > 0.97
    assert fit(np.concatenate([noise, clear]), y, 2, copies=2).val_accuracy[-1] < 0.65


def test_versions_that_are_not_copied_give_the_same(many, bounds):
    x, y = many
    stacked, labels = views(x, 3, 0.1), np.tile(y, 3)
    bounds(CROSS_VALIDATED=0)
    expected = fit(stacked, y, 4, copies=3)
    bounds(**STREAMED, SAMPLE_FLOATS=stacked.size // 3)
    path = fit(Lazy(stacked, most=len(stacked) // 2), y, 4, copies=3)
    assert path.strength == expected.strength
    assert objective(path, stacked, labels) == pytest.approx(objective(expected, stacked, labels), rel=1e-3)


def test_blas_is_held_to_one_thread_until_the_path_has_ended(data):
    def threads():
        return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

    before, during = threads(), []
    fit(*data, 4, strengths=(0.1,), on_strength=lambda count: during.append(threads()))
    assert during[0] == [1] * len(before)
    assert threads() == before


def test_features_that_are_not_in_memory_are_copied_less(many, bounds):
    x, y = many
    bounds(CROSS_VALIDATED=0, MEMORY_FLOATS=2 * x.size, SAMPLE_FLOATS=x.size)
    fit(lazy := Lazy(x, most=len(x)), y, 4, strengths=(0.1,))
    scattered = np.unique(np.concatenate([rows for rows in lazy.reads if isinstance(rows, np.ndarray)]))
    assert len(scattered) == len(x) // 4 + len(x) // 5  # the sample, and what is held out
    bounds(MEMORY_FLOATS=4 * x.size)
    fit(lazy := Lazy(x, most=len(x)), y, 4, strengths=(0.1,))
    assert not any(isinstance(rows, np.ndarray) for rows in lazy.reads)


# ---- few images ----


def features_of(labels, seed=0):
    labels = np.array(labels)
    return np.random.default_rng(seed).normal(size=(len(labels), 6)).astype("float32") + 3 * labels[:, None], labels


@pytest.mark.parametrize(
    ("labels", "groups"),
    [
        ([0, 1], None),
        ([0, 1, 2], None),
        ([0, 0, 1], [7, 7, 8]),
        ([0, 0, 1, 1], [5, 5, 5, 5]),
        ([0, 1, 0, 1], [0, 1, 0, 1]),
    ],
)
def test_where_nothing_can_be_held_out_the_strongest_strength_is_taken(labels, groups):
    x, y = features_of(labels)
    groups = None if groups is None else np.array(groups)
    assert not can_hold_out(y, groups)
    path = fit(x, y, y.max() + 1, groups=groups)
    assert path.strength == path.strengths[0] == STRENGTHS[0]
    assert np.isnan([*path.val_loss, *path.val_accuracy]).all()
    alone = fit(x, y, y.max() + 1, validation=Examples(x, y), strengths=STRENGTHS[:1])
    assert path.kernel == pytest.approx(alone.kernel * alone.temperature[0], abs=1e-3)
    assert path.temperature == (1.0,)


@pytest.mark.parametrize("is_read_in_blocks", [False, True])
def test_few_images_that_are_read_in_blocks_need_no_folds_either(bounds, is_read_in_blocks):
    x, y = features_of([0, 1, 2])
    if is_read_in_blocks:
        bounds(MEMORY_FLOATS=1)
    weights = fit(x, y, 3).kernel
    bounds(MEMORY_FLOATS=1 << 20)
    assert weights == pytest.approx(fit(x, y, 3).kernel, rel=1e-3, abs=1e-4)


def test_a_sample_of_one_image_a_class_does_not_end_the_path(bounds):
    x, y = features_of(np.arange(40) % 20)
    bounds(MEMORY_FLOATS=1, SAMPLE_FLOATS=6 * 3)
    assert np.isfinite(fit(x, y, 20).val_loss).all()


@pytest.mark.parametrize(
    ("labels", "groups", "folds"),
    [
        ([0, 0, 0, 0, 1, 1, 1, 1], [0, 0, 1, 2, 3, 4, 5, 6], 4),  # two of eight images are equal
        ([0, 0, 1, 1], [0, 0, 1, 2], 2),
        ([0, 0, 1, 1], [0, 1, 2, 0], 2),
        ([0, 0, 1, 1, 1, 1, 1, 1], [0, 0, 1, 1, 2, 2, 3, 3], 4),
    ],
)
def test_few_images_in_groups_have_as_many_folds_as_they_can(labels, groups, folds):
    labels, groups = np.array(labels), np.array(groups)
    held_out = _ByFolds(5, 0).hold_out(labels, groups)
    assert 1 <= len(held_out) <= folds
    assert held_out.any(axis=1).all()
    for mask in held_out:
        assert np.intersect1d(groups[mask], groups[~mask]).size == 0
    x, y = features_of(labels)
    assert np.isfinite(fit(x, y, 2, groups=groups).val_loss).all()


def test_a_class_in_one_group_of_its_own_judges_no_strength():
    labels, groups = np.array([0] * 8 + [1] * 2), np.array([*range(8), 9, 9])
    assert not _ByFolds(5, 0).hold_out(labels, groups)[:, 8:].any()


# ---- logits of all images, by weights that have not seen them ----


def by_hand(x, y, strength, seed=0):
    """Log probabilities of each image by scikit-learn's fit to the other folds, at one strength."""
    scaled = (x - x.mean(axis=0)) / x.std(axis=0)
    logits = np.zeros((len(x), y.max() + 1))
    for rows, others in StratifiedKFold(5, shuffle=True, random_state=seed).split(x, y):
        model = LogisticRegression(C=1 / (strength * len(rows)), tol=1e-6, max_iter=5000).fit(scaled[rows], y[rows])
        logits[others] = model.decision_function(scaled[others])
    return logits - logits.mean(axis=1, keepdims=True)


@pytest.mark.parametrize("is_many", [False, True])
def test_every_image_is_judged_by_weights_that_have_not_seen_it(data, bounds, is_many):
    x, y = data
    if is_many:
        bounds(CROSS_VALIDATED=50)
    search = Search(strengths=(0.1,))
    temperature = fit(x, y, 4, strengths=(0.1,)).temperature[0]
    logits, is_held_out = held_out_logits(LogisticProblem(Examples(x, y), 4), search)
    assert is_held_out.all()
    logits = logits - logits.mean(axis=1, keepdims=True)
    expected = by_hand(x, y, 0.1)
    assert logits * temperature == pytest.approx(expected, abs=0.05 * np.abs(expected).max())


def test_a_label_has_no_part_in_its_own_judgement(data, bounds):
    x, y = data
    # One fold chooses the strength, and another one holds the image out.
    bounds(CROSS_VALIDATED=50, ROUGH=1e-9)
    problem, search = LogisticProblem(Examples(x, y), 4), Search(strengths=(0.1,))
    expected = held_out_logits(problem, search)[0]
    fold_of = _ByFolds(5, 0).divide(y).argmax(axis=0)
    # Neighbours of one fold that exchange their labels leave the folds as they are.
    first = np.flatnonzero((fold_of[1:] == fold_of[:-1]) & (y[1:] != y[:-1]) & (fold_of[1:] > 0))[0]
    exchanged = y.copy()
    exchanged[[first, first + 1]] = y[[first + 1, first]]
    found = held_out_logits(LogisticProblem(Examples(x, exchanged), 4), search)[0]
    fold = fold_of == fold_of[first]
    scale = np.linalg.norm(expected[fold]) / np.linalg.norm(found[fold])  # the temperature has seen all labels
    assert scale * found[fold] == pytest.approx(expected[fold], abs=2e-3)
    assert scale * found[~fold] != pytest.approx(expected[~fold], abs=2e-3)


def test_no_group_is_judged_by_weights_that_have_seen_a_part_of_it():
    rng = np.random.default_rng(0)
    places = rng.normal(size=(30, 60)).astype("float32")  # each group is a place of its own, with a label of its own
    groups = np.repeat(np.arange(30), 4)
    labels = rng.integers(0, 2, 30)[groups]
    x = places[groups] + 0.01 * rng.normal(size=(120, 60)).astype("float32")
    alone, _ = held_out_logits(LogisticProblem(Examples(x, labels), 2))
    together, is_held_out = held_out_logits(LogisticProblem(Examples(x, labels, groups=groups), 2))
    assert is_held_out.all()
    assert (alone.argmax(axis=1) == labels).mean() > (together.argmax(axis=1) == labels).mean() + 0.2


def test_the_only_image_of_a_class_is_not_judged(data):
    x, y = data
    labels = np.concatenate([y[:60], [4]])
    logits, is_held_out = held_out_logits(LogisticProblem(Examples(x[[*range(60), 59]], labels), 5))
    assert np.flatnonzero(~is_held_out).tolist() == [60]
    assert (logits[60] == 0).all()


def test_where_nothing_can_be_held_out_nothing_is_judged(data):
    x, _ = data
    logits, is_held_out = held_out_logits(LogisticProblem(Examples(x[:4], np.arange(4)), 4))
    assert not is_held_out.any()
    assert logits.shape == (4, 4)
