"""What is asked of labelled images before `fit`: a logistic head on features of the pretrained network answers."""

from dataclasses import replace
from functools import partial

from transferkit._utils.random import python_random_seeded
from transferkit.data.inputs.streams import Steps
from transferkit.data.intake import Intake
from transferkit.data.reader import ImageReader
from transferkit.frozen.features import FrozenFeatures
from transferkit.training.fitting import build_new
from transferkit.training.settings import make_settings
from transferkit.training.trainer import examples_of

_PLAIN = {"head": "logistic", "class_weight": None, "balance": None}


def work_on_features(work, request, x, y=None, groups=None, steps=None):
    """Does something with all labelled images and their features, whatever else a classifier would train.

    Features are computed, kept and found as in `fit`.

    Args:
        work: Function of a `Request`, the `Source` and the `Examples` for a solver. It is called again without images
            that break meanwhile, if `checks` say to skip them.
        request: The `Request` of a classifier.
        x: Images; see `as_source`. However they are divided, all of them are taken.
        y: Labels, or `None` for what brings its own.
        groups: What each image belongs to, `(n,)`, or `None`.
        steps: Number of batches to read from a stream. Default: all, if it has an end.

    Returns:
        What `work` returns.

    Raises:
        ValueError, TypeError: If parameters or data are not usable.
        ImageReadError: If images cannot be read.
    """
    request.backbone.check_is_fresh()
    request = replace(request, parameters={**request.parameters, **_PLAIN})
    reader, task = ImageReader(request.image_format), request.parameters["task"]
    source = Intake(reader, request.checks).whole(x, y, groups=groups, task=task, steps=Steps(steps, "steps"))
    return reader.without_broken(partial(_with_features, work, request), (source,), request.checks.on_bad_image)


def _with_features(work, request, source):
    with python_random_seeded(request.seed):
        components = build_new(request, source)
    fronts = FrozenFeatures(components, make_settings(request, source), len(source))
    return work(request, source, examples_of(fronts.features(source, "Computing features"), source))
