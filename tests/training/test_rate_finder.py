from dataclasses import replace

import keras
import numpy as np
import pytest

from transferkit import TransferClassifier
from transferkit._utils.console import speaking_to
from transferkit.tasks.find import MULTICLASS, MULTILABEL
from transferkit.training.loop import Options
from transferkit.training.phases import Phase
from transferkit.training.rate_finder import RateCurve, RateRange, _suggest, find_rate


def test_the_suggestion_is_a_tenth_of_the_rate_where_the_loss_explodes():
    rates = np.geomspace(1e-5, 1, 6)
    assert _suggest(rates, np.array([2.0, 1.5, 1.0, 0.6, 0.95, 5.0])) == (rates[4] / 10, True)
    assert _suggest(rates, np.array([0.3, 0.3, 0.3, 0.29, 0.4, 5.0])) == (rates[5] / 10, True)


def test_a_loss_that_did_not_explode_is_told_apart():
    rates = np.geomspace(1e-5, 1, 6)
    assert _suggest(rates, np.array([2.0, 1.5, 1.0, 0.6, 0.5, 0.5])) == (rates[5] / 10, False)


def test_a_curve_is_drawn_on_a_logarithmic_axis():
    curve = RateCurve(np.geomspace(1e-5, 1, 6), np.arange(6.0), 1e-3)
    ax = curve.plot()
    assert ax.get_xscale() == "log"
    assert np.array_equal(ax.lines[0].get_ydata(), np.arange(6.0))
    assert curve._repr_png_().startswith(b"\x89PNG")


def find(bench, phase, options=None, **limits):
    limits = {"smallest": 1e-6, "largest": 1e-3, "steps": 3} | limits
    stages = bench.backbone.stages
    with speaking_to(bench.console):
        return find_rate(
            phase, bench.components, bench.training_data, stages, options or Options("sgd"), RateRange(**limits)
        )


@pytest.mark.parametrize("task", [MULTICLASS, MULTILABEL])
@pytest.mark.parametrize("focus", [0.0, 2.0])
def test_the_loss_is_the_one_that_is_trained(make_bench, eagerly, focus, task):
    shares = np.eye(3, dtype="float32")
    training = make_bench().training_data.training
    weights = (1 + training.labels).astype("float32")
    training = replace(training, targets=shares[training.labels], task=task, weights=weights)
    bench = make_bench(batch_size=24, training=training)
    if task is MULTILABEL:
        bench.components.dense.get_layer("probabilities").activation = keras.activations.sigmoid
    probabilities = bench.components.whole.predict(training.images, verbose=0)
    curve = find(bench, Phase("head"), Options("sgd", focus=focus, task=task), largest=1.1e-6)
    wanted = np.where(training.targets > 0, probabilities, 1 - probabilities)
    losses = -np.log(wanted) * (1 - wanted) ** focus
    losses = losses.mean(axis=1) if task is MULTILABEL else losses[training.targets > 0]
    assert curve.losses[0] == pytest.approx(np.mean(losses * weights), rel=1e-3)


def test_batches_that_the_optimizer_gathers_are_one_step(make_bench, eagerly):
    """Two of 9 and 3 images do what one of 12 does: each image counts alike, in losses and in steps."""
    training = make_bench().training_data.training.take(np.arange(12))
    limits = {"smallest": 1e-2, "largest": 1.0, "steps": 4}
    found = []
    for batch_size, together in ((12, None), (9, 2)):
        bench = make_bench(batch_norm=False, batch_size=batch_size, training=training)
        options = Options(keras.optimizers.SGD(gradient_accumulation_steps=together))
        found.append(find(bench, Phase("all"), options, **limits))
    one, other = found
    assert len(other.losses) == 4
    assert other.learning_rates == pytest.approx(one.learning_rates)
    assert other.losses == pytest.approx(one.losses, rel=1e-3)


def test_deeper_layers_are_tested_at_the_rates_that_they_would_train_at(make_bench, eagerly):
    moved = []
    for decay in (1.0, 0.5):
        bench = make_bench(batch_norm=False, batch_size=24)
        before = bench.weights()
        find(bench, Phase("all", layer_decay=decay), smallest=1e-5, largest=1.1e-5)
        moved.append({path: np.abs(value - before[path]).max() for path, value in bench.weights().items()})
    for name, depth in (("probabilities", 0), ("conv3", 1), ("conv2", 2), ("conv1", 3)):
        (path,) = (path for path in before if path.endswith(f"{name}/kernel"))
        assert moved[1][path] == pytest.approx(moved[0][path] * 0.5**depth, rel=0.05)


def test_rates_grow_by_the_same_factor_and_only_what_the_phase_names_trains(make_bench, eagerly):
    rates = []

    class Watched(keras.optimizers.SGD):
        def apply(self, grads, trainable_variables=None):
            rates.append(float(self.learning_rate))
            super().apply(grads, trainable_variables)

    bench = make_bench()
    before = bench.weights()
    curve = find(bench, Phase("stage3"), Options(Watched()), smallest=1e-4, largest=1e-1, steps=4)
    assert rates == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1])
    assert curve.learning_rates == pytest.approx(rates)
    changed = {path for path, value in bench.weights().items() if not np.array_equal(value, before[path])}
    assert changed
    assert all("3" in path or "probabilities" in path for path in changed)
    assert not any("moving" in path for path in changed)


def test_losses_are_smoothed_without_a_pull_to_zero(make_bench, eagerly):
    bench = make_bench(batch_size=24)
    curve = find(bench, Phase("head"), smallest=1e-9, largest=1.1e-9, steps=12)
    probabilities = bench.components.whole.predict(bench.training_data.training.images, verbose=0)
    loss = -np.log(probabilities[np.arange(24), bench.training_data.training.labels]).mean()
    assert curve.losses == pytest.approx(np.full(12, loss), rel=1e-4)
    assert not curve.exploded
    assert "did not explode up to a rate of 1.1e-09" in bench.said[-1]


def test_it_ends_where_the_loss_explodes(make_bench, eagerly):
    bench = make_bench(batch_norm=False)
    curve = find(bench, Phase("all"), smallest=1e-3, largest=1e6, steps=60)
    assert curve.exploded
    assert len(curve.losses) < 60
    assert len(curve.learning_rates) == len(curve.losses)
    assert np.isfinite(curve.losses).all()


def test_a_loss_that_is_not_finite_is_explained(make_bench, eagerly):
    bench = make_bench()
    bench.components.dense.get_layer("probabilities").bias.assign([np.nan] * 3)
    with pytest.raises(ValueError, match="The loss is not finite from the start"):
        find(bench, Phase("head"))


def test_the_rate_is_sought_for_the_focal_loss_where_that_is_trained(tiny_backbone, images, labels):
    first = [
        TransferClassifier(tiny_backbone, balance=balance, verbose=0, batch_size=24)
        .find_learning_rate(images, labels, train="head", steps=10, smallest=1e-9, largest=2e-9)
        .losses[0]
        for balance in (None, "focal")
    ]
    assert first[1] < 0.7 * first[0]
