"""Finds images whose labels may be wrong, by cross-validation on the features of the pretrained network."""

from dataclasses import replace
from functools import partial

import numpy as np
from scipy.special import expit, softmax

from transferkit._utils import console
from transferkit._utils.random import python_random_seeded
from transferkit._utils.text import plural
from transferkit.data.inputs.streams import Steps
from transferkit.data.intake import Intake
from transferkit.data.reader import ImageReader
from transferkit.evaluation.label_errors import LabelErrors, judge_labels
from transferkit.frozen.features import FrozenFeatures
from transferkit.solvers.path import LogisticProblem, Search, held_out_logits
from transferkit.training.fitting import build_new
from transferkit.training.settings import make_settings
from transferkit.training.trainer import examples_of

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
    request.backbone.check_is_fresh()
    plain = {"head": "logistic", "class_weight": None, "balance": None}
    request = replace(request, parameters={**request.parameters, **plain})
    reader = ImageReader(request.image_format)
    task = request.parameters["task"]
    source = Intake(reader, request.checks).whole(x, y, groups=groups, task=task, steps=Steps(steps, "steps"))
    return reader.without_broken(partial(_judge, request, reader), (source,), request.checks.on_bad_image)


def _judge(request, reader, source):
    probabilities, is_judged = _held_out_probabilities(request, source)
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
        partial(reader.thumbnails, source),
    )


def _held_out_probabilities(request, source):
    """Returns `(n, num_classes)` float32, each row by a head that has not seen the image, and where there are such."""
    with python_random_seeded(request.seed):
        components = build_new(request, source)
    fronts = FrozenFeatures(components, make_settings(request, source), len(source))
    examples = examples_of(fronts.features(source, "Computing features"), source)
    problem = LogisticProblem(examples, len(source.class_names), source.task.activation)
    search = Search(seed=request.seed)
    with console.step("Cross-validating", len(search.strengths), "strength") as advance:
        logits, is_judged = held_out_logits(problem, search, advance)
    return (expit(logits) if source.task.activation == "sigmoid" else softmax(logits, axis=1)), is_judged
