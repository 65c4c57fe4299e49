"""From phases and images to a trained classifier: what is solved, what is computed once, what is trained."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.special import expit

from transferkit._utils import console
from transferkit._utils.memory import free_memory
from transferkit._utils.text import plural
from transferkit.data.balance import choose_balance, class_sizes, class_weights, weigh
from transferkit.data.datasets import read_into_memory, validation_batches
from transferkit.data.sampling import Sampling
from transferkit.data.source import Source
from transferkit.data.splits import Split, stratified_split
from transferkit.frozen.features import FrozenFeatures
from transferkit.frozen.forward import predict_batches
from transferkit.frozen.precision import choose_precision, computing_in
from transferkit.models.assembly import Components
from transferkit.models.weights import capture, restore
from transferkit.solvers.examples import Examples
from transferkit.solvers.path import Search, can_hold_out
from transferkit.training.balancing import adjust_logits, check_smote, fit_head_by_smote
from transferkit.training.callbacks import Record
from transferkit.training.logistic import fit_logistic_head, record_of_head
from transferkit.training.loop import run_phases
from transferkit.training.parameters import Settings
from transferkit.training.rate_finder import find_rate
from transferkit.training.training_data import TrainingData

_MEMORY_SHARE = 0.25  # of the free memory that decoded images may take
_STEPS_WORTH_MEASURING = 200  # training steps from which on it pays to find out which precision is faster


class Outcome(NamedTuple):
    """What comes of training, beside the weights.

    Attributes:
        history: Dict of lists: one entry an epoch; for the logistic head alone, one entry a strength.
        split: The `Split`.
        thresholds: `(num_classes,)` probability from which on a label is given, or `None`: each image has one label.
        was_interrupted: Whether a `KeyboardInterrupt` ended training, and the best until then is what there is.
    """

    history: dict
    split: Split
    thresholds: np.ndarray | None
    was_interrupted: bool = False


def train_classifier(components, phases, source, validation, settings):
    """Trains the `Components` of a classifier.

    Args:
        components: `Components`. Changed in place.
        phases: List of `Phase`.
        source: `Source` to train on.
        validation: `Source` to choose on, or `None` to set a part of `source` aside where one is needed.
        settings: `Settings`.

    Returns:
        An `Outcome`.

    Raises:
        ValueError: If `class_weight` names classes that are not there, or it or `balance` do not go with any number of
            labels for each image.
    """
    settings = _for_labels_of(source, settings)
    fronts = FrozenFeatures(components, settings, len(source) + (0 if validation is None else len(validation)))
    check_smote(settings.balance, phases, source, has_validation=validation is not None)
    balance, note = choose_balance(settings.balance, source.labels)
    settings = replace(settings, balance=balance)
    if note and settings.class_weight is None:
        console.note(note)
    outcome = _train(components, phases, source, validation, settings, fronts)
    if balance == "logit_adjustment":
        adjust_logits(components, source)
    return outcome


def _for_labels_of(source, settings):
    """Settings that suit the kind of labels, checked against those that there are."""
    source.task.check_balancing(settings.class_weight, settings.balance)
    _weights_of_classes(settings.class_weight, source)  # an error for classes that are not there
    return replace(settings, options=replace(settings.options, task=source.task))


def _train(components, phases, source, validation, settings, fronts):
    if [phase.train for phase in phases] == ["logistic"]:
        if settings.options.callbacks or (settings.augments_heads and settings.logistic_views == 1):
            console.note(
                "The logistic head is solved, not trained: `callbacks` have no part in it, nor has `augmentation` "
                "without a number of `views`."
            )
        training = _Training(components, source, validation, settings, fronts)
        return Outcome(training.solve_head(), _split(source, validation), training.thresholds())
    is_split = validation is None
    whole = source
    if is_split:
        rows, held_out = stratified_split(source.labels, settings.validation_split, settings.seed, source.groups)
        source, validation = source.take(rows), source.take(held_out)
        split = Split(_names(whole, rows), _names(whole, held_out))
    else:
        split = _split(source, validation)
    training = _Training(components, source, validation, settings, fronts)
    record = training.start(phases)
    try:
        training.run(phases, record)
        if record.best_epoch and not record.is_interpolated:
            console.note(_describe_best(record))
        elif record.best_epoch == 0:
            refitted = " and fitted to all images" if is_split else ""
            console.note(f"Fine-tuning did not improve on the logistic head, which is kept{refitted}.")
            if is_split:
                on_all = _Training(components, whole, None, settings, fronts)
                on_all.solve_head()
                training, split = on_all, _split(whole, None)
        if settings.balance == "crt" and record.best_epoch != 0:  # the first head is balanced already
            training.retrain_classifier()
    except KeyboardInterrupt:
        if record.best_weights is None:
            raise
        restore(components.models, record.best_weights)
        console.note(_describe_interruption(record))
        record.was_interrupted = True
    return Outcome(record.history, split, training.thresholds(), record.was_interrupted)


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


def _judged_by(source):
    """What heads are judged by: labels and weights."""
    return source.truth, source.weights


def _examples(features, source, copies=1):
    """What a solver is told of the images of a `Source`."""
    return Examples(features, source.labels, source.targets, source.weights, source.groups, copies)


def _weights_of_classes(class_weight, source):
    return class_weights(class_weight, class_sizes(source), source.class_names)


def _split(training, validation):
    held_out = () if validation is None else _names(validation, range(len(validation)))
    return Split(_names(training, range(len(training))), held_out)


def _names(source, rows):
    return tuple(source.name(row) for row in rows)


def find_learning_rate(components, phase, source, settings, *, solve_head, **limits):
    """Finds a rate for a phase by training a classifier that is thrown away.

    Args:
        components: Its `Components`. Changed in place.
        phase: The `Phase`.
        source: `Source` to train on.
        settings: `Settings`.
        solve_head: Whether the logistic head is to be fitted first.
        **limits: `smallest`, `largest` and `steps` of `find_rate`.

    Returns:
        A `RateCurve`.
    """
    settings = _for_labels_of(source, settings)
    fronts = FrozenFeatures(components, settings, len(source))
    training = _Training(components, source, source, settings, fronts)
    if solve_head:
        _Training(components, source, None, settings, fronts).solve_head()
    training_data = training.training_data()
    return find_rate(phase, components, training_data, settings.stages, settings.options, **limits)


@dataclass
class _Training:
    components: Components
    source: Source
    validation: Source | None
    settings: Settings
    fronts: FrozenFeatures  # what of the network is computed once for each image

    _is_trained = False  # by an optimizer

    @cached_property
    def features(self):
        """Pooled features of the frozen backbone for both sources: the one pass that all heads share."""
        training = self.fronts.features(self.source, "Computing features", self.settings.logistic_views)
        if self.validation is None:
            return training, None
        return training, self.fronts.features(self.validation, "Computing features (validation)")

    @cached_property
    def class_weights(self):
        """Weight of each class in what an optimizer trains, or `None`."""
        return _weights_of_classes(self.settings.class_weight, self.source)

    @cached_property
    def sampling(self):
        """Which images an epoch has, or `None`: each of them once."""
        kind = self.settings.balance
        return Sampling(self.source.labels, kind, self.settings.seed) if kind in ("oversample", "undersample") else None

    def solve_head(self, cross_validate=False):
        """Fits the logistic head and returns its history."""
        settings = self.settings
        if settings.balance == "smote":
            features, held_out = self.features
            examples = Examples(features[: len(self.source)], self.source.labels, groups=self.source.groups)
            validation = None if held_out is None else _examples(held_out, self.validation)
            search = Search(validation=validation, seed=settings.seed)
            return fit_head_by_smote(self.components.dense, examples, search).history
        if settings.balance == "undersample":
            return self._fit_head(np.sort(self.sampling.rows(0)), None, cross_validate)
        # Where each image counts once, weights do what drawing images of rare classes more often does.
        weighting = "balanced" if settings.balance in ("oversample", "crt") else settings.class_weight
        return self._fit_head(np.arange(len(self.source)), weighting, cross_validate)

    def _fit_head(self, rows, class_weight, cross_validate):
        settings, source, (features, held_out) = self.settings, self.source.take(rows), self.features
        copies, validation = settings.logistic_views, None
        # Every class weighs in validation what it weighs in training, where its share may be another one.
        by_class = _weights_of_classes(class_weight, source)
        if held_out is not None and not (cross_validate and can_hold_out(source.labels, source.groups)):
            validation = _examples(held_out, weigh(self.validation, by_class))
        source = weigh(source, by_class)
        if len(source) < len(self.source):
            features = features[(rows + len(self.source) * np.arange(copies)[:, None]).ravel()]
        search = Search(validation=validation, seed=settings.seed)
        examples, focus = _examples(features, source, copies), settings.options.focus
        path = fit_logistic_head(self.components.dense, examples, search, focus=focus)
        self._keep_judged(path, source if validation is None else self.validation)
        return path.history

    def _keep_judged(self, path, source):
        """Remembers what the head says of labels that it was not fitted to."""
        if path.judged is not None:
            rows, logits = path.judged
            self._judged = source.truth[rows], expit(logits), None if source.weights is None else source.weights[rows]

    def thresholds(self):
        """Chooses the probabilities from which on labels are given, on images that were not trained on, or `None`."""
        if not self.source.task.has_thresholds:
            return None
        if self._is_trained:
            self._judged = self.validation.truth, self._probabilities(), self.validation.weights
        return self.source.task.choose_thresholds(*self._judged)

    def _probabilities(self):
        """Probabilities of the validation images."""
        training_data = self.training_data()
        shape = training_data.image_format, training_data.batch_size
        with validation_batches(self.validation, training_data.held_out_targets, *shape) as batches:
            return predict_batches(self.components.whole, (images for images, *_ in batches))

    def retrain_classifier(self):
        """Fits the logistic head anew, all classes alike, to what the trained network makes of the images (cRT).

        Kang et al., "Decoupling representation and classifier", ICLR 2020.
        """
        self.__dict__.pop("features", None)
        self.solve_head(cross_validate=True)

    def start(self, phases):
        """Does a first phase that is solved. Returns the `Record`, which is empty if there is none."""
        if phases[0].train != "logistic":
            return Record()
        self.solve_head(cross_validate=True)
        judged = [
            (features, *_judged_by(weigh(source, self.class_weights)))
            for features, source in zip(self.features, (self.source, self.validation), strict=True)
        ]
        return record_of_head(self.components.dense, *judged, capture(self.components.models), phases[0].title)

    def run(self, phases, record):
        """Runs the phases that an optimizer trains and writes them into the `Record`."""
        self._is_trained = True
        phases = [phase for phase in phases if phase.train != "logistic"]
        training_data = self.training_data()
        on_images = self.fronts.plan(phases, training_data)
        training_data = self._in_memory(training_data, on_images)
        precision = self._choose_precision(phases)
        options = self.settings.options
        with computing_in(self.components.network, precision):
            run_phases(
                phases, self.components, training_data, self.settings.stages, options, fronts=self.fronts,
                record=record, loss_scaling=precision == "float16",
            )  # fmt: skip

    def training_data(self):
        """Puts together what phases train on."""
        settings = self.settings
        return TrainingData(
            self.source, self.validation, settings.image_format, settings.batch_size, settings.seed,
            class_weights=self.class_weights, sampling=self.sampling, augmenter_for=settings.augmenter_for,
        )  # fmt: skip

    def _in_memory(self, training_data, phases):
        """Reads files that several epochs would decode again and again once, where memory allows."""
        settings, sources = self.settings, (training_data.training, training_data.validation)
        files = [source for source in sources if not source.is_uniform]
        image_format, room = settings.image_format, _MEMORY_SHARE * free_memory()
        size = sum(map(len, files)) * int(np.prod(image_format.shape))
        dtype = next((dtype for dtype in image_format.memory_dtypes if size * np.dtype(dtype).itemsize <= room), None)
        if sum(phase.epochs for phase in phases) < 2 or not files or dtype is None:
            return training_data
        shape = image_format, settings.batch_size
        with console.step("Reading images into memory", sum(map(len, files))) as advance:
            training, validation = (
                source if source.is_uniform else read_into_memory(source, *shape, advance, dtype) for source in sources
            )
        return replace(training_data, training=training, validation=validation)

    def _choose_precision(self, phases):
        if self.settings.precision != "auto":
            return self.settings.precision
        steps = len(self.source) / self.settings.batch_size
        if steps * sum(phase.epochs for phase in phases if not phase.trains_head_only) < _STEPS_WORTH_MEASURING:
            return "float32"
        precision, seconds = choose_precision(self.components.network, self.settings.batch_size)
        times = ", ".join(f"{name} {1000 * value:,.0f} ms" for name, value in seconds.items())
        size = plural(self.settings.batch_size, "image")
        console.note(f"Precision {precision}: a batch of {size} takes the backbone {times}.")
        return precision
