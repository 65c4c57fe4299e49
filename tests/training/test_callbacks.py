import keras
import numpy as np
import pytest

from transferkit._utils.console import Console, speaking_to
from transferkit.training import callbacks as module
from transferkit.training.callbacks import AcrossPhases, PhaseMonitor, Record, TrainingAdvisor, measure_rate
from transferkit.training.phases import Phase

GOOD = {"loss": 0.5, "accuracy": 0.9, "val_loss": 0.6, "val_accuracy": 0.85}


# ---- the record ----


def test_a_record_is_a_table_with_a_row_an_epoch():
    record = Record()
    record.add(1, "head", GOOD | {"learning_rate": np.float32(0.5)}, 1.23456)
    assert {name: values[0] for name, values in record.history.items()} == GOOD | {
        "epoch": 1,
        "phase": "head",
        "learning_rate": 0.5,
        "seconds": 1.235,
    }
    assert type(record.history["learning_rate"][0]) is float


def test_columns_that_come_late_or_stay_away_are_filled_up():
    record = Record()
    record.add(0, "logistic", GOOD, 0.0)
    record.add(1, "all", GOOD | {"learning_rate": 0.1, "auc": 0.7}, 0.0)
    record.add(2, "all", GOOD, 0.0)
    assert record.history["auc"] == [None, 0.7, None]
    assert record.history["learning_rate"] == [None, 0.1, None]
    assert {len(values) for values in record.history.values()} == {3}


def test_epochs_done_go_on_from_the_last_row():
    record = Record()
    assert record.epochs_done == 0
    record.add(0, "logistic", GOOD, 0.0)
    assert record.epochs_done == 0
    record.add(1, "all", GOOD, 0.0)
    assert record.epochs_done == 1


def test_only_a_lower_finite_loss_is_better():
    record = Record()
    assert record.is_best(2.0)
    assert not record.was_interrupted
    record.keep(2.0, 1, ["weights"])
    assert record.is_best(1.9)
    assert not any(record.is_best(loss) for loss in (2.0, 2.1, float("nan"), float("inf"), -float("inf")))
    assert (record.best_loss, record.best_epoch, record.best_weights) == (2.0, 1, ["weights"])


def test_it_knows_whether_the_best_weights_are_those_of_an_epoch():
    record, found = Record(), []
    assert not record.is_interpolated
    for options in ({"is_interpolated": True}, {}):
        record.keep(2.0, 1, ["weights"], **options)
        found.append(record.is_interpolated)
    assert found == [True, False]


# ---- the monitor of a phase ----


class Means:
    """Stands for an optimizer with running means: tells which of the two sets is in the model."""

    def __init__(self):
        self.in_use = False

    def swap_means(self):
        self.in_use = not self.in_use


class Watched:
    """A monitor with what it watches, for epochs told to it by hand."""

    def __init__(self, record=None, **phase):
        self.record, self.means, self.rows, self.steps, self.taken = record or Record(), Means(), [], 0, 0
        self.monitor = PhaseMonitor(
            self.record,
            Phase(**phase),
            self.means,
            self.take,
            self.advance,
            100,
            lambda row, rate: self.rows.append((row, rate)),
        )
        self.monitor.set_model(keras.Sequential())
        self.monitor.model.stop_training = False

    def advance(self, count):
        self.steps += count

    def take(self):
        self.taken += 1
        assert self.means.in_use, "the running means are what counts"
        return [self.taken]

    def epoch(self, val_loss, number=None, batches=6, loss=0.5):
        number = self.record.epochs_done if number is None else number
        self.monitor.on_epoch_begin(number)
        for batch in range(batches):
            self.monitor.on_train_batch_end(batch, {"loss": loss})
        logs = GOOD | {"loss": loss, "log_loss": 0.4, "val_loss": val_loss + 7, "val_log_loss": val_loss}
        self.monitor.on_epoch_end(number, logs)
        return logs


def test_the_lowest_loss_of_all_phases_counts_and_the_first_epoch_has_number_one():
    record = Record()
    record.keep(0.5, 0, ["the head"])
    watched = Watched(record)
    watched.epoch(0.8), watched.epoch(0.6)
    assert (record.best_loss, record.best_epoch, record.best_weights) == (0.5, 0, ["the head"])
    assert watched.monitor.phase_best == (0.6, [2], 2)
    watched.epoch(0.4), watched.epoch(0.7)
    assert (record.best_loss, record.best_epoch, record.best_weights) == (0.4, 3, [3])
    assert watched.monitor.phase_best == (0.4, [3], 3)
    assert record.history["epoch"] == [1, 2, 3, 4]
    assert watched.taken == 3  # weights are copied when there is a reason
    assert not watched.means.in_use


def test_the_first_of_equally_good_epochs_is_the_best():
    record = Record()
    record.keep(0.5, 0, ["the head"])
    watched = Watched(record)
    for loss in (0.6, 0.6, 0.4, 0.4):
        watched.epoch(loss)
        if loss == 0.6:
            assert watched.monitor.phase_best == (0.6, [1], 1)
    assert watched.monitor.phase_best == (0.4, [2], 3)
    assert record.best_epoch == 3


def test_the_log_loss_stands_for_keras_loss_with_its_penalties():
    watched = Watched()
    logs = watched.epoch(0.8)
    assert logs["val_loss"] == 0.8  # for the callbacks of the user, too
    assert not [name for name in logs if "log_loss" in name]
    assert watched.record.history["val_loss"] == [0.8]


def test_patience_counts_epochs_that_are_not_the_best_of_all():
    record = Record()
    record.keep(0.5, 0, ["the head"])
    watched = Watched(record, patience=3)
    for loss in (0.9, 0.4, 0.8, 0.7):
        watched.epoch(loss)
    assert not watched.monitor.model.stop_training
    watched.epoch(0.6)
    assert watched.monitor.model.stop_training
    assert watched.monitor.has_converged
    assert not watched.monitor.has_diverged


def test_a_phase_that_never_gets_better_than_those_before_has_its_whole_patience():
    record = Record()
    record.keep(0.5, 0, ["the head"])
    watched, stopped = Watched(record, patience=2), []
    for loss in (0.9, 0.8):
        watched.epoch(loss)
        stopped.append(watched.monitor.model.stop_training)
    assert stopped == [False, True]


def test_without_patience_a_phase_never_ends_early():
    watched = Watched(patience=None)
    for loss in (0.5, *[0.9] * 20):
        watched.epoch(loss)
    assert not watched.monitor.model.stop_training
    assert not watched.monitor.has_converged


@pytest.mark.parametrize("how", [{"loss": float("nan")}, {"loss": float("inf")}, {"val_loss": float("nan")}])
def test_a_loss_that_is_no_number_ends_training_and_leaves_no_row(how):
    watched = Watched()
    watched.epoch(0.5)
    watched.epoch(**({"val_loss": 0.4} | how))
    assert watched.monitor.has_diverged
    assert watched.monitor.model.stop_training
    assert watched.record.history["epoch"] == [1]
    assert watched.record.best_epoch == 1


def test_a_diverged_batch_ends_training_at_once():
    watched = Watched()
    watched.monitor.on_epoch_begin(0)
    watched.monitor.on_train_batch_end(0, {"loss": float("nan")})
    assert watched.monitor.model.stop_training


def test_running_means_are_in_use_during_validation_only():
    watched = Watched()
    watched.monitor.on_test_begin()
    assert watched.means.in_use
    watched.monitor.on_test_end()
    assert not watched.means.in_use


def test_rows_and_steps_are_told_and_the_rate_leaves_out_the_step_that_is_traced(monkeypatch):
    times = iter([1.0, 9.0, 9.5, 10.0, 10.5, 11.0, 20.0])  # an epoch begins, five steps end, validation ends
    monkeypatch.setattr(module.time, "perf_counter", lambda: next(times))
    watched = Watched()
    watched.epoch(0.5, batches=5)
    row, rate = watched.rows[0]
    assert watched.steps == 5
    assert row["seconds"] == 19.0
    assert rate == pytest.approx(100 / 2.5)


def test_too_few_steps_tell_no_rate():
    watched = Watched()
    watched.epoch(0.5, batches=4)
    assert watched.rows[0][1] is None


# ---- callbacks of the user ----


class Diary(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.told = []

    def set_model(self, model):
        super().set_model(model)
        self.told.append("model")


for _name in (
    "on_train_begin",
    "on_train_end",
    "on_epoch_begin",
    "on_epoch_end",
    "on_train_batch_begin",
    "on_train_batch_end",
    "on_test_begin",
    "on_test_end",
    "on_test_batch_begin",
    "on_test_batch_end",
):
    setattr(Diary, _name, lambda self, *args, _name=_name, **kwargs: self.told.append(_name))


def test_two_trainings_are_one_to_callbacks_of_the_user():
    diary = Diary()
    across, told = AcrossPhases([diary], epochs=4), []
    for first in (0, 2):
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse", run_eagerly=True)
        data = np.ones((2, 1)), np.ones((2, 1))
        model.fit(*data, validation_data=data, initial_epoch=first, epochs=first + 2, callbacks=[across], verbose=0)
        assert diary.model is model
        assert diary.params["epochs"] == 4
        told.append(diary.told)
        diary.told = []
    across.finish()
    epoch = [
        "on_epoch_begin",
        "on_train_batch_begin",
        "on_train_batch_end",
        "on_test_begin",
        "on_test_batch_begin",
        "on_test_batch_end",
        "on_test_end",
        "on_epoch_end",
    ]
    assert told[0] == ["model", "on_train_begin", *epoch, *epoch]
    assert told[1] == ["model", *epoch, *epoch]
    assert diary.told == ["on_train_end"]


def test_who_was_not_told_of_the_beginning_is_not_told_of_the_end():
    diary = Diary()
    AcrossPhases([diary], epochs=1).finish()
    assert diary.told == []


# ---- words ----


def history(accuracy, val_accuracy, seconds=1.0, val_loss=1.0):
    losses, times = [val_loss] * len(accuracy), [seconds] * len(accuracy)
    return {"accuracy": accuracy, "val_accuracy": val_accuracy, "seconds": times, "val_loss": losses}


@pytest.fixture
def said():
    """What people are told."""
    told, console = [], Console(0)
    console.note = told.append
    with speaking_to(console):
        yield told


def test_chance_level_is_named_once_after_three_epochs(said):
    advisor = TrainingAdvisor(largest_class=0.4)
    for epochs in (1, 2):
        advisor.comment(history([0.4] * epochs, [0.38] * epochs))
    assert said == []
    for epochs in (3, 4, 5):
        advisor.comment(history([0.4] * epochs, [0.38] * epochs))
    (text,) = said
    assert text.startswith("After 3 epochs the accuracy, 0.38, is near what guessing the largest class gives (0.40).")
    assert "`find_learning_rate`" in text


@pytest.mark.parametrize(("accuracy", "val_accuracy"), [([0.4, 0.4, 0.47], [0.4] * 3), ([0.4] * 3, [0.47, 0.4, 0.4])])
def test_who_once_learnt_something_is_not_at_chance(said, accuracy, val_accuracy):
    TrainingAdvisor(largest_class=0.4).comment(history(accuracy, val_accuracy))
    assert said == []


def test_chance_is_what_the_largest_class_gives(said):
    flat = history([0.9] * 3, [0.9] * 3)
    TrainingAdvisor(largest_class=0.5).comment(flat)
    assert said == []
    TrainingAdvisor(largest_class=0.9).comment(flat)
    assert len(said) == 1


def test_learning_by_heart_is_named_once(said):
    advisor = TrainingAdvisor(largest_class=0.1)
    advisor.comment(history([0.9] * 3, [0.75] * 3))
    advisor.comment(history([0.95] * 2, [0.7] * 2))  # too early to tell
    assert said == []
    for epochs in (3, 4, 5):
        advisor.comment(history([0.95] * epochs, [0.7] * epochs))
    (text,) = said
    assert text.startswith("The training accuracy, 0.95, is far above the validation accuracy, 0.70")


def test_a_gap_that_chance_may_have_made_is_not_called_learning_by_heart(said):
    gap = history([0.8] * 3, [0.5] * 3)
    TrainingAdvisor(largest_class=0.1, num_held_out=20).comment(gap)
    assert said == []
    TrainingAdvisor(largest_class=0.1, num_held_out=2000).comment(gap)
    assert len(said) == 1


@pytest.mark.parametrize(("val_accuracy", "num_said"), [(0.59, 1), (0.61, 0)])
def test_the_gap_of_the_last_epoch_counts_beyond_two_standard_errors(said, val_accuracy, num_said):
    # Of 100 images the standard error is at most 0.05, so that the limit is 0.2 + 0.1.
    gap = history([0.05, 0.05, 0.9], [0.05, 0.05, val_accuracy])
    TrainingAdvisor(largest_class=0.1, num_held_out=100).comment(gap)
    assert len(said) == num_said


def test_a_loss_that_exploded_without_becoming_nan_is_named(said):
    advisor = TrainingAdvisor(largest_class=0.5)
    for _ in range(2):
        advisor.comment(history([0.9], [0.5], val_loss=1e6))
    (text,) = said
    assert text.startswith("The validation loss, 1e+06, is far above that of guessing: the learning rate is too high.")


@pytest.mark.parametrize(("largest_class", "limit"), [(0.1, 23.03), (0.5, 6.931), (0.9, 6.931)])
def test_exploded_is_ten_times_the_loss_of_guessing_between_two_classes_at_least(said, largest_class, limit):
    advisor = TrainingAdvisor(largest_class)
    advisor.comment(history([0.9], [0.9], val_loss=0.99 * limit))
    assert said == []
    advisor.comment(history([0.9], [0.9], val_loss=1.01 * limit))
    assert len(said) == 1


@pytest.mark.parametrize(("alone", "waits_for"), [(120.0, "data"), (149.0, "data"), (151.0, "compute")])
def test_it_says_once_what_the_run_waits_for(said, alone, waits_for):
    advisor = TrainingAdvisor(largest_class=0.1)
    for epochs in (1, 2):
        advisor.comment(history([0.5] * epochs, [0.5] * epochs, seconds=5.0), rate=100.0, input_rate=lambda: alone)
    (text,) = said
    assert f"100 images a second; reading and augmenting alone would give {alone:,.0f}" in text
    assert f"The run waits for {waits_for}" in text
    assert ("more CPU cores would help" in text) == (waits_for == "data")


def test_short_epochs_and_features_wait_for_nothing_worth_measuring(said):
    advisor = TrainingAdvisor(largest_class=0.1)
    advisor.comment(history([0.5], [0.5], seconds=4.9), rate=100.0, input_rate=pytest.fail)
    advisor.comment(history([0.5], [0.5], seconds=99.0), rate=None, input_rate=pytest.fail)
    assert said == []


def test_the_rate_of_a_stream_leaves_out_its_start(monkeypatch):
    times = iter([5.0, 5.1, 5.2, 5.4, 5.4])  # after the first batch, then at each of three, and at the end
    monkeypatch.setattr(module.time, "perf_counter", lambda: next(times))
    batches = [(np.zeros((count, 1)), None) for count in (100, 10, 10, 20)]
    assert measure_rate(batches) == pytest.approx(40 / 0.4)


def test_a_stream_is_measured_for_little_more_than_a_second(monkeypatch):
    times = iter([5.0, 5.9, 6.2, 6.25, 6.3, 6.3])
    monkeypatch.setattr(module.time, "perf_counter", lambda: next(times))
    read = []
    batches = (read.append(count) or (np.zeros((count, 1)), None) for count in (100, 10, 20, 30, 40))
    assert measure_rate(batches) == pytest.approx(30 / 1.25)
    assert read == [100, 10, 20]


def test_the_rate_of_one_batch_is_no_hindrance():
    assert measure_rate([(np.zeros((5, 1)), None)]) == float("inf")
    assert measure_rate([]) == float("inf")


def test_an_epoch_that_was_cut_short_has_the_rate_of_its_steps(monkeypatch):
    times = iter([0.0, 9.0, 9.5, 10.0, 10.5, 11.0, 20.0])
    monkeypatch.setattr(module.time, "perf_counter", lambda: next(times))
    watched = Watched()
    watched.monitor.set_params({"steps": 25})  # 4 images each
    watched.epoch(0.5, batches=5)
    assert watched.rows[0][1] == pytest.approx(4 / 0.5)


class Stopper(keras.callbacks.Callback):
    def __init__(self, hook):
        super().__init__()
        setattr(self, hook, lambda *args, **kwargs: setattr(self.model, "stop_training", True))


@pytest.mark.parametrize("hook", ["on_epoch_end", "on_train_batch_end", "on_test_end", None])
def test_callbacks_of_the_user_that_stop_are_told_from_the_end_of_a_phase(hook):
    phase, across = Stopper("on_epoch_end"), AcrossPhases([Stopper(hook)] if hook else [], epochs=3)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    data = np.ones((2, 1)), np.ones((2, 1))
    model.fit(*data, validation_data=data, epochs=3, callbacks=[phase, across], verbose=0)
    assert model.stop_training
    assert across.has_stopped == (hook is not None)
