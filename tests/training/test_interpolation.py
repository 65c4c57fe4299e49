import keras
import numpy as np
import pytest

from transferkit._utils.console import Console, speaking_to
from transferkit.evaluation.calibration import judge_at_best_temperature
from transferkit.frozen.forward import join
from transferkit.models.weights import blend, restore
from transferkit.solvers.examples import Examples
from transferkit.training.callbacks import Record
from transferkit.training.interpolation import SHARES, interpolate
from transferkit.training.logistic import fit_logistic_head
from transferkit.training.phases import Phase


class Trained:
    """A classifier, its weights before and after a training that helped, and others that would have hurt."""

    def __init__(self, bench):
        self.bench, self.before = bench, bench.captured()
        bench.train(Phase("all", epochs=4, learning_rate=0.1))
        self.after = bench.captured()
        rng = np.random.default_rng(0)
        self.spoilt = [weight + rng.normal(0, 0.5, weight.shape).astype("float32") ** 2 for weight in self.after]

    def judge(self, weights):
        """Loss at the best temperature, accuracy and temperature of weights, by the whole classifier."""
        source = self.bench.training_data.validation
        restore(self.bench.components.models, weights)
        logits = np.log(np.maximum(self.bench.components.whole.predict(source.images, verbose=0), 1e-30))
        return judge_at_best_temperature(logits, source.labels)

    def choose(self, start, end):
        said, console = [], Console(0)
        console.note = said.append
        restore(self.bench.components.models, end)
        source, components = self.bench.training_data.validation, self.bench.components
        with speaking_to(console):
            found = interpolate(
                start, end, components, lambda: components.whole.predict(source.images, verbose=0), source.labels
            )
        return found, [text for text in said if "%" in text]  # a slow step says so, too


@pytest.fixture(scope="module")
def trained(make_bench):
    return Trained(make_bench())


def test_when_training_helped_it_goes_the_way_that_validation_recommends(trained):
    found, (said,) = trained.choose(trained.before, trained.after)
    blends = [
        [(1 - share) * a + share * b for a, b in zip(trained.before, trained.after, strict=True)] for share in SHARES
    ]
    judged = [trained.judge(weights) for weights in blends]
    best = int(np.argmin([loss for loss, *_ in judged]))
    assert found.share == SHARES[best] > 0
    assert found.loss == pytest.approx(judged[best][0], rel=1e-4)
    assert found.accuracy == pytest.approx(judged[best][1])
    assert f"Weights {found.share:.0%} of the way" in said
    restore(trained.bench.components.models, found.weights)
    loss, _ = trained.bench.validation_loss()
    assert found.log_loss == pytest.approx(loss, rel=1e-4)
    assert f"log loss {loss:.3f}, accuracy" in said

    # By hand: a blend of all weights, and the last Dense layer divided by the temperature.
    *others, kernel, bias = blends[best]
    expected = [*others, kernel / judged[best][2], bias / judged[best][2]]
    for one, other in zip(found.weights, expected, strict=True):
        assert one == pytest.approx(other, rel=1e-3, abs=1e-6)


def test_the_classifier_is_left_with_what_was_chosen_and_calibrated(trained):
    found, _ = trained.choose(trained.before, trained.after)
    left = trained.bench.captured()
    assert all(np.array_equal(a, b) for a, b in zip(left, found.weights, strict=True))
    loss, accuracy, temperature = trained.judge(left)
    assert temperature == pytest.approx(1, abs=0.02)
    assert (loss, accuracy) == pytest.approx((found.loss, found.accuracy), rel=1e-3)


def test_when_training_hurt_it_stays_at_the_beginning(trained):
    found, (said,) = trained.choose(trained.after, trained.spoilt)
    assert found.share == 0
    assert "Weights 0% of the way" in said
    *others, kernel, bias = trained.after
    assert all(np.array_equal(a, b) for a, b in zip(found.weights, others, strict=False))
    assert trained.judge(trained.spoilt)[0] > found.loss
    temperature = trained.judge(trained.after)[2]
    assert found.weights[-2] == pytest.approx(kernel / temperature, rel=1e-3)
    assert found.weights[-1] == pytest.approx(bias / temperature, rel=1e-3)


def test_who_went_too_far_is_brought_back_part_of_the_way(trained):
    beyond = blend(trained.before, trained.after, 3.0)
    found, _ = trained.choose(trained.before, beyond)
    losses = [trained.judge(blend(trained.before, beyond, share))[0] for share in SHARES]
    assert 0 < found.share < 1
    assert found.share == SHARES[int(np.argmin(losses))]


def test_a_gain_too_small_to_matter_is_none(trained):
    nudged = blend(trained.before, trained.after, 1e-3)
    assert trained.judge(nudged)[0] < trained.judge(trained.before)[0]
    assert trained.choose(trained.before, nudged)[0].share == 0


# ---- as the end of a phase ----


def test_a_phase_that_hurt_leaves_the_classifier_as_it_was_but_for_the_temperature(make_bench):
    bench = make_bench()
    record = bench.train(
        Phase("head", epochs=1, learning_rate=0.01),
        Phase("all", epochs=2, learning_rate=500.0, layer_decay=1e-5, patience=None, interpolate=True),
    )
    assert record.best_epoch == 1
    assert record.history["epoch"] == [1, 2, 3]
    first = make_bench()
    first.train(Phase("head", epochs=1, learning_rate=0.01))
    before, after = first.weights(), bench.weights()
    moved = {path for path in before if not np.array_equal(before[path], after[path])}
    assert moved == {"probabilities/kernel", "probabilities/bias"}
    ratio = after["probabilities/kernel"] / before["probabilities/kernel"]
    assert ratio == pytest.approx(np.full(ratio.shape, ratio[0, 0]), rel=1e-4)


def test_a_phase_that_helped_names_its_best_epoch_and_not_its_last(make_bench):
    bench = make_bench()
    astray = keras.optimizers.schedules.PiecewiseConstantDecay([5], [0.02, 500.0])  # in the last of three epochs
    record = bench.train(Phase("head", epochs=3, learning_rate=astray, patience=None, interpolate=True))
    losses = record.history["val_loss"]
    assert losses[1] < losses[0] < losses[2]
    assert record.best_epoch == 2
    assert "Weights 100% of the way" in bench.said[-1]
    assert bench.validation_loss()[0] <= losses[1]  # at the best temperature


# ---- after phases that made it worse ----


class Setting(keras.callbacks.Callback):
    """Sets the weights of a head after the last batch of some epochs, as if training had found them."""

    def __init__(self, dense, weights):
        super().__init__()
        self.layer, self.weights = dense.get_layer("probabilities"), weights

    def on_train_batch_end(self, batch, logs=None):
        if batch == self.params["steps"] - 1 and self.epoch in self.weights:
            self.layer.set_weights(self.weights[self.epoch])

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch


def solved_head(bench):
    """Kernel and bias of the logistic head for the backbone as it is."""
    components, source = bench.components, bench.training_data.training
    features = join(components.preprocessing, components.network, components.pooling).predict(source.images, verbose=0)
    fit_logistic_head(components.dense, Examples(features, source.labels), temperature=0.1)
    return components.dense.get_layer("probabilities").get_weights()


def wrong(head):
    return [-weight for weight in head]


@pytest.mark.parametrize("train", ["head", "stage3"])
def test_what_was_better_before_a_useless_phase_stays(train, make_bench):
    bench = make_bench()
    good = solved_head(bench)
    first = Record()
    first.keep(float(bench.validation_loss()[0]), 0, bench.captured())
    bad, useless = Phase("head", epochs=1, name="bad"), Phase(train, epochs=2, learning_rate=1e-9, interpolate=True)
    setting = Setting(bench.components.dense, {0: wrong(good)})
    record = bench.train(bad, useless, record=first, callbacks=[setting], cache="memory")
    assert min(record.history["val_loss"]) > 2 * record.best_loss
    assert record.best_epoch == 0
    assert bench.validation_loss()[0] == pytest.approx(record.best_loss, rel=1e-4)
    assert bench.said[-1] == f"Weights of the beginning are better than all these (log loss {record.best_loss:.3f})."


def test_a_phase_that_made_up_for_a_bad_one_takes_over_under_its_own_epoch(make_bench):
    bench = make_bench()
    good = solved_head(bench)
    first = Record()
    bench.components.dense.get_layer("probabilities").set_weights([0 * weight for weight in good])
    first.keep(float(bench.validation_loss()[0]), 0, bench.captured())
    setting = Setting(bench.components.dense, {0: wrong(good), 1: [0.5 * weight for weight in good]})
    bad, last = Phase("head", epochs=1, name="bad"), Phase("head", epochs=1, learning_rate=1e-9, interpolate=True)
    record = bench.train(bad, last, record=first, callbacks=[setting], cache="memory")
    assert record.best_epoch == 2
    assert record.best_loss < np.log(3)
    assert bench.validation_loss()[0] == pytest.approx(record.best_loss, rel=1e-4)


def test_the_beginning_of_a_phase_has_its_own_epoch_and_not_that_of_the_best_so_far(make_bench):
    bench = make_bench()
    good = solved_head(bench)
    first = Record()
    bench.components.dense.get_layer("probabilities").set_weights(wrong(good))
    first.keep(0.0, 0, bench.captured())  # seems to be the best
    setting = Setting(bench.components.dense, {0: good, 1: wrong(good)})
    better, useless = Phase("head", epochs=1), Phase("head", epochs=1, learning_rate=1e-9, interpolate=True)
    record = bench.train(better, useless, record=first, callbacks=[setting], cache="memory")
    assert "Weights 0% of the way" in bench.said[-1]
    assert record.best_epoch == 1
