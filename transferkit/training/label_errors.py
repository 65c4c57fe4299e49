"""Finds images whose labels may be wrong, by cross-validation on the features of the pretrained network."""

from functools import partial

import numpy as np

from transferkit._utils import console
from transferkit._utils.text import plural
from transferkit.data.reader import ImageReader
from transferkit.evaluation.label_errors import LabelErrors, judge_labels
from transferkit.solvers.path import LogisticProblem, Search, held_out_logits
from transferkit.training.on_features import work_on_features

_HALF = 0.5  # probability from which on a label is likely, where an image can have any number of them


def find_label_errors(request, x, y=None, groups=None, steps=None):
    """Finds images whose labels may be wrong.

    A logistic head is fitted to the features of the pretrained network, without one fold of the images after the other,
    and judges these; whatever the classifier itself would train. Features are computed, kept and found as in `fit`.

    Args:
        request: The `Request` of a classifier.
        x: Images; see `as_source`.
        y: Labels, or `None` for what brings its own.
        groups: What each image belongs to, `(n,)`, or `None`; no fold divides a group, nor duplicates.
        steps: Number of batches to read from a stream. Default: all, if it has an end.

    Returns:
        `LabelErrors`.
    """
    return work_on_features(_judge, request, x, y, groups, steps)


def _judge(request, source, examples):
    probabilities, is_judged = _held_out_probabilities(request, source, examples)
    scores, is_suspect = judge_labels(source.truth, probabilities, is_judged)
    if not is_judged.all():
        console.note(
            f"{plural(int((~is_judged).sum()), 'image')} could not be judged: nothing else is of the same class, or "
            "all that is belongs to one group."
        )
    thresholds = np.full(len(source.class_names), _HALF)
    return LabelErrors(
        source.class_names,
        [source.task.label_of(source, row) for row in range(len(source))],
        source.task.labels(probabilities, source.class_names, thresholds).tolist(),
        scores,
        is_suspect,
        probabilities,
        source.paths,
        np.arange(len(source)) if source.places is None else np.asarray(source.places),
        partial(ImageReader(request.image_format).thumbnails, source),
    )


def _held_out_probabilities(request, source, examples):
    """Returns `(n, num_classes)` float32, each row by a head that has not seen the image, and where there are such."""
    problem = LogisticProblem(examples, len(source.class_names), source.task.activation)
    search = Search(seed=request.seed)
    with console.step("Cross-validating", len(search.strengths), "strength") as advance:
        logits, is_judged = held_out_logits(problem, search, advance)
    return source.task.probabilities(logits), is_judged
