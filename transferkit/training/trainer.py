"""The steps of training one classifier: solving the head, training phases, choosing thresholds."""

from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np

from transferkit._utils import console
from transferkit._utils.memory import free_memory
from transferkit._utils.text import plural
from transferkit.data.class_weights import weigh, weights_of_classes
from transferkit.data.datasets import validation_batches
from transferkit.data.reader import ImageReader
from transferkit.data.source import Source
from transferkit.evaluation.conformal import Conformal
from transferkit.evaluation.familiarity import Familiarity
from transferkit.frozen.features import FrozenFeatures
from transferkit.frozen.forward import predict_batches
from transferkit.frozen.precision import choose_precision, computing_in
from transferkit.models.assembly import Components
from transferkit.models.weights import capture
from transferkit.solvers.axes import Taken
from transferkit.solvers.examples import Examples, rows_of
from transferkit.solvers.path import Search, can_hold_out
from transferkit.training.callbacks import Record
from transferkit.training.logistic import fit_logistic_head, record_of_head
from transferkit.training.loop import run_phases
from transferkit.training.phases import Phase
from transferkit.training.settings import Settings
from transferkit.training.training_data import TrainingData

_MEMORY_SHARE = 0.25  # of the free memory that decoded images may take
_STEPS_WORTH_MEASURING = 200  # training steps from which on it pays to find out which precision is faster


def examples_of(features, source, copies=1):
    """Makes the `Examples` of a solver from the images of a `Source`."""
    return Examples(features, source.labels, source.targets, source.weights, source.groups, copies)


@dataclass
class Trainer:
    """What one classifier is trained with: its components and images, and the steps of training them.

    Attributes:
        components: `Components` of the classifier. Changed in place.
        source: `Source` to train on.
        validation: `Source` to choose on, or `None`.
        settings: `Settings`.
        fronts: `FrozenFeatures`: what of the network is computed once for each image.
        solved: The `Phase` that is solved, or `None`.
    """

    components: Components
    source: Source
    validation: Source | None
    settings: Settings
    fronts: FrozenFeatures
    solved: Phase | None = None

    _is_trained = False  # by an optimizer
    _judged = None

    @cached_property
    def features(self):
        """Pooled features of the frozen backbone for both sources: the one pass that all heads share."""
        training = self.fronts.features(self.source, "Computing features", self.num_views)
        if self.validation is None:
            return training, None
        return training, self.fronts.features(self.validation, "Computing features (validation)")

    @property
    def num_views(self):
        """How many versions of each image the solved head is fitted to."""
        return self.settings.views_of_solved(self.solved)

    @cached_property
    def class_weights(self):
        """Weight of each class in what an optimizer trains, or `None`."""
        return weights_of_classes(self.settings.class_weight, self.source)

    @cached_property
    def sampling(self):
        """Which images an epoch has, or `None`: each of them once."""
        return self.settings.balance.sampling(self.source.labels, self.settings.seed)

    def solve_head(self, cross_validate=False):
        """Fits the logistic head and returns its history.

        Args:
            cross_validate: Whether to choose the strength by cross-validation where that is possible, even if there are
                validation images: they choose the epoch later on.
        """
        return self.settings.balance.solve_head(self, cross_validate)

    def fit_head(self, rows, class_weight, cross_validate):
        """Fits the logistic head to some of the images.

        Args:
            rows: Their indices, in order.
            class_weight: The `class_weight` that holds for them.
            cross_validate: See `solve_head`.

        Returns:
            Its history.
        """
        settings, source, (features, held_out) = self.settings, self.source.take(rows), self.features
        copies, validation = self.num_views, None
        # Every class weighs in validation what it weighs in training, where its share may be another one.
        by_class = weights_of_classes(class_weight, source)
        if held_out is not None and not (cross_validate and can_hold_out(source.labels, source.groups)):
            validation = examples_of(held_out, weigh(self.validation, by_class))
        source = weigh(source, by_class)
        if len(source) < len(self.source):
            # All versions of these images; see `Examples.copies`.
            features = features[rows_of(rows, len(self.source), copies)]
        search = Search(validation=validation, seed=settings.seed)
        examples, focus = examples_of(features, source, copies), settings.options.focus
        path = fit_logistic_head(self.components.dense, examples, search, focus=focus)
        self._keep_judged(path, source if validation is None else self.validation)
        return path.history

    def _keep_judged(self, path, source):
        """Keeps the probabilities of held-out images, which thresholds and sets of classes are calibrated on."""
        rows, logits = path.judged
        probabilities = source.task.probabilities(logits)
        self._judged = source.truth[rows], probabilities, None if source.weights is None else source.weights[rows]

    def thresholds(self):
        """Chooses the probabilities from which on labels are given, on images that were not trained on, or `None`."""
        if not self.source.task.has_thresholds:
            return None
        if self._is_trained:
            self._judged = self.validation.truth, self._probabilities(), self.validation.weights
        return self.source.task.choose_thresholds(*self._judged)

    def conformal(self):
        """Makes the `Conformal` of the solved head, from images that it was chosen on, or `None`.

        Whoever balances classes changes how probable each is, which held-out scores must not be mixed with.
        """
        settings, task = self.settings, self.source.task
        is_balanced = settings.class_weight is not None or settings.balance.name is not None
        if self._judged is None or is_balanced or task.has_thresholds or not len(self._judged[0]):
            return None
        truth, probabilities, _ = self._judged
        origin = "cross-validated training images" if self.validation is None else "validation images"
        return Conformal.of(probabilities, truth, origin)

    def familiarity(self):
        """Makes the `Familiarity` of the training images, whose features a frozen network has not learnt."""
        features, source = self.features[0], self.source
        if len(source) < 2:
            return None
        # Of several views the first are the images as they are.
        return Familiarity.of(Taken(features, np.arange(len(source))), source.groups, self.settings.seed)

    def _probabilities(self):
        """Probabilities of the validation images."""
        training_data = self.training_data()
        shape = training_data.image_format, training_data.batch_size
        with validation_batches(self.validation, training_data.held_out_targets, *shape) as batches:
            return predict_batches(self.components.whole, (images for images, *_ in batches))

    def retrain_head(self):
        """Fits the logistic head anew to what the trained network makes of the images."""
        # The cached features are those of the network before it was trained.
        self.__dict__.pop("features", None)
        self.solve_head(cross_validate=True)

    def start(self):
        """Runs the first phase if it is solved. Returns the `Record`, which is empty otherwise."""
        if self.solved is None:
            return Record()
        self.solve_head(cross_validate=True)
        judged = [
            (features, source.truth, weigh(source, self.class_weights).weights)
            for features, source in zip(self.features, (self.source, self.validation), strict=True)
        ]
        return record_of_head(self.components.dense, *judged, capture(self.components.models), self.solved.title)

    def run(self, phases, record):
        """Runs the phases that an optimizer trains and writes them into the `Record`."""
        self._is_trained = True
        training_data = self.training_data()
        on_images = self.fronts.plan(phases, training_data)
        # Only phases that train on the images themselves read them again in every epoch.
        training_data = self._in_memory(training_data, on_images)
        precision = self._choose_precision(phases)
        options = replace(self.settings.options, scales_loss=precision == "float16")
        kept = {"fronts": self.fronts, "record": record}
        with computing_in(self.components.network, precision):
            run_phases(phases, self.components, training_data, self.settings.backbone.stages, options, **kept)

    def training_data(self):
        """Puts together what phases train on."""
        settings = self.settings
        return TrainingData(
            self.source,
            self.validation,
            settings.image_format,
            settings.batch_size,
            settings.seed,
            class_weights=self.class_weights,
            sampling=self.sampling,
            augmenter_for=settings.augmenter_for,
        )

    def _in_memory(self, training_data, phases):
        """Decodes files once, where memory allows, instead of in every epoch."""
        settings, sources = self.settings, (training_data.training, training_data.validation)
        files = [source for source in sources if not source.is_uniform]
        image_format, room = settings.image_format, _MEMORY_SHARE * free_memory()
        size = sum(map(len, files)) * int(np.prod(image_format.shape))
        dtype = next((dtype for dtype in image_format.memory_dtypes if size * np.dtype(dtype).itemsize <= room), None)
        if sum(phase.epochs for phase in phases) < 2 or not files or dtype is None:
            return training_data
        load = partial(ImageReader(image_format).load, batch_size=settings.batch_size, dtype=dtype)
        with console.step("Reading images into memory", sum(map(len, files))) as advance:
            training, validation = (
                source if source.is_uniform else load(source, advance=advance) for source in sources
            )
        return replace(training_data, training=training, validation=validation)

    def _choose_precision(self, phases):
        if self.settings.compute.precision != "auto":
            return self.settings.compute.precision
        steps = len(self.source) / self.settings.batch_size
        if steps * sum(phase.epochs for phase in phases if not phase.trains_head_only) < _STEPS_WORTH_MEASURING:
            return "float32"
        precision, seconds = choose_precision(self.components.network, self.settings.batch_size)
        times = ", ".join(f"{name} {1000 * value:,.0f} ms" for name, value in seconds.items())
        size = plural(self.settings.batch_size, "image")
        console.note(f"Precision {precision}: a batch of {size} takes the backbone {times}.")
        return precision
