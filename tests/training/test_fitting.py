"""From a request and images to a fitted classifier, without the estimator around it."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from transferkit import Checks, Compute, FittedClassifier, Phase, TransferClassifier
from transferkit._utils.console import Console, speaking_to
from transferkit.data.inputs.convert import as_source
from transferkit.exceptions import ImageReadError
from transferkit.parameters import check_parameters
from transferkit.training.fitting import find_learning_rate, fit_classifier
from transferkit.training.rate_finder import RateRange

TWO_PHASES = [Phase("logistic"), Phase("head", epochs=3, learning_rate=1e-9)]
HARMFUL = [Phase("logistic"), Phase("head", epochs=2, learning_rate=100.0)]


@pytest.fixture
def request_of(tiny_backbone):
    def make(**options):
        options = {"compute": Compute(cache="memory"), "augmentation": None, "batch_size": 8} | options
        return check_parameters(TransferClassifier(tiny_backbone, **options).get_params(deep=False))

    return make


@pytest.fixture
def source(images, labels):
    return as_source(images, labels)


def test_what_comes_of_it_is_whole(request_of, source):
    fitted, was_interrupted = fit_classifier(request_of(), source, None)
    assert isinstance(fitted, FittedClassifier)
    assert not was_interrupted
    assert fitted.class_names.tolist() == source.class_names.tolist()
    assert len(fitted.split.training) == len(source)
    assert fitted.split.validation == ()
    assert [phase.is_solved for phase in fitted.phases] == [True]


def test_a_part_is_set_aside_only_where_epochs_are_chosen(request_of, source):
    schedule = [Phase("head", epochs=2)]
    fitted, _ = fit_classifier(request_of(schedule=schedule, validation_split=0.25), source, None)
    assert (len(fitted.split.training), len(fitted.split.validation)) == (18, 6)
    given, _ = fit_classifier(request_of(schedule=schedule), source.take(range(18)), source.take(range(18, 24)))
    assert (len(given.split.training), len(given.split.validation)) == (18, 6)


@pytest.mark.parametrize(
    ("is_given", "said", "learnt_from"), [(False, "kept and fitted to all images", 24), (True, "kept.", 18)]
)
def test_a_head_that_training_does_not_improve_stays(request_of, source, capsys, is_given, said, learnt_from):
    held_out = source.take(range(18, 24))  # of other labels, which nobody can learn
    validation = replace(held_out, labels=np.roll(held_out.labels, 1)) if is_given else None
    own = source.take(range(18)) if is_given else source
    with speaking_to(Console(2)):
        fitted, _ = fit_classifier(request_of(schedule=HARMFUL), own, validation)
    assert f"did not improve on the logistic head, which is {said}" in capsys.readouterr().out
    assert len(fitted.split.training) == learnt_from
    expected, _ = fit_classifier(request_of(), own, None)
    if not is_given:
        kernel, alone = (model.get_layer("head").get_weights()[0] for model in (fitted.model, expected.model))
        assert kernel == pytest.approx(alone, abs=1e-4)


class Interrupting(keras.callbacks.Callback):
    """The stop button, in the second epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt


def test_an_interruption_leaves_the_best_so_far(request_of, source, capsys):
    with speaking_to(Console(2)):
        fitted, was_interrupted = fit_classifier(request_of(schedule=TWO_PHASES), source, None, [Interrupting()])
    assert was_interrupted
    assert "Interrupted after" in capsys.readouterr().out
    probabilities = fitted.predictor.predict(source, 8)
    assert (probabilities.argmax(axis=1) == source.labels).mean() > 0.9


def test_nothing_good_is_nothing_to_keep(request_of, source):
    class AtOnce(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_classifier(request_of(schedule=[Phase("head", epochs=2)]), source, None, [AtOnce()])


def test_what_breaks_meanwhile_is_skipped_or_named(request_of, image_paths, labels, tmp_path, monkeypatch):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"nothing")
    paths = [*image_paths[:-1], str(broken)]
    source = as_source(paths, labels)
    with pytest.raises(ImageReadError, match=f"(?s)1 of 24 images could not be read.*{broken.name}"):
        fit_classifier(request_of(), source, None)
    fitted, _ = fit_classifier(request_of(checks=Checks("skip")), source, None)
    assert len(fitted.split.training) == 23


def test_a_balance_changes_the_finished_classifier(request_of, source):
    rows = np.r_[np.flatnonzero(source.labels == 0), np.flatnonzero(source.labels != 0)[:4]]
    uneven = source.take(rows)
    plain, adjusted = (fit_classifier(request_of(balance=name), uneven, None)[0] for name in (None, "logit_adjustment"))
    first, second = (fitted.predictor.predict(uneven, 8) for fitted in (plain, adjusted))
    assert second[:, 0].mean() < first[:, 0].mean()


def test_a_rate_is_sought_with_the_weights_of_a_fitted_classifier(request_of, source):
    request = request_of(schedule=[Phase("logistic"), Phase("all", epochs=1)])
    x, y, rates = source.images, source.class_names[source.labels], RateRange(1e-7, 1e-4, 10)
    fresh = find_learning_rate(request, x, y, rate_range=rates)
    fitted, _ = fit_classifier(request_of(), source, None)
    before = [weights.copy() for weights in fitted.model.get_weights()]
    again = find_learning_rate(request, x, y, "head", rates, fitted)
    assert len(fresh.losses) == len(again.losses) == 10
    assert all(np.array_equal(a, b) for a, b in zip(before, fitted.model.get_weights(), strict=True))
