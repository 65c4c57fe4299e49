"""The classifier's arguments: checked, and turned into what training needs."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np

from transferkit.data.augmentation.augmentation import as_augmentation
from transferkit.data.balance import FOCUS, check_balance, check_class_weight
from transferkit.data.labels.targets import check_task
from transferkit.data.quality.leaks import ON_LEAK
from transferkit.data.resizing import ImageFormat, check_format_arguments
from transferkit.data.splits import check_fraction
from transferkit.frozen.precision import PRECISIONS
from transferkit.models.freezing import check_stages, weighted_stages
from transferkit.models.heads import Head
from transferkit.training.callbacks import LOGGED
from transferkit.training.loop import Options
from transferkit.training.optimizers import accumulation_steps_of, own_rate
from transferkit.training.phases import RecipeContext, check_rate, check_schedule, make_phases

_ENGINES = ("auto", "keras", "openvino")
_CACHES = ("auto", "memory", "disk", False)
_SMALLEST = {"epochs": 1, "batch_size": 1, "seed": 0}
# Measured in `benchmarks/views.py`: as accurate as other versions in every epoch, or nearly.
_VIEWS_OF_FEW, _VIEWS_OF_MANY, _FEW_IMAGES = 4, 2, 2000
_KEPT = (
    "batch_size", "seed", "validation_split", "class_weight", "balance", "precision", "engine", "cache", "cache_dir",
    "views",
)  # fmt: skip
_MAY_BE_NONE = ("epochs",)
_PACKAGES = {keras.callbacks.TensorBoard: "tensorboard", keras.callbacks.RemoteMonitor: "requests"}


@dataclass(frozen=True)
class Settings:
    """What the classifier was asked for, as far as training needs it; the names are those of its arguments.

    Attributes:
        name: Name of the backbone.
        stages: Its stages.
        image_format: The `ImageFormat`.
        augmenter: From `as_augmentation`, or `None`.
        augments_heads: Whether phases that train the head only are augmented, too.
    """

    name: str
    stages: tuple
    image_format: ImageFormat
    batch_size: int
    seed: int
    validation_split: float
    class_weight: object
    balance: str | None
    precision: str
    engine: str
    cache: str | bool
    cache_dir: object
    views: str | int | None
    augmenter: object
    augments_heads: bool
    options: Options

    def augmenter_for(self, phase):
        """Returns what augments the images of a phase, or `None`."""
        return self.augmenter if self.augments_heads or not phase.trains_head_only else None

    @property
    def logistic_views(self):
        """How many versions of each image the logistic head is fitted to: several only if both were asked for."""
        return self.views if self.augments_heads and isinstance(self.views, int | np.integer) else 1

    def views_for(self, num_images):
        """Returns how many versions of each image a phase with augmentation and a frozen front trains on.

        `None`: other ones in every epoch, so that the front has to be computed anew.
        """
        if not is_auto(self.views):
            return self.views
        return _VIEWS_OF_FEW if num_images < _FEW_IMAGES else _VIEWS_OF_MANY


def check_parameters(parameters, stages):
    """Checks the arguments of a `TransferClassifier`.

    Args:
        parameters: Dict of them, as `get_params(deep=False)` gives it.
        stages: Stages of the backbone.

    Raises:
        ValueError, TypeError: For the first one that is wrong.
    """
    head, on_bad_image, precision = (parameters[name] for name in ("head", "on_bad_image", "precision"))
    if head != "logistic" and not isinstance(head, Head):
        raise ValueError(f"`head` must be 'logistic' or a Head. Received: head={head!r}.")
    if on_bad_image not in ("raise", "skip"):
        raise ValueError(f"`on_bad_image` must be 'raise' or 'skip'. Received: on_bad_image={on_bad_image!r}.")
    if parameters["on_leak"] not in ON_LEAK:
        raise ValueError(f"`on_leak` must be 'warn', 'raise' or 'drop'. Received: on_leak={parameters['on_leak']!r}.")
    if precision not in ("auto", *PRECISIONS):
        raise ValueError(
            f"`precision` must be 'auto', {', '.join(map(repr, PRECISIONS))}. Received: precision={precision!r}."
        )
    check_format_arguments(parameters["resize"], parameters["background"], parameters["channels"])
    _check_caching(parameters["cache"], parameters["views"], parameters["engine"])
    for name, smallest in _SMALLEST.items():
        value = parameters[name]
        if value is None and name in _MAY_BE_NONE:
            continue
        if not isinstance(value, int | np.integer) or value < smallest:
            raise ValueError(f"`{name}` must be an integer from {smallest}. Received: {name}={value!r}.")
    strategy = parameters["strategy"]
    if strategy is not None and not hasattr(strategy, "scope"):
        raise TypeError(f"`strategy` must be a tf.distribute.Strategy. Received: strategy={strategy!r}.")
    check_rate(parameters["learning_rate"])
    together = accumulation_steps_of(parameters["optimizer"])  # an error if that is none
    if together > 1 and strategy is not None:
        raise ValueError(
            "`gradient_accumulation_steps` of the optimizer does not work with a `strategy`: Keras cannot do both. "
            f"Received: gradient_accumulation_steps={together}."
        )
    check_schedule(parameters["schedule"], head == "logistic", rate_of(parameters))
    check_class_weight(parameters["class_weight"])
    check_balance(parameters["balance"], parameters["class_weight"])
    check_task(parameters["task"])
    if parameters["balance"] in ("crt", "smote") and head != "logistic":
        raise ValueError(
            f"balance={parameters['balance']!r} needs the logistic head. Received: head={head!r}. "
            "Leave `head` out, or try balance='logit_adjustment'."
        )
    check_fraction(parameters["validation_split"])
    if not isinstance(parameters["schedule"], str):
        check_stage_names(parameters["schedule"], stages)
    if not is_auto(parameters["augmentation"]):
        as_augmentation(parameters["augmentation"], parameters["seed"], parameters["channels"])


def _check_caching(cache, views, engine):
    if not any(cache is known or (isinstance(cache, str) and cache == known) for known in _CACHES):
        raise ValueError(f"`cache` must be 'auto', 'memory', 'disk' or False. Received: cache={cache!r}.")
    is_count = isinstance(views, int | np.integer) and not isinstance(views, bool) and views >= 1
    if views is not None and not is_auto(views) and not is_count:
        raise ValueError(f"`views` must be 'auto', an integer from 1, or None. Received: views={views!r}.")
    if engine not in _ENGINES:
        raise ValueError(f"`engine` must be one of {', '.join(map(repr, _ENGINES))}. Received: engine={engine!r}.")


def check_callbacks(callbacks):
    """Checks the callbacks of the user, as far as can be told before training begins.

    Raises:
        TypeError: Unless they are a list of Keras callbacks that schedules of phases can have.
        ValueError: If one of them watches what is never logged.
        ImportError: If one of them needs a package that is not installed.
        FileNotFoundError: If one of them writes into a folder that is not there.
    """
    if callbacks is None:
        return
    if not isinstance(callbacks, Sequence):
        raise TypeError(f"`callbacks` must be a list of Keras callbacks. Received: {type(callbacks).__name__}.")
    knows_all_logs = True
    for callback in callbacks:
        if not isinstance(callback, keras.callbacks.Callback):
            raise TypeError(f"`callbacks` must hold keras.callbacks.Callback objects. Received: {callback!r}.")
        if isinstance(callback, keras.callbacks.BackupAndRestore):
            raise TypeError(
                "BackupAndRestore knows one `fit` only, and would resume a schedule in the wrong phase with the wrong "
                "weights. Use ModelCheckpoint to keep every epoch."
            )
        _check_installed(callback)
        _check_log_file(callback)
        # Those of users and of other libraries may add to the logs, which callbacks after them then find there.
        is_of_keras = type(callback).__module__.split(".")[0] == "keras"
        knows_all_logs &= is_of_keras and not isinstance(callback, keras.callbacks.LambdaCallback)
        if knows_all_logs:
            _check_monitor(callback)


def _check_installed(callback):
    for kind, package in _PACKAGES.items():
        if isinstance(callback, kind) and find_spec(package) is None:
            raise ImportError(
                f"`callbacks` holds a {kind.__name__}, which needs {package}, and that is not installed here. "
                f"Install it with: pip install {package}"
            )


def _check_log_file(callback):
    if not isinstance(callback, keras.callbacks.CSVLogger) or "://" in callback.filename:
        return
    folder = Path(callback.filename).parent
    if not folder.is_dir():
        raise FileNotFoundError(
            f"The folder {str(folder)!r}, into which a CSVLogger of `callbacks` writes, does not exist. Make it first. "
            f"Received: filename={callback.filename!r}."
        )


def _check_monitor(callback):
    name = _monitored(callback)
    if name is None:
        return
    kind = type(callback).__name__
    if name not in LOGGED:
        close = difflib.get_close_matches(name, LOGGED, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(
            f"A {kind} of `callbacks` watches {name!r}, which is not logged. Expected one of "
            f"{', '.join(map(repr, LOGGED))}. Received: monitor={name!r}.{hint}"
        )
    if name == "learning_rate" and callback.mode == "auto":
        raise ValueError(
            f"A {kind} of `callbacks` watches 'learning_rate', of which Keras cannot tell whether it is to rise or to "
            f"fall. Give it `mode='min'` or `mode='max'`. Received: mode={callback.mode!r}."
        )


def _monitored(callback):
    """The column of the logs that a callback of Keras watches, or `None`."""
    if isinstance(callback, keras.callbacks.ModelCheckpoint):
        return callback.monitor if callback.save_best_only else None
    is_watching = isinstance(callback, keras.callbacks.EarlyStopping | keras.callbacks.ReduceLROnPlateau)
    return callback.monitor if is_watching else None


def check_stage_names(phases, stages):
    """Raises `ValueError` if phases name stages that are not there."""
    for phase in phases:
        if phase.train not in ("logistic", "head", "batch_norm", "lora"):
            check_stages(phase.train, [stage.name for stage in stages])


def is_auto(value):
    """Whether a value is the word `"auto"`; arrays and layers, which compare in their own ways, are not."""
    return isinstance(value, str) and value == "auto"


def find_augmenter(augmentation, seed, channels):
    """Returns what augments images while the backbone trains, and notes; see `as_augmentation`."""
    return as_augmentation("light" if is_auto(augmentation) else augmentation, seed, channels)


def make_settings(parameters, backbone, image_format, callbacks=()):
    """Makes the `Settings` of a classifier.

    Args:
        parameters: Dict of its arguments.
        backbone: Its `Backbone`.
        image_format: The `ImageFormat`.
        callbacks: Keras callbacks.

    Returns:
        `(settings, notes)`: notes are sentences that the user should read.
    """
    augmenter, notes = find_augmenter(parameters["augmentation"], parameters["seed"], image_format.channels)
    focus = FOCUS if parameters["balance"] == "focal" else 0.0
    options = Options(parameters["optimizer"], tuple(callbacks or ()), focus)
    kept = {name: parameters[name] for name in _KEPT}
    augments_heads = augmenter is not None and not is_auto(parameters["augmentation"])
    settings = Settings(
        backbone.name, backbone.stages, image_format, **kept, augmenter=augmenter, augments_heads=augments_heads,
        options=options,
    )  # fmt: skip
    return settings, notes


def plan_phases(parameters, network, stages, num_images, num_classes):
    """Turns the schedule of a classifier into phases.

    Args:
        parameters: Dict of its arguments.
        network: The backbone.
        stages: Its stages.
        num_images: Number of images to train on.
        num_classes: Number of classes.

    Returns:
        `(phases, reason)`, see `make_phases`.
    """
    context = RecipeContext(
        head_is_logistic=parameters["head"] == "logistic",
        stages=weighted_stages(network, stages),
        num_images=num_images,
        num_classes=num_classes,
        image_size=network.input_shape[1:3],
        has_gpu=bool(keras.distribution.list_devices("gpu")),
    )
    return make_phases(parameters["schedule"], context, parameters["epochs"], rate_of(parameters))


def rate_of(parameters):
    """Returns the rate of phases that state none: what was asked for, else the optimizer's own, else `None`."""
    rate = parameters["learning_rate"]
    return own_rate(parameters["optimizer"]) if rate is None else rate
