"""From images and the arguments of a classifier to a `FittedClassifier`."""

from contextlib import nullcontext
from dataclasses import replace
from typing import NamedTuple

import keras
import numpy as np

from transferkit._utils import console
from transferkit._utils.fingerprints import compact_prints
from transferkit._utils.numbers import is_whole
from transferkit._utils.random import python_random_seeded
from transferkit._utils.text import plural
from transferkit._utils.versions import package_versions
from transferkit.data.augmentation.augmentation import mirrors_images
from transferkit.data.checks import check_classes
from transferkit.data.intake import Intake
from transferkit.data.reader import ImageReader
from transferkit.data.splits import Split, stratified_split
from transferkit.evaluation.conformal import Conformal
from transferkit.evaluation.familiarity import Familiarity
from transferkit.fitted import FittedClassifier
from transferkit.frozen.features import FrozenFeatures
from transferkit.models.assembly import build_components
from transferkit.models.weights import restore
from transferkit.training.augmentation_check import with_checked_augmentation
from transferkit.training.phases import Phase, Schedule, check_stage_names
from transferkit.training.rate_finder import RateRange, find_rate
from transferkit.training.settings import make_settings, plan_phases
from transferkit.training.trainer import Trainer

_FEWEST_STEPS = 10  # that show where a loss explodes


class Outcome(NamedTuple):
    """The outcome of training, besides the weights.

    Attributes:
        history: Dict of lists: one entry an epoch; for the logistic head alone, one entry a strength.
        split: The `Split`.
        thresholds: `(num_classes,)` probability from which on a label is given, or `None`: each image has one label.
        was_interrupted: Whether a `KeyboardInterrupt` ended training, and the best weights until then were kept.
        mirrors: Whether augmentation has mirror images, or would have them.
        conformal: `Conformal` of the logistic head on a frozen network, or `None`.
        familiarity: `Familiarity` of the training images to a frozen network, or `None`.
    """

    history: dict
    split: Split
    thresholds: np.ndarray | None
    was_interrupted: bool = False
    mirrors: bool = False
    conformal: Conformal | None = None
    familiarity: Familiarity | None = None


def fit_classifier(request, source, validation, callbacks=()):
    """Trains a classifier. If images break meanwhile and `checks` say to skip them, training starts again without them.

    Args:
        request: The `Request`.
        source: Labelled `Source` to train on.
        validation: `Source` to choose on, or `None` to set a part of `source` aside where one is needed.
        callbacks: Keras callbacks of the user.

    Returns:
        `(fitted, was_interrupted)`: a `FittedClassifier`, and whether a `KeyboardInterrupt` ended training, so that it
        has the best weights until then.
    """

    def train(source, validation):
        check_classes(source)  # perhaps a class went with the images that broke
        with python_random_seeded(request.seed), _scope_of(request.compute.strategy):
            # Anew in each attempt, so that images that broke leave no trace in the weights.
            components = build_new(request, source)
            phases, reason = plan_phases(request, components, len(source))
            if reason:
                console.note(reason)
            settings = make_settings(request, source, callbacks)
            return components, phases, train_classifier(components, Schedule.of(phases), source, validation, settings)

    _say_what_is_supposed(request)
    reader = ImageReader(request.image_format)
    components, phases, outcome = reader.without_broken(train, (source, validation), request.checks.on_bad_image)
    fitted = FittedClassifier(
        components.whole,
        request.backbone,
        request.image_format,
        source.class_names,
        source.task,
        outcome.thresholds,
        tuple(phases),
        outcome.history,
        outcome.split,
        dict(request.parameters),
        package_versions(),
        conformal=outcome.conformal,
        familiarity=outcome.familiarity,
        mirrors=outcome.mirrors,
        training_prints=_prints_of_training(source, outcome.split),
    )
    return fitted, outcome.was_interrupted


def _say_what_is_supposed(request):
    if isinstance(request.parameters["backbone"], keras.Model):
        name, scaling = request.backbone.name, request.backbone.scaling
        console.note(
            f"Backbone {name!r} is a model of yours. Its input scaling is taken to be {scaling!r}"
            " ('none': pixels in [0, 255]). If that is wrong, use `backbone_from_model(model, scaling=...)`."
        )


def _scope_of(strategy):
    return nullcontext() if strategy is None else strategy.scope()


def build_new(request, source):
    """Builds the `Components` of a classifier with pretrained weights, for the classes of a `Source`."""
    image_format = request.image_format
    with console.silence():
        network = request.backbone.build(image_format.image_size, request.parameters["weights"], image_format.channels)
    return build_components(
        request.backbone,
        network,
        image_format,
        request.head,
        len(source.class_names),
        request.seed,
        source.task.activation,
    )


def train_classifier(components, schedule, source, validation, settings):
    """Trains the `Components` of a classifier.

    Args:
        components: `Components`. Changed in place.
        schedule: A `Schedule`.
        source: `Source` to train on.
        validation: `Source` to choose on, or `None` to set a part of `source` aside where one is needed.
        settings: `Settings`.

    Returns:
        An `Outcome`.
    """
    fronts = FrozenFeatures(components, settings, len(source) + (0 if validation is None else len(validation)))
    settings.balance.check(schedule, source, validation is not None)
    trainer = Trainer(components, source, validation, settings, fronts, schedule.solved)
    outcome = _solve(trainer) if schedule.only_solves else _train(trainer, schedule)
    settings.balance.finish(components, source)
    return outcome


def _solve(trainer):
    settings = trainer.settings
    if settings.options.callbacks or (settings.augments_heads and trainer.num_views == 1):
        console.note(
            "The logistic head is solved, not trained: `callbacks` have no part in it, nor has `augmentation` "
            "without a number of `views` in its Phase."
        )
    history, split = trainer.solve_head(), _split(trainer.source, trainer.validation)
    learnt = trainer.conformal(), trainer.familiarity()
    return Outcome(history, split, trainer.thresholds(), False, mirrors_images(settings.augmenter), *learnt)


def _train(on_all, schedule):
    """Trains on all images, or on a part of them if no validation images were given."""
    trainer, split = _with_validation(on_all)
    record = trainer.start()
    try:
        with_checked_augmentation(trainer, schedule.trained)
        trainer.run(schedule.trained, record)
        if record.best_epoch == 0:  # that of the solved head
            trainer, split = _keep_solved_head(trainer, on_all, split)
        else:
            if record.best_epoch and not record.is_interpolated:
                console.note(_describe_best(record))
            trainer.settings.balance.refine(trainer)
    except KeyboardInterrupt:
        if record.best_weights is None:  # nothing to keep
            raise
        restore(trainer.components.models, record.best_weights)
        console.note(_describe_interruption(record))
        record.was_interrupted = True
    learnt = (trainer.conformal(), trainer.familiarity()) if record.best_epoch == 0 else ()
    mirrors = mirrors_images(trainer.settings.augmenter)  # if the check has left them
    return Outcome(record.history, split, trainer.thresholds(), record.was_interrupted, mirrors, *learnt)


def _with_validation(trainer):
    """Sets a part of the images aside if there are none to choose on. Returns `(trainer, split)`."""
    source, settings = trainer.source, trainer.settings
    if trainer.validation is not None:
        return trainer, _split(source, trainer.validation)
    rows, held_out = stratified_split(source.labels, settings.validation_split, settings.seed, source.groups)
    divided = replace(trainer, source=source.take(rows), validation=source.take(held_out))
    return divided, Split(_names(source, rows), _names(source, held_out))


def _prints_of_training(source, split):
    """Prints of the images that were trained on, which may be a part of a `Source`; see `compact_prints`."""
    if source.prints is None:
        return None
    rows = np.arange(len(source))
    if len(split.training) < len(source):
        names = set(split.training)
        rows = [row for row in rows if source.name(row) in names]
    return compact_prints(source.prints[rows])


def _keep_solved_head(trainer, on_all, split):
    """Keeps the solved head, fitted to all images, where training did not improve on it."""
    is_divided = trainer is not on_all
    refitted = " and fitted to all images" if is_divided else ""
    console.note(f"Fine-tuning did not improve on the logistic head, which is kept{refitted}.")
    if not is_divided:
        return trainer, split
    on_all.solve_head()
    return on_all, _split(on_all.source, None)


def _describe_best(record):
    history, row = record.history, record.history["epoch"].index(record.best_epoch)
    return (
        f"Best epoch {record.best_epoch} of {record.epochs_done}: "
        f"validation loss {history['val_loss'][row]:.3f}, accuracy {history['val_accuracy'][row]:.3f}"
    )


def _describe_interruption(record):
    best = "the head before the first epoch" if record.best_epoch == 0 else f"epoch {record.best_epoch}"
    return (
        f"Interrupted after {plural(record.epochs_done, 'epoch')}. The best so far, {best} with a validation loss of "
        f"{record.best_loss:.3f}, is kept: `predict`, `evaluate` and `save` work. Another `fit` starts anew."
    )


def _split(training, validation):
    held_out = () if validation is None else _names(validation, range(len(validation)))
    return Split(_names(training, range(len(training))), held_out)


def _names(source, rows):
    return tuple(source.name(row) for row in rows)


def find_learning_rate(request, x, y, train=None, rate_range=RateRange(), fitted=None):  # noqa: B008 (it never changes)
    """Finds a learning rate for a phase by training a classifier that is discarded afterwards.

    Args:
        request: The `Request`.
        x: Images; see `as_source`.
        y: Labels, or `None` for what brings its own.
        train: What trains, as in `Phase`, or a `Phase`, or `None`: the last phase of the schedule, or everything if
            that is solved.
        rate_range: The `RateRange`.
        fitted: The `FittedClassifier` whose weights it begins with, or `None`: it begins with the pretrained ones and,
            if it has one, with a logistic head that is fitted to them.

    Returns:
        A `RateCurve`.
    """
    if not is_whole(rate_range.steps) or rate_range.steps < _FEWEST_STEPS:
        raise ValueError(f"`steps` must be an integer from {_FEWEST_STEPS}. Received: steps={rate_range.steps!r}.")
    phase = train if train is None or isinstance(train, Phase) else Phase(train)
    check_stage_names([] if phase is None else [phase], request.backbone.stages)
    if fitted is None:
        request.backbone.check_is_fresh()
    source = _source_for_rates(request, x, y, fitted)
    with python_random_seeded(request.seed):
        components = build_new(request, source)
        if fitted is not None:
            components.whole.set_weights(fitted.model.get_weights())
        settings = make_settings(request, source)
        fronts = FrozenFeatures(components, settings, len(source))
        if fitted is None and request.has_logistic_head:
            Trainer(components, source, None, settings, fronts).solve_head()
        # The test does not validate: the second source only has to be there.
        training_data = Trainer(components, source, source, settings, fronts).training_data()
        phase = phase or _last_trained(request, components, len(source))
        return find_rate(phase, components, training_data, request.backbone.stages, settings.options, rate_range)


def _source_for_rates(request, x, y, fitted):
    intake = Intake(ImageReader(request.image_format), request.checks)
    task, class_names = request.parameters["task"], None
    if fitted is not None:
        task, class_names = fitted.task.name, fitted.class_names
    return intake.checked(x, y, "training", class_names=class_names, task=task)


def _last_trained(request, components, num_images):
    planned = plan_phases(request, components, num_images)[0][-1]
    return Phase("all") if planned.is_solved else planned
