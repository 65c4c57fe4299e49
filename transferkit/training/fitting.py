"""From phases and images to a trained classifier: what is solved, what is computed once, what is trained."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from transferkit._utils.console import Console
from transferkit._utils.memory import free_memory
from transferkit._utils.text import plural
from transferkit.data.balance import FOCUS, choose_balance, image_weights
from transferkit.data.datasets import read_into_memory
from transferkit.data.sampling import Sampling
from transferkit.data.source import Source
from transferkit.data.splits import Split, stratified_split
from transferkit.models.assembly import Parts
from transferkit.models.precision import choose_precision, computing_in
from transferkit.models.weights import capture
from transferkit.training.balancing import adjust_logits, check_smote, fit_head_by_smote
from transferkit.training.fronts import Fronts
from transferkit.training.heads import fit_logistic_head, record_of_head
from transferkit.training.loop import run_phases
from transferkit.training.material import Material
from transferkit.training.parameters import Settings
from transferkit.training.rate_finder import find_rate

_MEMORY_SHARE = 0.25  # of the free memory that decoded images may take
_STEPS_WORTH_MEASURING = 200  # training steps from which on it pays to find out which precision is faster


def train_classifier(parts, phases, source, validation, settings, console):
    """Trains the `Parts` of a classifier.

    Args:
        parts: `Parts`. Changed in place.
        phases: List of `Phase`.
        source: `Source` to train on.
        validation: `Source` to choose on, or `None` to set a part of `source` aside where one is needed.
        settings: `Settings`.
        console: Told about the progress.

    Returns:
        `(history, split)`. The history is a dict of lists: one entry an epoch; for the logistic head alone, one entry a
        strength. The other is a `Split`.
    """
    fronts = Fronts(parts, settings, console, len(source) + (0 if validation is None else len(validation)))
    check_smote(settings.balance, phases)
    balance, note = choose_balance(settings.balance, source.labels)
    settings = replace(settings, balance=balance)
    if note and settings.class_weight is None:
        console.note(note)
    history, split = _train(parts, phases, source, validation, settings, console, fronts)
    if balance == "logit_adjustment":
        adjust_logits(parts, source)
    return history, split


def _train(parts, phases, source, validation, settings, console, fronts):
    if [phase.train for phase in phases] == ["logistic"]:
        if settings.options.callbacks or (settings.augments_heads and settings.logistic_views == 1):
            console.note(
                "The logistic head is solved, not trained: `callbacks` have no part in it, nor has `augmentation` "
                "without a number of `views`."
            )
        history = _Training(parts, source, validation, settings, console, fronts).solve_head()
        return history, _split(source, validation)
    is_split = validation is None
    whole = source
    if is_split:
        rows, held_out = stratified_split(source.labels, settings.validation_split, settings.seed, source.groups)
        source, validation = source.take(rows), source.take(held_out)
        split = Split(_names(whole, rows), _names(whole, held_out))
    else:
        split = _split(source, validation)
    training = _Training(parts, source, validation, settings, console, fronts)
    record = training.start(phases)
    record = training.run(phases, record)
    history = record.history
    if record.best_epoch and not phases[-1].interpolate:
        row = history["epoch"].index(record.best_epoch)
        console.note(
            f"Best epoch {record.best_epoch} of {record.epochs_done}: "
            f"validation loss {history['val_loss'][row]:.3f}, accuracy {history['val_accuracy'][row]:.3f}"
        )
    elif record.best_epoch == 0:
        refitted = " and fitted to all images" if is_split else ""
        console.note(f"Fine-tuning did not improve on the logistic head, which is kept{refitted}.")
        if is_split:
            _Training(parts, whole, None, settings, console, fronts).solve_head()
            split = _split(whole, None)
    elif settings.balance == "crt":
        training.retrain_classifier()
    return history, split


def _split(training, validation):
    held_out = () if validation is None else _names(validation, range(len(validation)))
    return Split(_names(training, range(len(training))), held_out)


def _names(source, rows):
    return tuple(source.name(row) for row in rows)


def find_learning_rate(parts, phase, source, settings, console, *, solve_head, **limits):
    """Finds a rate for a phase by training a classifier that is thrown away.

    Args:
        parts: Its `Parts`. Changed in place.
        phase: The `Phase`.
        source: `Source` to train on.
        settings: `Settings`.
        console: Told about the progress.
        solve_head: Whether the logistic head is to be fitted first.
        **limits: `smallest`, `largest` and `steps` of `find_rate`.

    Returns:
        A `RateCurve`.
    """
    fronts = Fronts(parts, settings, console, len(source))
    training = _Training(parts, source, source, settings, console, fronts)
    if solve_head:
        _Training(parts, source, None, settings, console, fronts).solve_head()
    material = training.material()
    return find_rate(phase, parts, material, settings.stages, settings.options.optimizer, console=console, **limits)


@dataclass
class _Training:
    parts: Parts
    source: Source
    validation: Source | None
    settings: Settings
    console: Console
    fronts: Fronts  # what of the network is computed once for each image

    @cached_property
    def features(self):
        """Pooled features of the frozen backbone for both sources: the one pass that all heads share."""
        training = self.fronts.features(self.source, "Computing features", self.settings.logistic_views)
        if self.validation is None:
            return training, None
        return training, self.fronts.features(self.validation, "Computing features (validation)")

    @cached_property
    def weights(self):
        """Weight of each training image in the loss, or `None`."""
        return image_weights(self.settings.class_weight, self.source)

    @cached_property
    def sampling(self):
        """Which images an epoch has, or `None`: each of them once."""
        kind = self.settings.balance
        return Sampling(self.source.labels, kind, self.settings.seed) if kind in ("oversample", "undersample") else None

    def solve_head(self, cross_validate=False):
        """Fits the logistic head and returns its history."""
        settings = self.settings
        if settings.balance == "smote":
            return fit_head_by_smote(
                self.parts.dense, self.features[0], self.source.labels, groups=self.source.groups, seed=settings.seed,
                console=self.console,
            )  # fmt: skip
        if settings.balance == "undersample":
            return self._fit_head(np.sort(self.sampling.rows(0)), None, cross_validate)
        # Where each image counts once, weights do what drawing images of rare classes more often does.
        weighting = "balanced" if settings.balance in ("oversample", "crt") else settings.class_weight
        return self._fit_head(np.arange(len(self.source)), weighting, cross_validate)

    def _fit_head(self, rows, class_weight, cross_validate):
        settings, source, (features, held_out) = self.settings, self.source.take(rows), self.features
        copies, validation = settings.logistic_views, None
        # Every class weighs in validation what it weighs in training, where its share may be another one.
        if held_out is not None and not (cross_validate and np.bincount(source.labels).max() >= 2):
            weights = image_weights(class_weight, self.validation, source)
            validation = held_out, self.validation.labels, weights
        if len(source) < len(self.source):
            features = features[(rows + len(self.source) * np.arange(copies)[:, None]).ravel()]
        return fit_logistic_head(
            self.parts.dense, features, source.labels, weights=image_weights(class_weight, source),
            groups=source.groups, validation=validation, copies=copies,
            focus=FOCUS if settings.balance == "focal" else 0.0, seed=settings.seed, console=self.console,
        )  # fmt: skip

    def retrain_classifier(self):
        """Fits the logistic head anew, all classes alike, to what the trained network makes of the images (cRT).

        Kang et al., "Decoupling representation and classifier", ICLR 2020.
        """
        self.__dict__.pop("features", None)
        self.solve_head(cross_validate=True)

    def start(self, phases):
        """Does a first phase that is solved. Returns its `Record`, or `None`."""
        if phases[0].train != "logistic":
            return None
        self.solve_head(cross_validate=True)
        training, held_out = self.features
        return record_of_head(
            self.parts.dense, (training, self.source.labels), (held_out, self.validation.labels),
            capture(self.parts.models), phases[0].title,
        )  # fmt: skip

    def run(self, phases, record):
        """Runs the phases that an optimizer trains. Returns their `Record`."""
        phases = [phase for phase in phases if phase.train != "logistic"]
        material = self.material()
        on_images = self.fronts.plan(phases, material)
        material = self._in_memory(material, on_images)
        precision = self._choose_precision(phases)
        options = self.settings.options
        with computing_in(self.parts.network, precision):
            return run_phases(
                phases, self.parts, material, self.settings.stages, options, fronts=self.fronts, record=record,
                console=self.console, loss_scaling=precision == "float16",
            )  # fmt: skip

    def material(self):
        """Puts together what phases train on."""
        settings = self.settings
        return Material(
            self.source, self.validation, settings.image_format, settings.batch_size, settings.seed,
            weights=self.weights, sampling=self.sampling, augmenter_for=settings.augmenter_for,
        )  # fmt: skip

    def _in_memory(self, material, phases):
        """Reads files that several epochs would decode again and again once, where memory allows."""
        settings, sources = self.settings, (material.training, material.validation)
        files = [source for source in sources if not source.is_uniform]
        image_format, room = settings.image_format, _MEMORY_SHARE * free_memory()
        size = sum(map(len, files)) * int(np.prod(image_format.shape))
        dtype = next((dtype for dtype in image_format.memory_dtypes if size * np.dtype(dtype).itemsize <= room), None)
        if sum(phase.epochs for phase in phases) < 2 or not files or dtype is None:
            return material
        shape = image_format, settings.batch_size
        with self.console.step("Reading images into memory", sum(map(len, files))) as advance:
            training, validation = (
                source if source.is_uniform else read_into_memory(source, *shape, advance, dtype) for source in sources
            )
        return replace(material, training=training, validation=validation)

    def _choose_precision(self, phases):
        if self.settings.precision != "auto":
            return self.settings.precision
        steps = len(self.source) / self.settings.batch_size
        if steps * sum(phase.epochs for phase in phases if not phase.trains_head_only) < _STEPS_WORTH_MEASURING:
            return "float32"
        precision, seconds = choose_precision(self.parts.network, self.settings.batch_size)
        times = ", ".join(f"{name} {1000 * value:,.0f} ms" for name, value in seconds.items())
        size = plural(self.settings.batch_size, "image")
        self.console.note(f"Precision {precision}: a batch of {size} takes the backbone {times}.")
        return precision
