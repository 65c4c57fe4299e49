import csv
import random
from dataclasses import replace
from itertools import pairwise

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.exceptions import ConvergenceWarning

from transferkit.frozen.forward import join, run_model
from transferkit.frozen.precision import computing_in
from transferkit.models.heads import Head
from transferkit.solvers.examples import Examples
from transferkit.tasks.find import MULTICLASS, MULTILABEL
from transferkit.training.callbacks import Record
from transferkit.training.logistic import fit_logistic_head, record_of_head
from transferkit.training.loop import Options
from transferkit.training.phases import Phase
from transferkit.training.rates import ReduceOnPlateau, StepDecay


class Diary(keras.callbacks.Callback):
    """Writes down what it is told."""

    def __init__(self):
        super().__init__()
        self.calls, self.epochs, self.totals, self.batches = [], [], [], 0

    def on_train_begin(self, logs=None):
        self.calls.append("begin")

    def on_train_end(self, logs=None):
        self.calls.append("end")

    def on_epoch_begin(self, epoch, logs=None):
        self.totals.append(self.params["epochs"])
        self.epochs.append(epoch)

    def on_epoch_end(self, epoch, logs=None):
        assert epoch == self.epochs[-1]
        assert {"loss", "accuracy", "val_loss", "val_accuracy"} <= logs.keys()

    def on_train_batch_end(self, batch, logs=None):
        self.batches += 1


class AtEpochs(keras.callbacks.Callback):
    """Calls functions with the model, by the number of an epoch from 0, before it begins or after its last batch."""

    def __init__(self, begin=None, end=None):
        super().__init__()
        self.begin, self.end = begin or {}, end or {}

    def on_epoch_begin(self, epoch, logs=None):
        self.begin.get(epoch, lambda model: None)(self.model)

    def on_epoch_end(self, epoch, logs=None):
        self.end.get(epoch, lambda model: None)(self.model)


class Trail(keras.callbacks.Callback):
    """Captures the weights after every batch."""

    def __init__(self, bench, trail):
        super().__init__()
        self.bench, self.trail = bench, trail

    def on_train_batch_end(self, batch, logs=None):
        self.trail.append(self.bench.captured())


def stop(model):
    model.stop_training = True


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def changed(before, after):
    return {path for path in before if not np.array_equal(before[path], after[path])}


# ---- a schedule of three phases after a logistic head, run once ----


class Story:
    """A schedule: the logistic head, the head on features and on images, a stage, and adapters."""

    def __init__(self, bench, folder):
        self.bench, self.folder, self.diary = bench, folder, Diary()
        components, training, validation = (
            bench.components,
            bench.training_data.training,
            bench.training_data.validation,
        )
        extractor = join(components.preprocessing, components.network, components.pooling)
        features = tuple(run_model(extractor, [source.images], len(source)) for source in (training, validation))
        fit_logistic_head(components.dense, Examples(features[0], training.labels))
        divided = components.dense.get_layer("probabilities")
        divided.set_weights([weight / 20 for weight in divided.get_weights()])  # so that there is something to learn
        judged = ((features[0], training.labels), (features[1], validation.labels))
        self.start = bench.weights()
        record = record_of_head(components.dense, *judged, bench.captured(), "logistic")
        self.first_loss = bench.validation_loss()
        self.input_ranks = []
        callbacks = [
            self.diary,
            keras.callbacks.CSVLogger(folder / "log.csv"),
            keras.callbacks.ModelCheckpoint(folder / "{epoch:02d}.keras"),
            AtEpochs(end=dict.fromkeys(range(6), self.look)),
        ]
        self.record = bench.train(
            Phase("head", epochs=2, learning_rate=0.05, name="warm up"),
            Phase("stage3", epochs=2, learning_rate=0.1, rate_schedule=StepDecay(1, 0.5)),
            Phase("lora", epochs=2, learning_rate=0.1, lora_rank=2),
            record=record,
            callbacks=callbacks,
            cache="memory",
        )
        self.history = self.record.history

    def look(self, model):
        self.input_ranks.append((len(model.input_shape), model.input_shape[-1]))

    def checkpoint(self, epoch):
        return keras.saving.load_model(self.folder / f"{epoch:02d}.keras")


@pytest.fixture(scope="module")
def story(make_bench, tmp_path_factory):
    return Story(make_bench(), tmp_path_factory.mktemp("story"))


def test_one_history_counts_epochs_over_all_phases(story):
    assert story.history["epoch"] == list(range(7))
    assert story.history["phase"] == ["logistic", "warm up", "warm up", "stage3", "stage3", "lora", "lora"]
    assert {len(column) for column in story.history.values()} == {7}
    rates = story.history["learning_rate"]
    assert rates[0] is None
    assert rates[1:] == pytest.approx([0.05, 0.05, 0.1, 0.05, 0.1, 0.1])


def test_epoch_zero_is_the_logistic_head(story):
    loss, accuracy = story.first_loss
    assert story.history["val_loss"][0] == pytest.approx(loss, rel=1e-4)
    assert story.history["val_accuracy"][0] == pytest.approx(accuracy)


def test_phases_go_on_where_the_best_epoch_so_far_left_off(story):
    assert story.input_ranks == [(2, 10), (2, 10), (4, 8), (4, 8), (4, 3), (4, 3)]  # features, the cut, images
    assert story.history["val_loss"] == sorted(story.history["val_loss"], reverse=True)


def test_the_model_left_is_that_of_the_best_epoch(story):
    losses = story.history["val_loss"]
    assert story.record.best_loss == min(losses)
    assert losses[story.record.best_epoch] == min(losses)
    loss, accuracy = story.bench.validation_loss()
    assert loss == pytest.approx(min(losses), rel=1e-4)
    assert accuracy == pytest.approx(story.history["val_accuracy"][story.record.best_epoch])


def test_statistics_of_batch_norm_are_the_same_bits_as_before(story):
    moved = changed(story.start, story.bench.weights())
    assert not [path for path in moved if "moving" in path]
    assert {"conv1/kernel", "conv2/kernel", "conv3/kernel", "bn3/gamma", "probabilities/kernel"} <= moved
    assert {"bn1/gamma", "bn2/gamma"}.isdisjoint(moved)


def test_callbacks_live_through_all_phases_as_through_one_training(story):
    assert story.diary.calls == ["begin", "end"]
    assert story.diary.epochs == list(range(6))
    assert story.diary.totals == [6] * 6
    assert story.diary.batches == 6 * 3


def test_a_csv_log_has_all_epochs_in_one_file(story):
    with open(story.folder / "log.csv") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == list(range(6))
    assert [float(row["val_loss"]) for row in rows] == pytest.approx(story.history["val_loss"][1:])
    assert [float(row["learning_rate"]) for row in rows] == pytest.approx(story.history["learning_rate"][1:])


@pytest.mark.parametrize("epoch", [2, 4, 5, 6])
def test_a_checkpoint_is_the_whole_classifier_as_it_was_then(story, epoch):
    model = story.checkpoint(epoch)
    source = story.bench.training_data.validation
    probabilities = np.asarray(model(source.images))
    loss = -np.log(probabilities[np.arange(len(source)), source.labels]).mean()
    assert loss == pytest.approx(story.history["val_loss"][epoch], rel=1e-4)
    assert model(np.zeros((2, 9, 40, 3), "uint8")).shape == (2, 3)


def test_afterwards_the_backbone_is_frozen_and_the_head_is_not(story):
    assert story.bench.components.network.trainable_weights == []
    assert len(story.bench.components.head.trainable_weights) == 2


# ---- exactly what was declared ----

CONVOLUTIONS = {f"conv{number}" for number in (1, 2, 3)}
NORMALISATIONS = {f"bn{number}" for number in (1, 2, 3)}
DECLARED = {
    "head": set(),
    "stage2": {"conv2", "bn2", "conv3", "bn3"},
    ("stage1", "head"): {"conv1", "bn1"},
    ("stage2",): {"conv2", "bn2"},
    "all": CONVOLUTIONS | NORMALISATIONS,
    "batch_norm": NORMALISATIONS,
    "lora": CONVOLUTIONS,
}


NETWORKS = [(train, batch_norm) for train in DECLARED for batch_norm in (True, False)]
NETWORKS.remove(("batch_norm", False))  # is refused


@pytest.mark.parametrize(("train", "batch_norm"), NETWORKS, ids=str)
def test_one_step_changes_exactly_what_a_phase_declares(train, batch_norm, make_bench, eagerly):
    bench = make_bench(batch_norm=batch_norm, batch_size=24, head=Head(units=(6,), dropout=0.5))
    before = bench.weights()
    bench.train(Phase(train, epochs=np.int64(1), learning_rate=np.float64(0.1), lora_rank=np.int64(2)))
    moved = changed(before, bench.weights())
    head = {path for path in before if path.startswith(("hidden1", "probabilities"))}
    assert len(head) == 4
    expected = {path for path in before if path.split("/")[0] in DECLARED[train] and "moving" not in path}
    if train == "lora":
        expected = {path for path in expected if path.endswith("kernel")}
    assert moved == expected | (head if isinstance(train, str) or "head" in train else set())


@pytest.mark.parametrize(("train", "moving"), [("stage3", {"bn3"}), ("batch_norm", NORMALISATIONS), ("head", set())])
def test_statistics_follow_the_data_when_asked_to_in_stages_that_train(train, moving, make_bench, eagerly):
    bench = make_bench()
    before = bench.weights()
    bench.train(Phase(train, epochs=1, learning_rate=0.01, batch_norm="adapt"))
    statistics = {path for path in changed(before, bench.weights()) if "moving" in path}
    assert statistics == {f"{name}/moving_{which}" for name in moving for which in ("mean", "variance")}


def test_phases_that_train_nothing_are_refused_before_anything_trains(make_bench):
    bench, diary = make_bench(batch_norm=False), Diary()
    before = bench.captured()
    with pytest.raises(ValueError, match="train='batch_norm': this backbone has no BatchNorm layers"):
        bench.train(Phase("head", epochs=1), Phase("batch_norm", epochs=1), callbacks=[diary])
    with pytest.raises(ValueError, match="Unknown stage 'stage9'"):
        bench.train(Phase("head", epochs=1), Phase("stage9", epochs=1), callbacks=[diary])
    optimizer = keras.optimizers.SGD(gradient_accumulation_steps=4)
    with pytest.raises(ValueError, match="'head' trains nothing: all its batches, 3, are fewer than gradient_accu"):
        bench.train(Phase("all", epochs=2), Phase("head", epochs=1), callbacks=[diary], optimizer=optimizer)
    assert diary.calls == []
    assert same(before, bench.captured())


@pytest.mark.parametrize(("train", "is_active"), [("head", True), ("all", True), (("stage3",), False)], ids=str)
def test_dropout_of_the_head_is_on_while_the_head_trains(train, is_active, make_bench, eagerly):
    bench = make_bench(head=Head(units=(64,), dropout=0.9), batch_size=24)
    logs = bench.train(Phase(train, epochs=1, learning_rate=1e-9)).history
    probabilities = bench.components.whole.predict(bench.training_data.training.images, verbose=0)
    plain = -np.log(probabilities[np.arange(24), bench.training_data.training.labels]).mean()
    assert (logs["loss"][0] == pytest.approx(plain, rel=1e-4)) == (not is_active)


@pytest.mark.parametrize(
    ("train", "is_active"),
    [("head", False), ("batch_norm", False), ("lora", False), (("stage2",), True), ("all", True)],
    ids=str,
)
def test_dropout_of_the_backbone_is_on_in_stages_that_train(train, is_active, make_bench, eagerly):
    bench = make_bench(dropout=0.6, batch_size=24)
    logs = bench.train(Phase(train, epochs=1, learning_rate=1e-9)).history
    probabilities = bench.components.whole.predict(bench.training_data.training.images, verbose=0)
    plain = -np.log(probabilities[np.arange(24), bench.training_data.training.labels]).mean()
    assert (logs["loss"][0] == pytest.approx(plain, rel=1e-4)) == (not is_active)


# ---- from phase to phase ----


def test_two_phases_are_one_that_was_not_interrupted(make_bench):
    whole, halves = make_bench(), make_bench()
    expected = whole.train(Phase("all", epochs=3, learning_rate=0.003), optimizer="adam")
    assert expected.best_epoch == 3  # every epoch was better: a phase begins with the best weights so far
    found = halves.train(
        Phase("all", epochs=1, learning_rate=0.003), Phase("all", epochs=2, learning_rate=0.003), optimizer="adam"
    )
    assert found.history["loss"] == pytest.approx(expected.history["loss"], rel=1e-5)
    for one, other in zip(whole.captured(), halves.captured(), strict=True):
        assert one == pytest.approx(other, abs=1e-6)


def test_the_optimizer_remembers_what_keeps_training(make_bench):
    bench, moments = make_bench(), {}

    def note(when):
        def look(model):
            kernel = model.get_layer("head" if "head" in [layer.name for layer in model.layers] else "dense").weights[
                -2
            ]
            index = model.optimizer._get_variable_index(kernel)
            moments[when] = model.optimizer._momentums[index].numpy(), int(model.optimizer.iterations.numpy())

        return look

    bench.train(
        Phase("head", epochs=1),
        Phase("stage2", epochs=1),
        optimizer="adam",
        callbacks=[AtEpochs(begin={0: note("first"), 1: note("after")}, end={0: note("before")})],
    )
    assert not moments["first"][0].any()
    assert moments["before"][0].any()
    assert np.array_equal(moments["before"][0], moments["after"][0])
    assert moments["after"][1] == moments["before"][1] == 3


def test_the_best_epoch_of_all_phases_is_left_and_each_phase_goes_on_from_the_one_before(make_bench, eagerly):
    bench, weights = make_bench(), {}

    def note(when):
        return lambda model: weights.update({when: model.get_weights()})

    record = bench.train(
        Phase("all", epochs=2, learning_rate=0.1),
        Phase("head", epochs=1, learning_rate=500.0, name="too far"),
        Phase("stage3", epochs=1, learning_rate=1e-8, name="after"),
        callbacks=[AtEpochs(end={1: note("good"), 2: note("bad")}, begin={3: note("again")})],
    )
    losses = record.history["val_loss"]
    assert losses[2] > 2 * losses[1]
    assert not same(weights["good"], weights["bad"])
    assert same(weights["bad"], weights["again"])
    assert losses[3] == pytest.approx(losses[2], rel=1e-2)
    assert record.best_epoch == 2
    assert bench.validation_loss()[0] == pytest.approx(losses[1], rel=1e-4)


def test_a_head_after_the_backbone_has_trained_does_not_train_on_features_of_before(make_bench, eagerly):
    bench, inputs = make_bench(), []
    look = dict.fromkeys(range(4), lambda model: inputs.append(len(model.input_shape)))
    record = bench.train(
        Phase("head", epochs=1, learning_rate=0.01),
        Phase("stage2", epochs=2, learning_rate=0.1),
        Phase("head", epochs=1, learning_rate=0.01),
        callbacks=[AtEpochs(end=look)],
        cache="memory",
    )
    assert inputs == [2, 4, 4, 2]
    assert record.best_epoch == 4
    assert bench.validation_loss()[0] == pytest.approx(record.best_loss, rel=1e-4)


def test_a_penalty_on_weights_does_not_tip_the_comparison_between_phases(make_bench, eagerly):
    """Keras' validation loss counts the penalties of what trains just now."""
    bench = make_bench(head=Head(units=(), dropout=0, l2=1.0))
    record = bench.train(Phase("head", epochs=1, learning_rate=1e-9), Phase(["stage3"], epochs=1, learning_rate=1e-9))
    assert record.history["val_loss"][0] == pytest.approx(record.history["val_loss"][1], rel=1e-4)
    assert record.best_loss == pytest.approx(bench.validation_loss()[0], rel=1e-4)


def test_a_phase_ends_early_when_nothing_gets_better_and_the_next_one_follows(make_bench, eagerly):
    bench, diary = make_bench(), Diary()
    record = bench.train(
        Phase("head", epochs=9, learning_rate=200.0, patience=2),
        Phase("stage3", epochs=2, learning_rate=0.01, patience=None),
        callbacks=[diary],
    )
    first = record.history["phase"].count("head")
    losses = record.history["val_loss"][:first]
    assert first == int(np.argmin(losses)) + 3 < 9
    assert record.history["phase"] == ["head"] * first + ["stage3"] * 2
    assert record.history["epoch"] == [epoch + 1 for epoch in diary.epochs] == list(range(1, first + 3))
    assert diary.calls == ["begin", "end"]


def test_a_callback_that_stops_training_ends_everything(make_bench, eagerly):
    bench, diary = make_bench(), Diary()
    record = bench.train(
        Phase("head", epochs=3),
        Phase("all", epochs=3),
        callbacks=[diary, AtEpochs(end={1: stop})],
    )
    assert record.history["phase"] == ["head", "head"]
    assert diary.calls == ["begin", "end"]
    assert bench.validation_loss()[0] == pytest.approx(record.best_loss, rel=1e-4)


def test_early_stopping_of_keras_may_put_back_weights_of_an_earlier_phase(make_bench, eagerly):
    bench = make_bench()
    stopping = keras.callbacks.EarlyStopping(patience=1, restore_best_weights=True)
    record = bench.train(
        Phase("all", epochs=1, learning_rate=0.1),
        Phase("lora", epochs=2, learning_rate=3.0, lora_rank=2, patience=None),
        Phase("head", epochs=2),
        callbacks=[stopping],
    )
    assert record.history["phase"] == ["all", "lora"]
    assert record.best_epoch == 1
    assert bench.validation_loss()[0] == pytest.approx(record.best_loss, rel=1e-4)


def test_rates_that_callbacks_change_stay_changed(make_bench, eagerly):
    bench = make_bench()
    scheduler = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    record = bench.train(
        Phase("head", epochs=2, learning_rate=0.4), Phase("stage3", epochs=1, learning_rate=0.2), callbacks=[scheduler]
    )
    assert record.history["learning_rate"] == pytest.approx([0.2, 0.1, 0.1])


def test_a_plateau_reduces_the_rate_of_its_phase_only(make_bench, eagerly):
    bench = make_bench(batch_size=24)
    record = bench.train(
        Phase("head", epochs=4, learning_rate=100.0, rate_schedule=ReduceOnPlateau(0.1, patience=1), patience=None),
        Phase("stage3", epochs=1, learning_rate=0.01),
    )
    rates = record.history["learning_rate"]
    assert rates[3] < rates[0] == pytest.approx(100.0)
    assert rates[4] == pytest.approx(0.01)


# ---- rates, decay and means of single variables ----


def step_of(make_bench, *phases, **options):
    """Weights before and after phases of one step each."""
    bench = make_bench(batch_size=24)
    before = bench.weights()
    bench.train(*phases, **options)
    return before, bench.weights()


def test_each_stage_has_its_share_of_the_rate(make_bench, eagerly):
    before, plain = step_of(make_bench, Phase("all", epochs=1, learning_rate=0.1))
    _, decayed = step_of(make_bench, Phase("all", epochs=1, learning_rate=0.1, layer_decay=0.5))
    shares = {"probabilities": 1.0, "conv3": 0.5, "bn3": 0.5, "conv2": 0.25, "bn2": 0.25, "conv1": 0.125, "bn1": 0.125}
    for path in before:
        if "moving" in path:
            continue
        full, part = plain[path] - before[path], decayed[path] - before[path]
        scale = np.abs(full).max()
        assert scale > 1e-4
        assert part / scale == pytest.approx(shares[path.split("/")[0]] * full / scale, abs=2e-3)


def test_adapters_have_the_share_of_their_stage(make_bench, eagerly):
    before, plain = step_of(make_bench, Phase("lora", epochs=1, learning_rate=0.1, lora_rank=2))
    # The first phase of the other run leaves no trace; its adapters have another rank.
    phases = (
        Phase("lora", epochs=1, learning_rate=1e-12, lora_rank=3),
        Phase("lora", epochs=1, learning_rate=0.1, lora_rank=2, layer_decay=0.5),
    )
    _, decayed = step_of(make_bench, phases[1])
    for number, share in ((1, 0.125), (2, 0.25), (3, 0.5)):
        path = f"conv{number}/kernel"
        full, part = plain[path] - before[path], decayed[path] - before[path]
        assert part / np.abs(full).max() == pytest.approx(share * full / np.abs(full).max(), abs=1e-2)
    bench = make_bench(batch_size=24)
    ranks = []
    bench.train(*phases, callbacks=[AtEpochs(end=dict.fromkeys((0, 1), lambda model: ranks.append(count(model))))])
    assert ranks == [3, 2]


def count(model):
    """Rank of the adapters in a model."""
    return {weight.shape[1] for weight in model.weights if weight.path.endswith("low_rank/a")}.pop()


def test_weight_decay_takes_its_share_off_kernels_only(make_bench, eagerly):
    before, plain = step_of(make_bench, Phase("all", epochs=1, learning_rate=0.1))
    _, decayed = step_of(make_bench, Phase("all", epochs=1, learning_rate=0.1, weight_decay=0.5, layer_decay=1.0))
    for path, first in before.items():
        difference = decayed[path] - plain[path]
        if path.endswith("kernel"):
            assert difference == pytest.approx(-0.1 * 0.5 * first, abs=1e-6)
        else:
            assert not difference.any()


def test_l2_sp_pulls_towards_the_weights_that_the_backbone_came_with(make_bench, eagerly):
    opening = Phase("all", epochs=1, learning_rate=0.1)
    first, moved = step_of(make_bench, opening)
    _, plain = step_of(make_bench, opening, Phase("stage2", epochs=1, learning_rate=0.01))
    _, pulled = step_of(make_bench, opening, Phase("stage2", epochs=1, learning_rate=0.01, l2_sp=2.0))
    for path in first:
        difference = pulled[path] - plain[path]
        if path.startswith(("conv2", "conv3", "bn2", "bn3")) and "moving" not in path:
            assert difference == pytest.approx(-0.01 * 2 * (moved[path] - first[path]), abs=1e-6)
            assert np.abs(difference).max() > 1e-5
        else:
            assert not difference.any()


def test_running_means_are_validated_and_kept(make_bench, eagerly):
    bench, trail = make_bench(), []
    means = bench.captured()
    record = bench.train(Phase("all", epochs=2, learning_rate=0.1, ema=0.3), callbacks=[Trail(bench, trail)])
    for step, weights in enumerate(trail):
        momentum = min(0.3, (1 + step) / (10 + step))
        means = [momentum * mean + (1 - momentum) * weight for mean, weight in zip(means, weights, strict=True)]
    assert record.best_epoch == 2
    for found, mean in zip(bench.captured(), means, strict=True):
        assert found == pytest.approx(mean, abs=1e-5)
    assert not same(bench.captured(), trail[-1])
    assert bench.validation_loss()[0] == pytest.approx(record.history["val_loss"][1], rel=1e-4)


def test_means_and_decay_of_the_optimizer_itself_are_taken_over(make_bench, eagerly):
    settings = {"learning_rate": 0.1, "epochs": 1}
    own = keras.optimizers.SGD(0.1, weight_decay=0.5, use_ema=True, ema_momentum=0.3)
    _, expected = step_of(make_bench, Phase("all", **settings, weight_decay=0.5, ema=0.3))
    _, found = step_of(make_bench, Phase("all", **settings), optimizer=own)
    _, without = step_of(make_bench, Phase("all", **settings, weight_decay=0.0), optimizer=own)
    assert same(expected.values(), found.values())
    assert not np.array_equal(found["conv1/kernel"], without["conv1/kernel"])
    assert np.array_equal(found["bn1/gamma"], without["bn1/gamma"])


def test_accumulated_batches_are_one_large_batch(make_bench):
    phase = Phase("all", epochs=2, learning_rate=0.1)
    large, small = make_bench(batch_size=8), make_bench(batch_size=4)
    expected = large.train(phase)
    found = small.train(phase, optimizer=keras.optimizers.SGD(gradient_accumulation_steps=2))
    assert found.history["val_loss"] == pytest.approx(expected.history["val_loss"], rel=1e-4)
    for one, other in zip(large.captured(), small.captured(), strict=True):
        assert one == pytest.approx(other, abs=1e-4)


def test_batches_left_over_by_one_phase_do_not_count_in_the_next(make_bench, eagerly):
    """Their gradients belong to weights that are not there any more."""
    bench, trail = make_bench(), []
    # Three batches an epoch: one step, and one batch left over.
    phases = (Phase(train, epochs=1, learning_rate=0.1) for train in ("head", "all"))
    bench.train(*phases, optimizer=keras.optimizers.SGD(gradient_accumulation_steps=2), callbacks=[Trail(bench, trail)])
    assert [not same(*pair) for pair in pairwise(trail[3:])] == [True, False]


OPTIMIZERS = ["sgd", "adam", "adamw", "rmsprop", "lion", "nadam", "adagrad"]
if keras.version() >= "3.15":
    OPTIMIZERS.append("muon")  # that of Keras 3.12 fails on TensorFlow


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_any_optimizer_trains(optimizer, make_bench, eagerly):
    bench = make_bench()
    phase = Phase("all", epochs=1, learning_rate=0.01, weight_decay=0.01, layer_decay=0.8, l2_sp=0.01, ema=0.5)
    before = bench.weights()
    config = {"learning_rate": 0.01, "gradient_accumulation_steps": 2}
    optimizer = keras.optimizers.get({"class_name": optimizer, "config": config})
    record = bench.train(Phase("head", epochs=1, learning_rate=0.01), phase, optimizer=optimizer)
    moved = changed(before, bench.weights())
    assert np.isfinite(record.history["val_loss"]).all()
    assert moved == {path for path in before if "moving" not in path}


def test_class_weights_weigh_the_loss(make_bench, eagerly):
    weights = np.array([0.5, 1.0, 4.0], "float32")
    bench = make_bench(batch_size=24, class_weights=weights)
    logs = bench.train(Phase("all", epochs=1, learning_rate=1e-9)).history
    source = bench.training_data.training
    probabilities = bench.components.whole.predict(source.images, verbose=0)
    losses = -np.log(probabilities[np.arange(24), source.labels])
    assert logs["loss"][0] == pytest.approx((weights[source.labels] * losses).mean(), rel=1e-4)
    held_out = bench.training_data.validation
    probabilities = bench.components.whole.predict(held_out.images, verbose=0)
    losses = -np.log(probabilities[np.arange(12), held_out.labels])
    assert logs["val_loss"][0] == pytest.approx(np.average(losses, weights=weights[held_out.labels]), rel=1e-4)


@pytest.mark.parametrize("task", [MULTICLASS, MULTILABEL])
@pytest.mark.parametrize("cache", ["memory", False])
def test_held_out_images_weigh_in_what_epochs_and_interpolation_are_judged_by(make_bench, eagerly, cache, task):
    training_data = make_bench().training_data
    training, validation = (
        replace(source, targets=np.eye(3, dtype="float32")[source.labels], task=task)
        for source in (training_data.training, training_data.validation)
    )
    images = validation.images.copy()
    images[::2] = np.random.default_rng(1).integers(0, 255, images[::2].shape)  # a judge who knows nothing
    doubtful, half = replace(validation, images=images), np.arange(1, 12, 2)
    found, expected, plain = (
        judged_by(make_bench(training=training, validation=source, batch_size=5), cache)
        for source in (
            replace(doubtful, weights=np.tile([0, 3], 6).astype("float32")),
            doubtful.take(half),
            doubtful,
        )
    )
    for name in ("val_loss", "val_accuracy"):
        assert found.history[name] == pytest.approx(expected.history[name], rel=1e-4)
        assert found.history[name] != pytest.approx(plain.history[name], rel=1e-4)
    assert found.best_loss == pytest.approx(expected.best_loss, rel=1e-3)
    assert found.best_loss != pytest.approx(plain.best_loss, rel=1e-3)


def judged_by(bench, cache):
    return bench.train(Phase("head", epochs=2, learning_rate=0.1, interpolate=True), cache=cache)


def test_what_guessing_would_score_is_weighed(make_bench):
    training_data = make_bench(class_weights=np.array([1, 1, 2], "float32")).training_data
    targets = training_data.targets()
    assert targets.task.guessing_accuracy(targets) == 0.5
    labels = np.array([[1, 0, 0], [1, 1, 0], [1, 0, 1], [0, 0, 1]] * 6, "float32")
    training = replace(
        training_data.training, targets=labels, task=MULTILABEL, weights=np.tile([1, 1, 1, 5], 6).astype("float32")
    )
    targets = make_bench(training=training).training_data.targets()
    assert targets.task.guessing_accuracy(targets) == pytest.approx((5 / 8 + 7 / 8 + 6 / 8) / 3)


# ---- the same again ----


def test_the_seed_decides_everything_and_global_generators_stay(make_bench, eagerly):
    phase = Phase("all", epochs=2, learning_rate=0.05, label_smoothing=0.1)
    states = random.getstate(), np.random.get_state()[1].copy()

    def train(seed, global_seed):
        tf.random.set_seed(global_seed)
        bench = make_bench(seed=seed, dropout=0.3, head=Head(units=(6,), dropout=0.5))
        bench.train(phase)
        return bench.captured()

    one, again, other = train(0, 1), train(0, 2), train(1, 1)
    assert same(one, again)
    assert not same(one, other)
    assert random.getstate() == states[0]
    assert np.array_equal(np.random.get_state()[1], states[1])


def test_dropout_of_a_backbone_that_has_no_seed_gets_one(make_bench, eagerly):
    image = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(4, 3, strides=2, name="conv1")(keras.layers.Rescaling(1 / 255)(image))
    x = keras.layers.Conv2D(4, 3, strides=2, name="conv2")(keras.layers.Dropout(0.5)(x))
    network = keras.Model(image, keras.layers.Conv2D(4, 3, name="conv3")(keras.layers.SpatialDropout2D(0.5)(x)))
    weights = []
    for _ in range(2):
        bench = make_bench(network=network)
        bench.train(Phase("all", epochs=1, learning_rate=0.1))
        weights.append(bench.captured())
    assert same(*weights)


# ---- precision ----


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_trains_float32_weights(precision, make_bench, eagerly):
    # Gradients of the backbone are so small that float16 knows none of them, unless the loss is scaled.
    smallness = 1e-8 if precision == "float16" else 1.0
    bench, dtypes = make_bench(class_weights=np.full(3, smallness, "float32")), []
    before, everywhere = bench.weights(), keras.config.dtype_policy()
    look = AtEpochs(end={0: lambda model: dtypes.extend(layer.compute_dtype for layer in model._flatten_layers())})
    phase = Phase("all", epochs=2, learning_rate=0.1 / smallness)
    with computing_in(bench.components.network, precision):
        record = bench.train(phase, loss_scaling=precision == "float16", callbacks=[look])
    after = bench.weights()
    assert {*dtypes} == {precision, "float32"}
    assert changed(before, after) == {path for path in before if "moving" not in path}
    assert {weight.dtype for weight in after.values()} == {np.dtype("float32")}
    assert record.history["loss"][1] < 0.8 * record.history["loss"][0]
    assert keras.config.dtype_policy() is everywhere
    assert {layer.compute_dtype for layer in bench.components.network._flatten_layers()} == {"float32"}
    assert bench.components.whole.predict(bench.training_data.validation.images, verbose=0).dtype == "float32"


# ---- what goes wrong ----


@pytest.mark.filterwarnings("ignore:(overflow|invalid value|divide by zero):RuntimeWarning")
@pytest.mark.filterwarnings("ignore:__array__")  # that of keras, caught here and raised again from elsewhere
def test_a_loss_that_becomes_nan_stops_everything_and_keeps_the_last_good_weights(make_bench):
    bench, diary = make_bench(), Diary()
    with pytest.warns(ConvergenceWarning) as caught:
        record = bench.train(
            Phase("head", epochs=1, learning_rate=0.01),
            Phase("stage2", epochs=3, learning_rate=1e25, name="too fast"),
            Phase("all", epochs=2),
            callbacks=[diary],
        )
    (message,) = [str(warning.message) for warning in caught if warning.category is ConvergenceWarning]
    assert "became NaN or infinite in epoch 2, in phase 2 ('too fast'), at a learning rate of 1e+25 with SGD" in message
    assert "a rate that is too high" in message
    assert "The last good weights were kept, those of epoch 1." in message
    assert record.history["phase"] == ["head"]
    assert diary.calls == ["begin", "end"]
    assert bench.validation_loss()[0] == pytest.approx(record.history["val_loss"][0], rel=1e-4)


@pytest.mark.filterwarnings("ignore:(overflow|invalid value|divide by zero):RuntimeWarning")
def test_a_loss_that_is_nan_from_the_start_is_an_error(make_bench, eagerly):
    bench = make_bench()
    with pytest.raises(ValueError, match=r"in epoch 1, in phase 1 \('all'\), at a learning rate of 1e\+25 with Adam"):
        bench.train(Phase("all", epochs=2, learning_rate=1e25), optimizer="adam")
    assert bench.components.network.trainable_weights == []


def test_out_of_memory_names_phase_and_batch_and_suggests_numbers(make_bench, eagerly):
    def exhaust(model):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    bench, diary = make_bench(batch_size=12), Diary()
    with pytest.raises(MemoryError, match="ran out of memory in phase 'stage3' with 12 images a batch") as caught:
        bench.train(Phase("stage3", epochs=1), callbacks=[diary, AtEpochs(begin={0: exhaust})])
    advice = "batch_size=6 and an optimizer with gradient_accumulation_steps=2, which gives the same steps"
    assert advice in str(caught.value)
    assert diary.calls == ["begin"]  # as in Keras, so that `BackupAndRestore` and others keep what they have
    assert bench.components.network.trainable_weights == []


def test_other_errors_pass_as_they_are(make_bench, eagerly):
    def fail(model):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        make_bench().train(Phase("head", epochs=1), callbacks=[AtEpochs(begin={0: fail})])


# ---- what it says ----


def test_every_epoch_on_images_gets_a_line(make_bench, eagerly):
    bench = make_bench()
    record = bench.train(Phase("head", epochs=2, learning_rate=0.01, name="first"))
    line = bench.said[1]
    assert line.startswith("Epoch 2 (first): loss ")
    assert f"validation loss {record.history['val_loss'][1]:.3f}" in line


def test_chance_level_is_explained_once(make_bench, eagerly):
    bench = make_bench(batch_size=24)
    bench.train(Phase("head", epochs=5, learning_rate=1e-9, patience=None))
    assert [line.startswith("After 3 epochs the accuracy") for line in bench.said if "guessing" in line] == [True]


def test_a_useless_phase_that_interpolates_leaves_the_best_of_all_phases(make_bench):
    bench = make_bench()
    good = bench.train(Phase("all", epochs=4, learning_rate=0.1))
    bad = [Phase("all", epochs=1, learning_rate=0.3), Phase("all", epochs=1, learning_rate=1e-9, interpolate=True)]
    record = Record()
    record.keep(good.best_loss, 0, bench.captured())
    record.add(0, "before", dict.fromkeys(("loss", "accuracy", "val_loss", "val_accuracy"), good.best_loss), 0.0)
    best = bench.captured()
    bench.train(*bad, record=record)
    assert record.history["val_loss"][-1] > 1.5 * good.best_loss  # the phases were useless
    assert (record.best_epoch, record.is_interpolated) == (0, False)
    assert all(np.array_equal(*pair) for pair in zip(bench.captured(), best, strict=True))
    assert any("Weights of the beginning are better than all these" in text for text in bench.said)


def test_the_beginning_of_an_interpolated_phase_is_called_by_its_own_epoch(make_bench):
    bench = make_bench()
    record = bench.train(
        Phase("all", epochs=3, learning_rate=0.1), Phase("all", epochs=2, learning_rate=1e-9, interpolate=True)
    )
    assert record.is_interpolated
    assert record.best_epoch == 3


def test_a_user_who_stops_in_the_epoch_of_the_phases_patience_is_obeyed(make_bench):
    bench = make_bench()
    phases = [Phase("head", epochs=9, learning_rate=1e-9, patience=1), Phase("stage3", epochs=2, learning_rate=1e-9)]
    stopping = keras.callbacks.EarlyStopping("val_loss", min_delta=1.0, patience=1)
    record = bench.train(*phases, callbacks=[stopping])
    assert stopping.stopped_epoch > 0
    assert set(record.history["phase"]) == {"head"}
    again = make_bench().train(*phases)  # without the user's word, the next phase follows
    assert set(again.history["phase"]) == {"head", "stage3"}


def test_the_loss_of_any_number_of_labels_has_a_gradient_where_probabilities_are_certain():
    logits = tf.constant([[200.0, -200.0], [-200.0, 200.0]])
    targets = np.array([[1.0, 0.0], [1.0, 0.0]])
    for focus in (0.0, 2.0):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss = Options(focus=focus, task=MULTILABEL).loss(targets, tf.sigmoid(logits))
        assert np.isfinite(tape.gradient(loss, logits)).all()
