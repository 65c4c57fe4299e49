"""The output of the frozen front of a network, computed once for all images and kept."""

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, field

import numpy as np

from transferkit._utils import console
from transferkit._utils.fingerprints import fingerprint, fingerprint_images
from transferkit._utils.folders import default_folder
from transferkit._utils.memory import free_memory
from transferkit._utils.text import listing, plural
from transferkit.backbones.stages import split_model
from transferkit.cache.folder import max_bytes, read_json, update_json
from transferkit.cache.placement import choose_place
from transferkit.cache.store import Store
from transferkit.data.augmentation.augmentation import Augmentation
from transferkit.data.datasets import stream_view
from transferkit.data.epochs import Epochs
from transferkit.data.reader import ImageReader
from transferkit.frozen.compiling import compile_front, first_model
from transferkit.frozen.cutting import Cut, find_cut, pooled_cut
from transferkit.frozen.forward import iterate_model
from transferkit.frozen.signatures import signature_of
from transferkit.frozen.speed import choose_front, engines_here, precisions_here
from transferkit.models.freezing import select

_FORMAT = 2  # of what is kept: another number makes all that was kept before a miss
_FEWEST_EPOCHS = 2
_WORTH_CUTTING = 0.05  # share of the network that a front must have to be worth keeping its output
_MEMORY_SHARE = 0.125  # of the free memory that an array of pooled features may take
_MOST_READINGS = 3  # of files that change while they are read
_SPEEDS = "speeds.json"

_speeds: dict[str, float] = {}  # what this process has measured


@dataclass(frozen=True)
class Trials:
    """How it is found out which engine and precision are fastest here.

    Attributes:
        worth: Multiply-adds of a whole fit from which on that pays.
        known: What has been measured already; see `choose_front`.
        choose: What measures, as `choose_front` does.
        engines: Returns the names of the engines that are tried.
        precisions: Returns the names of the precisions that are tried.
    """

    worth: float = 5e11
    known: dict[str, float] = field(default_factory=lambda: _speeds, repr=False)
    choose: Callable = field(default=choose_front, repr=False)
    engines: Callable = field(default=engines_here, repr=False)
    precisions: Callable = field(default=precisions_here, repr=False)


@dataclass(frozen=True)
class Activations:
    """The output of the frozen front of a network, computed once.

    Attributes:
        cut: The `Cut` at its end.
        training: One array `(n, …)`, or what can be indexed as one, for each view of the training images.
        validation: The same for the validation images as they are.
    """

    cut: Cut
    training: Sequence = field(repr=False)
    validation: np.ndarray = field(repr=False)


@dataclass(frozen=True)
class Plan:
    """What a phase computes once.

    Attributes:
        cut: Where the frozen front ends.
        place: `"disk"` or `"memory"`.
        views: Augmented versions of each training image; 1: the image as it is.
    """

    cut: Cut
    place: str
    views: int = 1


def find_front(phase, components, settings, num_images):
    """Finds the part of the network whose output is the same in every epoch of a phase and worth keeping.

    Args:
        phase: A `Phase`.
        components: `Components` of the classifier.
        settings: `Settings`.
        num_images: Number of training images.

    Returns:
        `(cut, views)`: the end of the front and the number of versions of each image, or `None`.
    """
    # Mixed images are new in every step.
    if settings.compute.cache is False or phase.mixes:
        return None
    selection = select(components.network, settings.backbone.stages, phase.train, phase.lora_rank)
    cut = find_cut(components.network, components.pooling, settings.backbone.stages, selection)
    views = 1 if settings.augmenter_for(phase) is None else phase.views_for(num_images)
    if cut is None or views is None or cut.share < _WORTH_CUTTING:
        return None
    # With fewer epochs than views, no output would be used twice.
    return (cut, views) if cut.is_pooled or phase.epochs >= max(_FEWEST_EPOCHS, views) else None


def describe_front(cut):
    """Names what lies before a cut: half a sentence."""
    return "its features" if cut.is_pooled else f"all before {cut.stage!r}, {cut.share:.0%} of the backbone"


class FrozenFeatures:
    """Runs the frozen fronts of one classifier.

    What was computed is found again by the content of the images and by what the front computes, so that it serves
    later runs, other heads, other labels, and other selections of the same images.

    Args:
        components: `Components` of the classifier.
        settings: `Settings`.
        num_images: Number of images of the whole fit: whether it pays to find out what is fastest.
        trials: How that is found out.
    """

    def __init__(self, components, settings, num_images, trials=None):
        self._components = components
        self._settings = settings
        self._num_images = num_images
        self._trials = trials or Trials()
        self._folder = settings.compute.cache_dir or default_folder()
        self._stores = {"memory": Store(None, _MEMORY_SHARE * free_memory())}
        self._prints = {}  # of the images of each source, by its identity
        self._fronts = {}
        self._plans = {}
        self._engines = {}

    def plan(self, phases, training_data):
        """Decides which phases train on activations that are computed once, and says so.

        Args:
            phases: List of `Phase`.
            training_data: The `TrainingData`.

        Returns:
            List of the phases that need the images themselves in every epoch.
        """
        self._training_data = training_data
        self._plans = {id(phase): self._plan(phase, training_data) for phase in phases}
        return [phase for phase in phases if self._plans[id(phase)] is None]

    def change_settings(self, settings):
        """Takes other settings for phases that are still to be planned; what was computed stays."""
        self._settings = settings

    def has_plan(self, phase):
        """Whether a phase that `plan` has seen trains on activations."""
        return self._plans[id(phase)] is not None

    def _plan(self, phase, training_data):
        found = find_front(phase, self._components, self._settings, len(training_data.training))
        if found is None:
            return None
        cut, views = found
        place, reason = self._choose_place(cut, views * len(training_data.training) + len(training_data.validation))
        outcome = "not kept" if place is None else "computed once"
        versions = "" if views == 1 else f", for {views} versions of each image"
        console.note(f"Phase {phase.title!r}: {describe_front(cut)}, {outcome}{versions}: {reason}.")
        return None if place is None else Plan(cut, place, views)

    def _choose_place(self, cut, rows):
        cache, count = self._settings.compute.cache, rows * int(np.prod(cut.row_shape))
        return choose_place(cache, count, work=cut.work * rows, folder=self._folder, max_bytes=max_bytes())

    def activations(self, phase):
        """Computes, or finds, what a phase trains on.

        Args:
            phase: A `Phase` that `plan` has seen. The network must have the weights that it begins with.

        Returns:
            `Activations`, or `None` if the phase needs the images themselves.
        """
        plan = self._plans[id(phase)]
        if plan is None:
            return None
        cut, source, validation = plan.cut, self._training_data.training, self._training_data.validation
        kind = "features" if cut.is_pooled else f"what comes before {cut.stage!r}"
        titles = [f"Computing {kind}" + (f", view {view + 1}" if view else "") for view in range(plan.views)]
        training = [self.rows(cut, plan.place, source, title, view) for view, title in enumerate(titles)]
        return Activations(cut, training, self.rows(cut, plan.place, validation, f"{titles[0]} (validation)"))

    def features(self, source, title, views=1):
        """Computes, or finds, the pooled features of images, for what is not trained in epochs.

        Args:
            source: `Source` of the images.
            title: What the computation is called while it runs.
            views: Number of versions of each image.

        Returns:
            float32 `(views * n, num_features)`: of all images as they are, then of one augmented version after another.
        """
        cut = pooled_cut(self._components.network, self._components.pooling)
        place = None if self._settings.compute.cache is False else self._choose_place(cut, views * len(source))[0]
        found = [
            self.rows(cut, place or "memory", source, f"{title}, view {view + 1}" if view else title, view)
            for view in range(views)
        ]
        return found[0] if views == 1 else np.concatenate([np.asarray(rows) for rows in found])

    def rows(self, cut, place, source, title, view=0):
        """Computes, or finds, the output of one front.

        Args:
            cut: The end of the front.
            place: `"disk"` or `"memory"`.
            source: `Source` of the images.
            title: What the computation is called while it runs.
            view: 0 for the images as they are, other numbers for augmented versions of them.

        Returns:
            float32 `(n, *cut.row_shape)`, as an array or as something that is indexed like one and reads from disk.
        """
        for _ in range(_MOST_READINGS):
            rows, changed = self._find_or_compute(cut, place, source, title, view)
            if not len(changed):
                return rows
            self._read_again(source, changed)
        raise RuntimeError(
            f"{plural(len(changed), 'file')} changed whenever read: {listing(map(source.name, changed))}. "
            "Expected files that are complete. Wait until nothing writes to them any more."
        )

    def _find_or_compute(self, cut, place, source, title, view):
        """Returns the rows, or `None`, and indices of the images whose files have changed since their print."""
        prints, engine = self._prints_of(source), self._choose_engine(cut)
        front = self._describe(cut, engine)
        tables = self._tables(cut, place, front, prints, view)
        full = next((table for table in tables if not len(table.missing(prints))), None)
        if full is not None:
            console.note(f"{title.replace('Computing', 'Found')}: all {plural(len(source), 'image')} were there.")
            return self._loaded(full.rows(prints), cut), ()
        for table in tables:
            try:
                changed = self._fill(table, cut, front, prints, source, title, view)
            except ArithmeticError:  # too large or too small for float16
                continue
            return (None, changed) if len(changed) else (self._loaded(table.rows(prints), cut), ())
        raise AssertionError("float32 holds what float32 computed")

    def _read_again(self, source, changed):
        """Takes new prints of files whose content is no longer what it was."""
        warnings.warn(
            f"{plural(len(changed), 'file')} changed during this run: {listing(map(source.name, changed))}. "
            "What was in them last is used.",
            stacklevel=3,
        )
        prints = self._prints_of(source).copy()
        prints[changed] = fingerprint_images([source.images[index] for index in changed], None)
        self._prints[id(source)] = source, prints

    def _tables(self, cut, place, front, prints, view):
        """Where the rows may stand: in float16 or, if they do not fit that or are in memory, in float32."""
        key = self._key(front, prints, view)
        part = "features" if cut.is_pooled else f"before {cut.stage}"
        height, width = self._settings.image_format.image_size
        title = f"{self._settings.backbone.name} {part}, {height} x {width}" + (f", view {view + 1}" if view else "")
        dtypes = ["float32"] if place == "memory" else ["float16", "float32"]
        store = self._store(place)
        return [store.table(fingerprint(key, dtype), cut.row_shape, dtype, title) for dtype in dtypes]

    def _loaded(self, rows, cut):
        """Makes an array of pooled features, which are small: a head goes through them many times."""
        fits = 4 * np.prod(rows.shape) <= _MEMORY_SHARE * free_memory()
        return np.asarray(rows) if cut.is_pooled and fits and self._settings.compute.cache != "disk" else rows

    def _fill(self, table, cut, front, prints, source, title, view):
        """Computes what is missing. Returns indices of the images whose files have changed since their print was taken.

        Their rows are not kept: they would stand under the print of something else, and be found there for good.
        """
        missing = table.missing(prints)
        settings, changed = self._settings, []
        if not len(missing):
            return changed
        shape = settings.image_format, settings.batch_size
        with console.step(title, len(missing)) as advance, table.writer() as writer:
            if view:
                # Draws belong to the place of an image in the whole: what is there already is computed again.
                indices, done = np.arange(len(source)), source
                keys = Epochs(seed=settings.seed).augmentation_keys
                batches = stream_view(source, *shape, augmenter=settings.augmenter, keys=keys, view=view)
            else:
                indices, done = missing, source.take(missing)
                batches = ImageReader(settings.image_format).stream(done, settings.batch_size)
            start, paths = 0, [] if done.is_uniform else done.paths
            for outputs in iterate_model(self._compiled(cut, front, done, view), batches, len(done)):
                part = slice(start, start + len(outputs))
                rows = prints[indices[part]]
                is_same = _is_same(paths[part], rows)
                writer.append(rows[is_same], outputs[is_same])
                changed.extend(indices[part][~is_same])
                start += len(outputs)
                advance(len(outputs))
        return changed

    def _compiled(self, cut, front, source, view):
        """The front, compiled for images as `stream_images` or `stream_view` give them."""
        image_format = self._settings.image_format
        size = tuple(source.images.shape[1:3]) if source.is_uniform and not view else image_format.image_size
        key = (*front, size)
        if key not in self._fronts:
            (_, _, (engine, precision)), settings = front, self._settings
            first = first_model(self._components.scaling, self._components.preprocessing, size, image_format)
            models = (first, *self._models(cut))
            self._fronts[key] = compile_front(
                models, precision=precision, engine=engine, batch_size=settings.batch_size
            )
        return self._fronts[key]

    def _models(self, cut):
        if cut.is_pooled:
            return self._components.network, self._components.pooling
        return split_model(self._components.network, self._settings.backbone.stages, cut.stage)[:1]

    def _describe(self, cut, engine):
        """What a front computes with the weights of the moment, and how: its stage, its signature, its engine."""
        return cut.stage, signature_of(self._components.scaling, *self._models(cut)), engine

    def _key(self, front, prints, view):
        settings, (stage, signature, engine) = self._settings, front
        key = [_FORMAT, stage, signature, astuple(settings.image_format), engine]
        if view:
            augmenter = settings.augmenter
            # An augmenter of the user cannot be described for certain, so its views are never found again.
            known = repr(augmenter) if isinstance(augmenter, Augmentation) else os.urandom(16)
            # What is drawn for an image depends on its batch and its place there, so all images are part of the key.
            key += [known, settings.seed, settings.batch_size, view, prints]
        return fingerprint(*key)

    def _prints_of(self, source):
        if id(source) not in self._prints:
            read = ImageReader(self._settings.image_format).read
            # With the source, which keeps its id from being used again.
            self._prints[id(source)] = source, fingerprint_images(source.images, read)
        return self._prints[id(source)][1]

    def _store(self, place):
        if place not in self._stores:
            self._stores[place] = Store(self._folder, max_bytes())
        return self._stores[place]

    def _choose_engine(self, cut):
        """Chooses what runs a front, and in which precision: `(engine, precision)`."""
        settings, trials = self._settings, self._trials
        engines = trials.engines() if settings.compute.engine == "auto" else (settings.compute.engine,)
        precisions = trials.precisions() if settings.compute.precision == "auto" else (settings.compute.precision,)
        candidates = [(engine, precision) for engine in engines for precision in precisions]
        if len(candidates) == 1 or cut.work * self._num_images < trials.worth:
            return candidates[0]  # the same on every machine: small data give the same classifier everywhere
        if cut not in self._engines:
            self._engines[cut] = self._measure(cut, candidates)
        return self._engines[cut]

    def _measure(self, cut, candidates):
        settings, models = self._settings, (self._components.scaling, *self._models(cut))
        known, found = self._trials.known, read_json(self._folder, _SPEEDS)
        # The file may be damaged: only what can be a speed is used.
        known.update({key: value for key, value in found.items() if isinstance(value, float) and 0 <= value < np.inf})
        before = len(known)
        shape = (settings.batch_size, *settings.image_format.shape)
        chosen, speeds = self._trials.choose(models, candidates, shape, known)
        if len(known) > before:
            times = ", ".join(f"{engine} {precision} {speed:,.0f}" for (engine, precision), speed in speeds.items())
            console.note(f"Images a second: {times}. What is computed once is computed by {' in '.join(chosen)}.")
            # Who asked for memory wants nothing written.
            if settings.compute.cache in ("auto", "disk"):
                update_json(self._folder, _SPEEDS, known)
        return chosen


def _is_same(paths, prints):
    """Whether files, where images are files, still have the content that their prints were taken of."""
    is_same = np.ones(len(prints), bool)
    files = [number for number, path in enumerate(paths) if path is not None]
    if files:
        found = fingerprint_images([paths[number] for number in files], None)
        is_same[files] = (found == prints[files]).all(axis=1)
    return is_same
