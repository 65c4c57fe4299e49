"""The classifier with schedules that train the backbone, as a user sees it."""

import random
import signal
from dataclasses import replace

import keras
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import log_loss
from sklearn.model_selection import cross_val_score
from tensorflow.keras.preprocessing.image import ImageDataGenerator

from transferkit import Augmentation, Head, Phase, TransferClassifier
from transferkit.backbones.stages import stage_layers

FAST = {"verbose": 0, "batch_size": 8}
SHORT = [Phase("logistic"), Phase("stage2", epochs=1), Phase("all", epochs=1, learning_rate=1e-4)]


def statistics(model):
    return [
        layer.moving_variance.numpy()
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
    ]


@pytest.fixture(scope="module")
def fine_tuned(tiny_backbone, images, labels):
    return TransferClassifier(tiny_backbone, schedule="fine_tune", epochs=2, **FAST).fit(images, labels)


@pytest.mark.parametrize("schedule", ["linear", "head", "fine_tune", "gradual", "all", "auto", SHORT])
@pytest.mark.parametrize("head", ["logistic", Head(units=(8,))])
def test_every_schedule_trains_every_head(tiny_backbone, images, labels, schedule, head):
    if schedule is SHORT and head != "logistic":
        schedule = SHORT[1:]
    clf = TransferClassifier(tiny_backbone, head=head, schedule=schedule, epochs=2, **FAST).fit(images, labels)
    assert clf.predict_proba(images).sum(axis=1) == pytest.approx(1, abs=1e-5)
    before, after = statistics(tiny_backbone.build()), statistics(clf.model_)
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_the_history_counts_epochs_over_all_phases(fine_tuned):
    history = fine_tuned.history_
    assert history["epoch"] == [0, 1, 2]
    assert history["phase"] == ["linear", "all", "all"]
    assert history["learning_rate"][0] is None
    assert {len(column) for column in history.values()} == {3}


def test_a_fine_tuned_classifier_survives_saving(fine_tuned, images, tmp_path):
    fine_tuned.save(tmp_path / "a.keras")
    again = TransferClassifier.load(tmp_path / "a.keras")
    assert np.array_equal(again.predict_proba(images), fine_tuned.predict_proba(images))
    assert again.phases_ == fine_tuned.phases_
    assert again.history_ == fine_tuned.history_
    plain = keras.saving.load_model(tmp_path / "a.keras")
    assert np.allclose(plain(images), fine_tuned.predict_proba(images), atol=1e-6)


def test_a_network_of_the_user_is_not_trained_anew_from_weights_that_have_seen_the_images(
    tiny_backbone, images, labels, tmp_path
):
    tuned = TransferClassifier(tiny_backbone, schedule="all", epochs=1, learning_rate=0.01, **FAST).fit(images, labels)
    tuned.save(tmp_path / "a.keras")
    again = TransferClassifier.load(tmp_path / "a.keras").set_params(schedule="linear", verbose=0)
    again.save(tmp_path / "b.keras")
    for stale in (again, clone(again), TransferClassifier.load(tmp_path / "b.keras")):
        with pytest.raises(ValueError, match=r"comes from the file of .*Give `backbone` the network from before"):
            stale.fit(images, labels)
    with pytest.raises(ValueError, match="neither training nor cross-validation would start anew"):
        clone(again).find_learning_rate(images, labels)
    first = TransferClassifier(tiny_backbone, verbose=0).fit(images, labels).predict_proba(images)
    renewed = clone(again).set_params(backbone=tiny_backbone).fit(images, labels)
    assert np.allclose(renewed.predict_proba(images), first, atol=1e-5)
    onwards = clone(again).set_params(backbone=replace(again.backbone_, is_fine_tuned=False)).fit(images, labels)
    assert not np.allclose(onwards.predict_proba(images), first, atol=1e-3)
    networks = [clf.model_.get_layer("backbone").get_weights() for clf in (onwards, tuned)]
    assert all(np.array_equal(a, b) for a, b in zip(*networks, strict=True))


def test_a_lora_phase_leaves_an_ordinary_file(tiny_backbone, images, labels, tmp_path, in_fresh_process):
    schedule = [Phase("lora", epochs=1, lora_rank=2, learning_rate=0.01)]
    clf = TransferClassifier(tiny_backbone, schedule=schedule, **FAST).fit(images, labels)
    clf.save(tmp_path / "a.keras")
    np.save(tmp_path / "images.npy", images)
    code = (
        "import sys, keras, numpy as np\n"
        "model = keras.saving.load_model(sys.argv[1])\n"
        "assert 'transferkit' not in sys.modules\n"
        "np.save(sys.argv[3], model.predict(np.load(sys.argv[2]), verbose=0))"
    )
    in_fresh_process(code, tmp_path / "a.keras", tmp_path / "images.npy", tmp_path / "out.npy")
    assert np.allclose(np.load(tmp_path / "out.npy"), clf.predict_proba(images), atol=1e-6)
    assert clf.model_.count_params() == fitted_size(tiny_backbone, images, labels)


def fitted_size(backbone, images, labels):
    return TransferClassifier(backbone, verbose=0).fit(images, labels).model_.count_params()


def test_the_same_seed_gives_the_same_weights(tiny_backbone, images, labels):
    weights = []
    for _ in range(2):
        clf = TransferClassifier(tiny_backbone, schedule="fine_tune", epochs=1, seed=3, **FAST).fit(images, labels)
        weights.append(clf.model_.get_weights())
    assert all(np.array_equal(a, b) for a, b in zip(*weights, strict=True))


def test_files_and_arrays_train_alike(tiny_backbone, images, labels, image_paths):
    schedule = [Phase("all", epochs=1)]
    options = {"schedule": schedule, "augmentation": None, **FAST}
    fitted = [TransferClassifier(tiny_backbone, **options).fit(x, labels) for x in (images, image_paths)]
    a, b = (clf.predict_proba(images) for clf in fitted)
    assert np.allclose(a, b, atol=1e-5)


def test_auto_says_what_it_chose_and_why(tiny_backbone, images, labels, capsys):
    TransferClassifier(tiny_backbone, schedule="auto", verbose=2).fit(images, labels)
    assert "Schedule 'linear': 8 images a class are fewer than 20" in capsys.readouterr().out


def test_fine_tuning_that_does_not_help_ends_with_the_logistic_head_on_all_images(tiny_backbone, images, labels):
    hopeless = Phase("all", epochs=1, learning_rate=3.0, interpolate=True)
    clf = TransferClassifier(tiny_backbone, schedule=[Phase("logistic"), hopeless], **FAST).fit(images, labels)
    linear = TransferClassifier(tiny_backbone, **FAST).fit(images, labels)
    assert np.allclose(clf.predict_proba(images), linear.predict_proba(images), atol=1e-5)


@pytest.mark.parametrize(
    "schedule",
    [
        [Phase("head", epochs=2)],
        [Phase("all", epochs=1, learning_rate=0.02), Phase("head", epochs=2, learning_rate=0.01)],
        [Phase("lora", epochs=2, lora_rank=2, learning_rate=0.01)],
        [Phase("all", epochs=3, ema=0.5)],
    ],
    ids=["features", "features of another backbone", "adapters", "running means"],
)
def test_the_validation_loss_in_the_history_is_that_of_the_classifier(tiny_backbone, images, labels, schedule):
    rng = np.random.default_rng(0)
    held_out = rng.permutation(images), rng.permutation(labels)
    clf = TransferClassifier(tiny_backbone, schedule=schedule, **FAST).fit(images, labels, validation_data=held_out)
    expected = log_loss(held_out[1], clf.predict_proba(held_out[0]), labels=clf.classes_)
    assert min(clf.history_["val_loss"]) == pytest.approx(expected, rel=1e-4)


def test_a_checkpoint_of_running_means_holds_what_was_validated(tiny_backbone, images, labels, tmp_path):
    checkpoint = keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras")
    clf = TransferClassifier(tiny_backbone, schedule=[Phase("all", epochs=2, ema=0.5, learning_rate=0.01)], **FAST)
    clf.fit(images, labels, validation_data=(images, labels), callbacks=[checkpoint])
    for epoch, loss in zip(clf.history_["epoch"], clf.history_["val_loss"], strict=True):
        probabilities = np.asarray(keras.saving.load_model(tmp_path / f"{epoch}.keras")(images), "float64")
        own = probabilities[np.arange(len(labels)), np.searchsorted(clf.classes_, labels)]
        assert -np.log(own).mean() == pytest.approx(loss, rel=1e-4)


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        (keras.callbacks.CSVLogger("a.csv"), "`callbacks` must be a list of Keras callbacks. Received: CSVLogger"),
        ([keras.callbacks.TerminateOnNaN], "must hold keras.callbacks.Callback objects"),
        ([keras.callbacks.BackupAndRestore("backup")], "would resume a schedule in the wrong phase"),
    ],
)
def test_callbacks_that_cannot_work_are_refused_first(tiny_backbone, images, labels, callbacks, message):
    with pytest.raises(TypeError, match=message):
        TransferClassifier(tiny_backbone, schedule="all", **FAST).fit(images, labels, callbacks=callbacks)


@pytest.mark.parametrize("count", [2, 3])
def test_a_few_images_a_class_are_enough_to_fine_tune(tiny_backbone, images, labels, count):
    rows = np.concatenate([np.flatnonzero(labels == name)[:count] for name in np.unique(labels)])
    clf = TransferClassifier(tiny_backbone, schedule="fine_tune", epochs=1, **FAST)
    assert clf.fit(images[rows], labels[rows]).predict_proba(images).shape == (len(images), 3)


def test_what_cannot_be_read_back_is_left_out_and_said(tiny_backbone, images, labels, tmp_path):
    class Mine(keras.layers.Layer):
        def call(self, images):
            return images

    clf = TransferClassifier(tiny_backbone, schedule="all", epochs=1, augmentation=[Mine()], **FAST)
    clf.fit(images, labels).save(tmp_path / "a.keras")
    with pytest.warns(UserWarning, match="`augmentation` could not be read back and has its default"):
        again = TransferClassifier.load(tmp_path / "a.keras")
    assert np.array_equal(again.predict_proba(images), clf.predict_proba(images))


def test_class_weights_reach_solver_and_optimizer(tiny_backbone, images, labels):
    rng = np.random.default_rng(0)
    for schedule in ("linear", "head"):
        shuffled = rng.permutation(labels)  # nothing can be learnt, so that the weights decide
        options = {"schedule": schedule, "epochs": 5, "learning_rate": 0.3, **FAST}
        plain = TransferClassifier(tiny_backbone, **options).fit(images, shuffled)
        heavy = TransferClassifier(tiny_backbone, class_weight={"red": 50.0}, **options).fit(images, shuffled)
        red = list(heavy.classes_).index("red")
        assert heavy.predict_proba(images)[:, red].mean() > plain.predict_proba(images)[:, red].mean() + 0.2


def test_a_class_weight_for_an_unknown_class_is_refused(tiny_backbone, images, labels):
    with pytest.raises(
        ValueError, match="not in the data: \\['pink'\\]. The classes are: \\['blue', 'green', 'red'\\]"
    ):
        TransferClassifier(tiny_backbone, class_weight={"pink": 2.0}, verbose=0).fit(images, labels)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"schedule": "finetune"}, "Unknown schedule. Received: schedule='finetune'. Expected one of 'linear'"),
        ({"schedule": []}, "`schedule` is an empty list"),
        ({"schedule": [Phase("stage9")]}, "Unknown stage 'stage9'.*stages of this backbone are: stage1, stage2"),
        ({"schedule": [Phase(["stage1", "stage9"])]}, "Unknown stage 'stage9'"),
        ({"schedule": [Phase("head"), Phase("logistic")]}, "must be the first of a schedule"),
        ({"schedule": [Phase("logistic")], "head": Head()}, "goes with head='logistic' only"),
        ({"learning_rate": 0.0}, "`learning_rate` must be positive and finite. Received: learning_rate=0.0"),
        ({"epochs": 0}, "`epochs` must be an integer from 1. Received: epochs=0"),
        ({"class_weight": "heavy"}, "`class_weight` must be None, 'balanced', 'effective_number' or"),
        ({"augmentation": "wild"}, "Unknown `augmentation`"),
        ({"augmentation": ImageDataGenerator(rescale=1 / 255)}, "rescale"),
    ],
)
def test_wrong_arguments_are_explained(tiny_backbone, images, labels, arguments, message):
    with pytest.raises(ValueError, match=message):
        TransferClassifier(tiny_backbone, **arguments, verbose=0).fit(images, labels)


def test_a_schedule_of_other_things_is_refused(tiny_backbone, images, labels):
    with pytest.raises(TypeError, match="`schedule` must be a name or a list of Phase"):
        TransferClassifier(tiny_backbone, schedule=["all"], verbose=0).fit(images, labels)


def test_a_generator_is_read_once(tiny_backbone, images, labels):
    def batches():
        for start in range(0, len(images), 8):
            yield images[start : start + 8], labels[start : start + 8]

    clf = TransferClassifier(tiny_backbone, **FAST).fit(batches(), steps_per_epoch=3)
    plain = TransferClassifier(tiny_backbone, **FAST).fit(images, labels)
    assert np.array_equal(clf.predict_proba(images), plain.predict_proba(images))


def test_the_summary_counts_what_trains(tiny_backbone, capsys):
    clf = TransferClassifier(tiny_backbone, schedule=[Phase("logistic"), Phase("stage2"), Phase("all")], verbose=0)
    clf.summary(num_classes=3, num_images=100)
    out = capsys.readouterr().out
    network = tiny_backbone.build()
    members = stage_layers(network, tiny_backbone.stages)
    head = 12 * 3 + 3
    row = next(line.split() for line in out.splitlines() if line.startswith("trainable"))
    stage2 = sum(weight.numpy().size for layer in members["stage2"] for weight in layer.trainable_weights)
    trainable = sum(weight.numpy().size for weight in network.trainable_weights)
    assert [int(cell.replace(",", "")) for cell in row[-3:]] == [head, stage2 + head, trainable + head]
    assert "3 classes, schedule: 3 phases" in out
    assert "100" not in out.split("1: logistic: solved")[0]


def test_the_summary_of_a_fitted_classifier_shows_the_phases_that_ran(fine_tuned, capsys):
    fine_tuned.summary()
    out = capsys.readouterr().out
    assert "2: all: at most 2 epochs, rate" in out
    assert "(assumed)" not in out


def test_finding_a_learning_rate_changes_nothing(fine_tuned, images, labels):
    weights = fine_tuned.model_.get_weights()
    python, numpy = random.getstate(), np.random.get_state()
    curve = fine_tuned.find_learning_rate(images, labels, smallest=1e-5, largest=100.0, steps=30)
    assert all(np.array_equal(a, b) for a, b in zip(weights, fine_tuned.model_.get_weights(), strict=True))
    assert random.getstate() == python
    assert all(np.array_equal(a, b) for a, b in zip(np.random.get_state(), numpy, strict=True))
    assert 1e-6 < curve.suggestion < 100
    assert len(curve.losses) == len(curve.learning_rates) < 30  # it exploded


def test_a_learning_rate_can_be_found_before_fitting(tiny_backbone, images, labels):
    clf = TransferClassifier(tiny_backbone, **FAST)
    curve = clf.find_learning_rate(images, labels, train="stage2", steps=10)
    assert len(curve.losses) == 10
    assert not hasattr(clf, "model_")
    assert curve.plot().get_xlabel() == "learning rate"


def test_the_augmentation_can_be_seen(tiny_backbone, images):
    clf = TransferClassifier(tiny_backbone, augmentation="strong", verbose=0)
    figure = clf.show_augmentation(images[:3], copies=2)
    assert len(figure.axes) == 9
    original, first, second = (figure.axes[i].images[0].get_array() for i in range(3))
    assert original.shape == (16, 16, 3)
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(
    "augmentation",
    [Augmentation(horizontal_flip=True), ImageDataGenerator(zoom_range=0.2), [keras.layers.RandomFlip(seed=1)]],
    ids=["own", "generator", "layers"],
)
def test_every_kind_of_augmentation_trains_and_is_saved(tiny_backbone, images, labels, augmentation, tmp_path):
    clf = TransferClassifier(tiny_backbone, schedule="all", epochs=1, augmentation=augmentation, **FAST)
    clf.fit(images, labels).save(tmp_path / "a.keras")
    again = TransferClassifier.load(tmp_path / "a.keras")
    pictures = [clf.show_augmentation(images[:2]).axes[1].images[0].get_array() for clf in (clf, again)]
    assert np.array_equal(*pictures)


def test_a_distribution_strategy_trains_every_schedule_and_task(tmp_path, images, labels, in_fresh_process):
    np.savez(tmp_path / "data.npz", images=images, labels=labels)
    code = """
import sys, keras, numpy as np, tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
from transferkit import Compute, Head, Phase, TransferClassifier
data = np.load(sys.argv[1])
x, y = data["images"], data["labels"]
codes = np.unique(y, return_inverse=True)[1]
shares = np.eye(3)[codes] * 0.8 + 0.2 / 3
sets = [{"a", "b"} if code == 0 else {"b"} if code == 1 else set() for code in codes]
image = keras.Input((16, 16, 3))
h = keras.layers.Conv2D(4, 3, strides=2, kernel_initializer=keras.initializers.RandomNormal(stddev=0.1, seed=1))(image)
network = keras.Model(image, keras.layers.BatchNormalization()(h))
phases = [Phase("logistic"), Phase("all", epochs=2, ema=0.9, l2_sp=1e-3, weight_decay=1e-3, learning_rate=1e-3)]
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
for labels, schedule, head in (
    (y, phases, "logistic"), (y, "linear", "logistic"), (y, "fine_tune", "logistic"), (y, "gradual", "logistic"),
    (y, "fine_tune", Head(units=(4,), dropout=0.0)), (y, "all", Head(units=())), (shares, "fine_tune", "logistic"),
    (sets, "linear", "logistic"), (sets, "fine_tune", "logistic"), (sets, "all", Head(units=())),
):
    options = {"schedule": schedule, "head": head, "batch_size": 8, "verbose": 0, "augmentation": None, "epochs": 2}
    alone = TransferClassifier(network, **options).fit(x, labels)
    together = TransferClassifier(network, compute=Compute(strategy=strategy), **options).fit(x, labels)
    thresholds = [0.0 if clf.thresholds_ is None else clf.thresholds_ for clf in (alone, together)]
    print("difference", np.abs(alone.predict_proba(x) - together.predict_proba(x)).max(),
          np.abs(thresholds[0] - thresholds[1]).max())
"""
    lines = in_fresh_process(code, tmp_path / "data.npz").splitlines()
    differences = np.array([line.split()[1:] for line in lines if line.startswith("difference")], float)
    assert differences.shape == (10, 2)
    assert differences.max() < 2e-3


# ---- interrupted ----


@pytest.fixture(autouse=True)
def ctrl_c_is_heard():
    """Who runs the tests in the background of a shell has it ignored, and Python then leaves it so."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Interrupting(keras.callbacks.Callback):
    """Does as Ctrl-C does, in a step of some epoch."""

    def __init__(self, epoch):
        super().__init__()
        self.last = epoch

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == self.last:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize(
    ("schedule", "epoch", "options"),
    [
        ("all", 2, {}),
        ("fine_tune", 0, {}),
        ([Phase("lora", epochs=3, lora_rank=2, learning_rate=0.01, ema=0.5)], 1, {"balance": "crt"}),
    ],
    ids=["epochs", "the head before", "adapters and means"],
)
def test_an_interrupted_fit_leaves_the_best_weights_so_far(
    tiny_backbone, images, labels, schedule, epoch, options, capsys
):
    clf = TransferClassifier(tiny_backbone, schedule=schedule, epochs=5, batch_size=8, verbose=2, **options)
    with pytest.raises(KeyboardInterrupt):
        clf.fit(images, labels, validation_data=(images, labels), callbacks=[Interrupting(epoch)])
    losses = clf.history_["val_loss"]
    assert max(clf.history_["epoch"]) == epoch
    assert log_loss(labels, clf.predict_proba(images), labels=clf.classes_) == pytest.approx(min(losses), rel=1e-4)
    out = capsys.readouterr().out
    assert f"Interrupted after {epoch} epoch" in out
    assert f"with a validation loss of {min(losses):.3f}" in out


def test_an_interrupted_classifier_of_many_labels_has_its_thresholds(tiny_backbone, images, labels, tmp_path):
    targets = np.stack([labels == "red", np.arange(len(labels)) % 2], axis=1).astype(int)
    clf = TransferClassifier(tiny_backbone, schedule="all", epochs=3, **FAST)
    with pytest.raises(KeyboardInterrupt):
        clf.fit(images, targets, callbacks=[Interrupting(1)])
    assert clf.thresholds_.shape == (2,)
    clf.save(tmp_path / "a.keras")
    again = TransferClassifier.load(tmp_path / "a.keras")
    assert np.array_equal(again.predict_proba(images), clf.predict_proba(images))


def test_an_interruption_while_everything_is_finished_keeps_the_best_epoch(tiny_backbone, images, labels, monkeypatch):
    clf = TransferClassifier(tiny_backbone, schedule=[Phase("head", epochs=2)], balance="crt", **FAST)

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("transferkit.training.trainer.fit_logistic_head", interrupt)
    with pytest.raises(KeyboardInterrupt):
        clf.fit(images, labels, validation_data=(images, labels))
    loss = log_loss(labels, clf.predict_proba(images), labels=clf.classes_)
    assert loss == pytest.approx(min(clf.history_["val_loss"]), rel=1e-4)


def test_an_interruption_before_anything_is_there_leaves_nothing(tiny_backbone, images, labels):
    clf = TransferClassifier(tiny_backbone, schedule="all", **FAST)
    with pytest.raises(KeyboardInterrupt):
        clf.fit(images, labels, callbacks=[Interrupting(0)])
    assert not hasattr(clf, "model_")


class InterruptedClassifier(TransferClassifier):
    fits = 0

    def fit(self, x, y):
        type(self).fits += 1
        return super().fit(x, y, callbacks=[Interrupting(0)])


def test_an_interruption_ends_a_cross_validation(tiny_backbone, images, labels):
    clf = InterruptedClassifier(tiny_backbone, schedule="fine_tune", epochs=1, **FAST)
    with pytest.raises(KeyboardInterrupt):
        cross_val_score(clf, images, labels, cv=3)
    assert InterruptedClassifier.fits == 1
