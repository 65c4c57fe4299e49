"""From what `fit` and `evaluate` are given to sources that can be worked with: read, checked, and talked about."""

from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np

from transferkit._utils import console
from transferkit._utils.text import listing, plural
from transferkit.data.checks import Checks, check_classes
from transferkit.data.inputs.convert import LabelRule
from transferkit.data.inputs.streams import Steps
from transferkit.data.quality.duplicates import join_groups, without_large_groups
from transferkit.data.quality.findings import Inspected, report_on
from transferkit.data.quality.inspection import refuse_unreadable
from transferkit.data.quality.leaks import judge_leaks, tell_in_brief
from transferkit.data.quality.similarity import has_imagehash
from transferkit.data.reader import ImageReader


@dataclass(frozen=True)
class Intake:
    """Turns what the user gives into sources: read, checked, and talked about.

    Attributes:
        reader: The `ImageReader`.
        checks: The `Checks`: what is done about images that are wrong.
        most_compared: Number of images among which near-duplicates are looked for.
    """

    reader: ImageReader
    checks: Checks = field(default_factory=Checks)
    most_compared: int = 20_000

    def labelled(self, x, y=None, subset=None, *, class_names=None, task="auto", **columns):
        """Makes a `Source` of labelled images. Whether they can be read is not known yet.

        Args:
            x: Images; see `as_source`.
            y: Labels, or `None` for what brings its own.
            subset: Where the user has divided the images, the subset to take. Default: all.
            class_names: Classes that labels may have, in order; default: those that occur.
            task: What labels may be.
            **columns: `sample_weight`, `groups` and `steps`; see `as_source`.

        Raises:
            ValueError: If there are no images of that subset.
        """
        source = self.reader.source(x, y, label_rule=LabelRule(class_names, task, is_required=True), **columns)
        for note in source.notes:
            console.note(note)
        return source if subset is None or source.subsets is None else _subset(source, subset)

    def checked(self, x, y=None, subset=None, **options):
        """Makes a `Source` of labelled images that can all be read; see `labelled`."""
        return self.reader.keep_readable(self.labelled(x, y, subset, **options), self.checks.on_bad_image)

    def whole(self, x, y=None, **columns):
        """Makes one source of all labelled images, however they are divided.

        Args:
            x: Images; see `as_source`.
            y: Labels, or `None` for what brings its own.
            **columns: `sample_weight`, `groups`, `steps` and `task`.

        Returns:
            A `Source` of images that can be read. Duplicates belong to one group.

        Raises:
            ValueError: If there are too few images or classes.
            ImageReadError: If images cannot be read.
        """
        source = _of_weight(_undivided(self.labelled(x, y, **columns)), "training")
        source = self._checked({"training": source})["training"]
        for note in check_classes(source):
            console.note(note)
        return source

    def training_sources(self, x, y, validation_data, steps=(None, None), **columns):
        """Makes the sources of `fit`.

        Args:
            x: Images; see `as_source`.
            y: Labels, or `None` for what brings its own.
            validation_data: The same as `x`, or a tuple `(x, y)` or `(x, y, sample_weight)`, or `None`.
            steps: Numbers of batches to read from streams, `(training, validation)`.
            **columns: `sample_weight`, `groups` and `task` of the training images.

        Returns:
            `(training, validation)`, two `Source`. The second is `None` if the user has not set any images aside.
            Duplicates among the training images belong to one group.

        Raises:
            ValueError: If `validation_data` is of another form, or there are too few images or classes.
            ImageReadError: If images cannot be read.
            LeakError: If training images are duplicates of validation images, and `checks` forbid it.
        """
        validation_given = _unpack(validation_data)  # before a stream is read, which may take long
        training, validation = self.labelled(x, y, steps=Steps(steps[0]), **columns), None
        if training.subsets is not None:
            training, validation = _divide(training, validation_data is not None)
        if validation_data is not None:
            validation = self._validation_source(*validation_given, Steps(steps[1], "validation_steps"), training)
        sources = {"training": training} if validation is None else {"training": training, "validation": validation}
        # Before the checks: an image of weight 0 counts as absent, so it need not be readable.
        sources = self._checked({name: _of_weight(source, name) for name, source in sources.items()})
        training = sources["training"]
        for note in check_classes(training):
            console.note(note)
        console.note(
            f"{plural(len(training), 'image')} of {len(training.class_names)} classes: {listing(training.class_names)}"
        )
        return training, sources.get("validation")

    def _validation_source(self, x, y, sample_weight, steps, training):
        with _named_in_errors("validation_data"):
            return self.labelled(
                x,
                y,
                "validation",
                class_names=training.class_names,
                task=training.task.name,
                sample_weight=sample_weight,
                steps=steps,
            )

    def _checked(self, sources):
        """Looks at all images once. Returns the sources, without what has to go, and with duplicates in groups."""
        inspected = self._inspected(sources)
        report = report_on(inspected, self.reader.image_format.image_size)
        left_out = judge_leaks(report, self.checks.on_leak)
        tell_in_brief(report, self.reader.image_format.image_size)
        rows = {name: seen.inspection.readable for name, seen in inspected.items()}
        rows["training"] = np.setdiff1d(rows["training"], left_out)
        taken = {
            name: source.take(rows[name]) if len(rows[name]) < len(source) else source
            for name, source in sources.items()
        }
        prints = inspected["training"].inspection.prints
        taken["training"] = training = replace(taken["training"], prints=prints[rows["training"]])
        # In one group, duplicates stay on one side of every split and fold.
        duplicates = without_large_groups(report.groups["training"][rows["training"]])
        if duplicates is not None:
            taken["training"] = replace(training, groups=join_groups(duplicates, training.groups))
        return taken

    def _inspected(self, sources):
        # Thumbnails of many images would fill memory, and comparing them takes a while.
        compares = has_imagehash() and sum(map(len, sources.values())) <= self.most_compared
        inspected = {}
        for name, source in sources.items():
            inspection = self.reader.inspect(source, has_thumbnails=compares)
            refuse_unreadable(inspection.failures, len(source), self.checks.on_bad_image)
            inspected[name] = Inspected(source, inspection)
        return inspected


def _of_weight(source, name):
    """Drops images of weight 0. If no others are left to train or validate on, that is an error."""
    if source.weights is None or source.weights.all():
        return source
    kept = np.flatnonzero(source.weights)
    if not len(kept):
        raise ValueError(
            f"All {plural(len(source), f'{name} image')} have weight 0. Give some of them another `sample_weight`."
        )
    console.note(f"Left out {plural(len(source) - len(kept), f'{name} image')} of weight 0.")
    return source.take(kept)


def _unpack(validation_data):
    """Returns what `validation_data` consists of: `(x, y, sample_weight)`, with `None` for what is not there."""
    expected = "`validation_data` must be what `x` can be, or a tuple (x, y) or (x, y, sample_weight). "
    if isinstance(validation_data, tuple):
        if len(validation_data) not in (2, 3):
            raise ValueError(f"{expected}Received: a tuple of {len(validation_data)}.")
        return *validation_data, *[None] * (3 - len(validation_data))
    if isinstance(validation_data, int | float):
        raise TypeError(
            f"{expected}Received: {validation_data!r}. For a share of the training images use `validation_split`."
        )
    if isinstance(validation_data, list) and len(validation_data) in (2, 3):
        images, labels = validation_data[:2]
        # A list of two or three images would be without labels, which some kinds of images bring along.
        if getattr(images, "ndim", 0) == 4 or (isinstance(images, list) and isinstance(labels, list | np.ndarray)):
            raise TypeError(f"{expected}Received: a list of {len(validation_data)}. Make it a tuple.")
    return validation_data, None, None


@contextmanager
def _named_in_errors(name):
    """Says in errors about images and labels which argument they are about, since they know `x` and `y` alone."""
    try:
        yield
    except (ValueError, TypeError) as error:
        # Subclasses, such as `ImageReadError`, take other arguments than a message.
        if type(error) not in (ValueError, TypeError):
            raise
        raise type(error)(f"In `{name}`: {error}") from error


def _divide(source, has_validation):
    """Divides images as the user has divided them. Those to test on are left out."""
    if has_validation:
        return _subset(source, "training"), None
    training, validation = (np.flatnonzero(source.subsets == name) for name in ("training", "validation"))
    if not len(training):
        raise ValueError(f"No images are there to train on. The parts of the data are: {_counts(source)}.")
    console.note(f"Divided as given: {_counts(source)}.")
    if not len(validation):
        return _undivided(source.take(training)), None
    return _undivided(source.take(training)), _undivided(source.take(validation))


def _subset(source, name):
    """Takes one subset of divided images."""
    rows = np.flatnonzero(source.subsets == name)
    if not len(rows):
        raise ValueError(f"There are no images of the part {name!r}. The parts of the data are: {_counts(source)}.")
    console.note(f"Took the part {name!r}: {len(rows):,} of {plural(len(source), 'image')}.")
    return _undivided(source.take(rows))


def _undivided(source):
    return replace(source, subsets=None)


def _counts(source):
    names, counts = np.unique(source.subsets, return_counts=True)
    return ", ".join(f"{count:,} {name}" for name, count in zip(names, counts, strict=True))
