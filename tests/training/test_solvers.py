import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from transferkit.training.solvers import fit_logistic_path


@pytest.fixture(scope="module", params=["more rows than columns", "more columns than rows"])
def data(request):
    num_images, num_features = (400, 20) if request.param.startswith("more rows") else (60, 100)
    x, y = make_classification(
        num_images, num_features, n_informative=8, n_classes=4, n_clusters_per_class=1, flip_y=0.1, random_state=0
    )
    return (x * np.linspace(0.1, 50, num_features) + 3).astype("float32"), y


def scikit_learn(x, y, strength, class_weights=None):
    """Weights of the same problem, solved by scikit-learn on standardised features."""
    mean, scale = x.mean(axis=0), x.std(axis=0)
    weights = np.ones(4) if class_weights is None else class_weights
    model = LogisticRegression(
        C=1 / (strength * weights[y].sum()), class_weight=dict(enumerate(weights)), tol=1e-8, max_iter=5000
    ).fit((x - mean) / scale, y)
    kernel = model.coef_.T / scale[:, None]
    return kernel, model.intercept_ - mean @ kernel


@pytest.mark.parametrize("strength", [1.0, 0.01])
def test_it_agrees_with_scikit_learn(data, strength):
    x, y = data
    path = fit_logistic_path(x, y, 4, strengths=(10.0, strength))
    assert path.strength == strength
    kernel, bias = scikit_learn(x, y, strength)
    expected = softmax((x @ kernel + bias) / path.temperature[1], axis=1)
    assert softmax(x @ path.kernel + path.bias, axis=1) == pytest.approx(expected, abs=5e-3)


def test_cross_validation_agrees_with_one_by_hand(data):
    x, y = data
    path = fit_logistic_path(x, y, 4, strengths=(0.1,), folds=4, seed=3)
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
    path = fit_logistic_path(x, y, 4, class_weights=CLASS_WEIGHTS, strengths=(strength,))
    kernel, bias = scikit_learn(x, y, strength, CLASS_WEIGHTS)
    expected = softmax((x @ kernel + bias) / path.temperature[0], axis=1)
    found = softmax(x @ path.kernel + path.bias, axis=1)
    assert found == pytest.approx(expected, abs=5e-3)
    plain = fit_logistic_path(x, y, 4, strengths=(strength,))
    assert np.abs(found - softmax(x @ plain.kernel + plain.bias, axis=1)).max() > 0.02


def test_weights_count_in_what_the_strength_is_chosen_by(data):
    x, y = data
    train, held_out = np.arange(0, len(y), 2), np.arange(1, len(y), 2)
    path = fit_logistic_path(
        x[train], y[train], 4, class_weights=CLASS_WEIGHTS, strengths=(0.1,), validation=(x[held_out], y[held_out])
    )
    right = (x[held_out] @ path.kernel + path.bias).argmax(axis=1) == y[held_out]
    assert path.val_accuracy[0] == pytest.approx(np.average(right, weights=CLASS_WEIGHTS[y[held_out]]))


def test_equal_weights_of_any_size_are_none(data):
    x, y = data
    plain = fit_logistic_path(x, y, 4, strengths=(0.1,))
    path = fit_logistic_path(x, y, 4, class_weights=np.full(4, 7, "float32"), strengths=(0.1,))
    assert softmax(x @ path.kernel + path.bias, axis=1) == pytest.approx(
        softmax(x @ plain.kernel + plain.bias, axis=1), abs=1e-3
    )
    assert path.val_loss == pytest.approx(plain.val_loss, rel=1e-3)


def test_the_strength_with_the_lowest_held_out_loss_is_chosen(data):
    path = fit_logistic_path(*data, 4)
    chosen = path.strengths.index(path.strength)
    assert path.val_loss[chosen] <= min(path.val_loss) * 1.001
    assert list(path.strengths) == sorted(path.strengths, reverse=True)


def test_the_path_ends_when_weaker_strengths_are_worse_and_all_steps_are_told(data):
    told = []
    path = fit_logistic_path(*data, 4, strengths=tuple(np.logspace(2, -6, 17)), on_strength=told.append)
    assert len(path.strengths) == path.strengths.index(path.strength) + 3
    assert sum(told) == 17


def test_validation_data_replace_cross_validation(data):
    x, y = data
    train, held_out = np.arange(0, len(y), 2), np.arange(1, len(y), 2)
    path = fit_logistic_path(x[train], y[train], 4, strengths=(0.1,), validation=(x[held_out], y[held_out]))
    predicted = (x[held_out] @ path.kernel + path.bias).argmax(axis=1)
    assert path.val_accuracy[0] == pytest.approx((predicted == y[held_out]).mean())
    kernel, _ = scikit_learn(x[train], y[train], 0.1)
    assert np.corrcoef(path.kernel.ravel(), kernel.ravel())[0, 1] > 0.999


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_the_scale_of_features_does_not_matter(data, scale):
    x, y = data
    plain = fit_logistic_path(x, y, 4, strengths=(0.1,))
    scales = np.where(np.arange(x.shape[1]) % 2, scale, 1).astype("float32")
    path = fit_logistic_path(x * scales, y, 4, strengths=(0.1,))
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
        path = fit_logistic_path(*draw(3), 2)
        x, y = draw(200)
        losses.append(-log_softmax(x @ path.kernel + path.bias, axis=1)[np.arange(400), y].mean())
    assert np.mean(losses) < 0.85  # knowing nothing costs log(2); being certain and often wrong, far more


def test_a_constant_feature_is_ignored(data):
    x, y = data
    with_constant = np.hstack([x, np.full((len(x), 1), 7, "float32")])
    path, plain = (fit_logistic_path(features, y, 4, strengths=(0.1,)) for features in (with_constant, x))
    assert np.abs(path.kernel[-1]).max() == 0
    assert path.kernel[:-1] == pytest.approx(plain.kernel, abs=1e-3 * float(np.abs(plain.kernel).max()))


def test_features_that_say_nothing_give_the_shares_of_the_classes():
    y = np.repeat([0, 1], [30, 10])
    path = fit_logistic_path(np.full((40, 3), 5, "float32"), y, 2)
    assert np.abs(path.kernel).max() == 0
    assert softmax(path.bias)[0] == pytest.approx(0.75, abs=0.02)


def test_two_images_a_class_are_enough():
    x = np.array([[0, 0], [0, 1], [9, 9], [9, 8]], "float32")
    path = fit_logistic_path(x, np.array([0, 0, 1, 1]), 2)
    assert (x @ path.kernel + path.bias).argmax(axis=1).tolist() == [0, 0, 1, 1]


def test_a_rare_class_does_not_stop_cross_validation():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], [30, 30, 2])
    x = rng.normal(size=(62, 5)).astype("float32") + y[:, None]
    assert np.isfinite(fit_logistic_path(x, y, 3).val_loss).all()


def test_the_features_are_not_changed(data):
    x, y = data
    before = x.copy()
    fit_logistic_path(x, y, 4, strengths=(1.0,))
    assert np.array_equal(x, before)


def test_problems_solved_one_by_one_give_the_same(data, monkeypatch):
    together = fit_logistic_path(*data, 4, strengths=(0.1,))
    monkeypatch.setattr("transferkit.training.solvers._STACK_FLOATS", 1)
    monkeypatch.setattr("transferkit.training.solvers._BLOCK_FLOATS", 1)
    alone = fit_logistic_path(*data, 4, strengths=(0.1,))
    x, _ = data
    assert softmax(x @ alone.kernel + alone.bias, axis=1) == pytest.approx(
        softmax(x @ together.kernel + together.bias, axis=1), abs=5e-3
    )
