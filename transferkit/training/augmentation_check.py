"""Before the backbone trains: do the changes that augmentation makes leave the labels what they are?

A quick head is fitted to some of the training images and judges held-out ones, as they are and changed. It sees the
pooled output of every stage: the last features of networks that were pretrained with mirror images hardly tell left
from right, those of earlier stages do.

Where mirror images are as likely as the images themselves, every classifier whatsoever is as good on either, on
average. So where one is worse on mirror images by more than chance, mirroring does something to these images that the
camera does not. Other changes have no such rule: a head that never saw them does somewhat worse although they are
harmless. They are weakened where they cost it much of what it knows.
"""

import warnings
from dataclasses import dataclass, replace
from functools import cached_property

import keras
import numpy as np

from transferkit._utils import console
from transferkit.backbones.stages import cut_tensor, exact_cuts
from transferkit.data.augmentation.augmentation import Augmentation
from transferkit.data.augmentation.parts import Part, parts_of
from transferkit.data.epochs import Epochs
from transferkit.data.reader import ImageReader
from transferkit.evaluation.calibration import losses_of
from transferkit.frozen.forward import run_model
from transferkit.solvers.examples import Examples
from transferkit.solvers.path import LogisticProblem, Search, fit_logistic_path

_SHARE = 0.02  # of the forward passes of the phases that the check may take
_PASSES = 3.0  # forward passes that a step of training is worth
_FEWEST = 40  # images to fit to, and to judge on, below which nothing is certain
_FITTED, _HELD_OUT = (200, 600), (120, 300)  # images: so many where they are there, and at most where that is cheap
_CERTAIN = 3.0  # standard errors by which a difference is more than chance
_MUCH = 0.25  # share of the accuracy above guessing that a change may cost
_HALVINGS = 2
_LARGEST_LOSS = 9.0  # nats, of one image: a few that are utterly wrong must not hide what happens to the others


@dataclass(frozen=True)
class Finding:
    """What one part of an augmentation does to held-out images.

    Attributes:
        part: The `Part`.
        accuracy: Accuracy of the quick head on the images as they are.
        accuracy_changed: Accuracy on the changed images.
        is_harmful: Whether it changes what the images show.
    """

    part: Part
    accuracy: float
    accuracy_changed: float
    is_harmful: bool


@dataclass(frozen=True)
class Judge:
    """A quick head, and what it says of held-out images.

    Attributes:
        logits_of: Function from images `(n, height, width, channels)` to logits `(n, num_classes)`.
        images: Held-out images, resized.
        truth: What predictions are compared with, see `Task.truth`.
        guessing: Accuracy of always guessing the same.
        seed: Seed of draws.
    """

    logits_of: object
    images: np.ndarray
    truth: np.ndarray
    guessing: float
    seed: int

    @cached_property
    def before(self):
        """Losses and correctness of the images as they are."""
        return self._judge(self.images)

    def _judge(self, images, rows=slice(None)):
        """Returns losses and correctness of every image."""
        logits, truth = self.logits_of(images), self.truth[rows]
        losses = np.minimum(losses_of(logits, truth), _LARGEST_LOSS)
        if truth.ndim == 1:
            return losses, (logits.argmax(axis=1) == truth).astype("float64")
        return losses, ((logits > 0) == (truth > 0)).mean(axis=1)

    @property
    def is_better_than_guessing(self):
        """Whether the head knows enough to judge by."""
        right = self.before[1]
        return right.mean() - self.guessing > _CERTAIN * right.std() / np.sqrt(len(right))

    def look_at(self, part, augmentation):
        """Returns the `Finding` about one part of an augmentation."""
        # Half of the images show what costs much; what is different from chance takes all.
        rows = slice(None if part.is_mirroring else len(self.images) // 2)
        changed = part.apply(augmentation, self.images[rows], Epochs(seed=self.seed).augmentation_keys.of(0))
        losses, right = (values[rows] for values in self.before)
        losses_changed, right_changed = self._judge(changed, rows)
        if part.is_mirroring:
            is_harmful = _rises(losses_changed - losses)
        else:
            is_harmful = _rises(right - right_changed, _MUCH * (right.mean() - self.guessing))
        return Finding(part, float(right.mean()), float(right_changed.mean()), is_harmful)


def _rises(differences, most=0.0):
    """Whether the mean of paired differences is above a bound, and above 0 by more than chance."""
    mean, error = differences.mean(), differences.std(ddof=1) / np.sqrt(len(differences))
    return bool(mean > most and mean > _CERTAIN * error)


def adapt_augmentation(augmentation, judge):
    """Takes out of an augmentation what changes what held-out images show, or makes it weaker.

    Args:
        augmentation: An `Augmentation`.
        judge: A `Judge`.

    Returns:
        `(augmentation, notes)`: what is left of it, or `None`; a sentence for each change.
    """
    notes = []
    for part in parts_of(augmentation):
        finding, halvings = judge.look_at(part, augmentation), 0
        if not finding.is_harmful:
            continue
        first = finding
        while finding.is_harmful and not part.is_mirroring and halvings < _HALVINGS:
            augmentation, halvings = part.halved(augmentation), halvings + 1
            finding = judge.look_at(part, augmentation)
        if finding.is_harmful:
            augmentation = part.without(augmentation)
        notes.append(_describe(first, "left out" if finding.is_harmful else f"weakened to 1/{2**halvings}"))
    return (augmentation if parts_of(augmentation) else None), notes


def _describe(finding, what):
    title = finding.part.title[0].upper() + finding.part.title[1:]
    images = "mirror images" if finding.part.is_mirroring else "images changed so"
    return (
        f"{title} is {what}: a quick head's held-out accuracy falls from {finding.accuracy:.2f} to "
        f"{finding.accuracy_changed:.2f} on {images}."
    )


def check_augmentation(trainer, phases):
    """Checks the augmentation of phases that train the backbone against the images, and says what was found.

    What nobody asked for by name is left out or weakened; for the rest there is a warning.

    Args:
        trainer: The `Trainer`, with validation images.
        phases: The `Phase` that follow.

    Returns:
        What is to augment the images: an augmenter, or `None`.
    """
    settings, phases = trainer.settings, [phase for phase in phases if not phase.trains_head_only]
    augmenter = settings.augmenter
    if not phases or not isinstance(augmenter, Augmentation) or not (parts := parts_of(augmenter)):
        return augmenter
    epochs = sum(phase.epochs for phase in phases)
    num_fitted, num_held_out = _sizes(len(trainer.source), len(trainer.validation), parts, epochs)
    if min(num_fitted, num_held_out) < _FEWEST:
        console.note(
            f"Augmentation could not be checked against the images: that takes {_FEWEST} to fit to and as many that "
            f"are held out, and there are {len(trainer.source):,} and {len(trainer.validation):,}."
        )
        return augmenter
    with console.step("Checking augmentation", num_held_out) as advance:
        judge = make_judge(trainer, num_fitted, num_held_out)
        advance(num_held_out)
    if not judge.is_better_than_guessing:
        console.note("Augmentation could not be checked against the images: a quick head is no better than guessing.")
        return augmenter
    if settings.augments_heads:  # it was asked for
        _warn_of([finding for part in parts if (finding := judge.look_at(part, augmenter)).is_harmful])
        return augmenter
    adapted, notes = adapt_augmentation(augmenter, judge)
    for note in notes:
        console.note(note)
    return adapted


def _warn_of(findings):
    for finding in findings:
        title = finding.part.title
        warnings.warn(
            f"`augmentation` has {title}, which seems to change what these images show: a quick head's held-out "
            f"accuracy falls from {finding.accuracy:.2f} to {finding.accuracy_changed:.2f}. It is done as you asked; "
            "augmentation='auto' would leave it out or do less of it.",
            stacklevel=2,
        )


def _sizes(num_training, num_validation, parts, epochs):
    """How many images to fit to and to judge on, so that the check stays cheap beside the training."""
    passes = _SHARE * _PASSES * epochs * num_training
    looks = 1 + sum(1.0 if part.is_mirroring else 0.5 for part in parts)
    fitted, held_out = np.clip(passes / 2, *_FITTED), np.clip(passes / 2 / looks, *_HELD_OUT)
    return int(min(fitted, num_training)), int(min(held_out, num_validation))


def make_judge(trainer, num_fitted, num_held_out):
    """Fits the quick head to some training images, and makes a `Judge` of some validation images."""
    settings, rng = trainer.settings, np.random.default_rng(trainer.settings.seed)
    training = _some_of(trainer.source, num_fitted, rng)
    validation = _some_of(trainer.validation, num_held_out, rng)
    model = _model_of_stages(trainer.components, settings.backbone.stages)
    reader = ImageReader(settings.image_format)

    def features_of(images):
        starts = range(0, len(images), settings.batch_size)
        return run_model(model, (images[start : start + settings.batch_size] for start in starts), len(images))

    kernel, bias = _fit(features_of(reader.load(training, settings.batch_size).images), training, settings.seed)
    guessing = training.task.guessing_accuracy(trainer.training_data().targets())
    images = reader.load(validation, settings.batch_size).images
    return Judge(lambda images: features_of(images) @ kernel + bias, images, validation.truth, guessing, settings.seed)


def _some_of(source, count, rng):
    """Some images of a source that count, drawn at random, in random order."""
    rows = np.arange(len(source)) if source.weights is None else np.flatnonzero(source.weights > 0)
    return source.take(rng.permutation(rows)[:count])


def _fit(features, source, seed):
    examples = Examples(features, source.labels, source.targets, None, source.groups)
    problem = LogisticProblem(examples, len(source.class_names), source.task.activation, 0.0)
    path = fit_logistic_path(problem, Search(seed=seed))
    return path.kernel, path.bias


def _model_of_stages(components, stages):
    """The model from images to the mean output of every stage, one after another."""
    network, cuts = components.network, exact_cuts(components.network, stages)
    tensors = [cut_tensor(network, stage) for stage in stages if stage.name in cuts]
    tensors = [tensor for tensor in [*tensors, network.output] if len(tensor.shape) == 4]
    outputs = [keras.ops.mean(tensor, axis=(1, 2)) for tensor in tensors] or [network.output]
    joined = keras.Model(network.inputs, keras.ops.concatenate(outputs, axis=-1) if len(outputs) > 1 else outputs[0])
    pixels = keras.Input((*network.input_shape[1:3], components.scaling.input_shape[-1]))
    model = keras.Model(pixels, joined(components.scaling(pixels), training=False))
    model.compile(jit_compile=False)
    return model


def with_checked_augmentation(trainer, phases):
    """Lets a `Trainer` augment by what `check_augmentation` leaves of its augmentation."""
    augmenter = check_augmentation(trainer, phases)
    if augmenter is not trainer.settings.augmenter:
        trainer.settings = replace(trainer.settings, augmenter=augmenter)
        trainer.fronts.change_settings(trainer.settings)
