"""A schedule is a list of phases; a recipe is a plain function that returns one."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Literal

import keras

from transferkit.models.freezing import check_stages
from transferkit.training.rates import RateName, RateSchedule, ReduceOnPlateau, as_rate_schedule

DEFAULT_RATE = 1e-3
SOLVED = "logistic"  # what trains in a phase that is solved
Recipe = Literal["linear", "head", "fine_tune", "gradual", "all", "auto"]
_MAY_BE_NONE = ("weight_decay", "ema")  # the optimizer's own, and off
# Measured in `benchmarks/views.py`: as accurate as other versions in every epoch, or nearly.
_VIEWS_OF_FEW, _VIEWS_OF_MANY, _FEW_IMAGES = 4, 2, 2000
_NUMBERS = ("layer_decay", "weight_decay", "l2_sp", "label_smoothing", "mixup", "cutmix", "ema")


@dataclass(frozen=True)
class Phase:
    """One stretch of training: what trains, for how long, and how.

    Every phase starts from the best weights of the one before. Variables that keep training keep their optimizer state.
    Images go through the frozen part of the backbone as in prediction: its Dropout is off, and the statistics of
    BatchNorm stay as they are in all of the backbone.

    Args:
        train: What trains. `"head"`; the name of a stage of the backbone: that one and all after it, head included; a
            sequence of names of stages and `"head"`: exactly those; `"all"`; `"batch_norm"`: scale and shift of all
            BatchNorm layers, and the head; `"lora"`: low-rank adapters beside the kernels (Hu et al., ICLR 2022), and
            the head; or `"logistic"`: the logistic head by its solver, as the first phase only, which needs none of the
            other arguments.
        epochs: Number of epochs at most.
        learning_rate: Rate, or a `keras.optimizers.schedules.LearningRateSchedule` over the steps of the phase.
            Default: that of the optimizer if it was given as an object, otherwise 1e-3.
        rate_schedule: How the rate changes over the phase: `"constant"`, `"exponential"`, `"step"`, `"cosine"` (with
            warm-up), `"one_cycle"` or `"plateau"`, or one of the objects of `transferkit.training.rates`.
        layer_decay: Factor on the rate from one stage to the one before it, in `(0, 1]`: the head has the full rate,
            the last stage this share of it, the one before the square of it (Howard & Ruder, ACL 2018).
        weight_decay: Decoupled weight decay: the share of each weight, times the rate, that is taken off it at a step
            (Loshchilov & Hutter, ICLR 2019). Biases, scales and shifts are spared. Default: the optimizer's own.
        l2_sp: Strength of the pull towards the weights that the backbone came with (L2-SP, Li et al., ICML 2018).
        label_smoothing: Share of each label that is spread over all classes, in `[0, 1)`.
        mixup: Strength of MixUp, the parameter of its Beta distribution (Zhang et al., ICLR 2018). 0: off.
        cutmix: Strength of CutMix (Yun et al., ICCV 2019). 0: off.
        ema: Momentum of a running mean of the weights, in `(0, 1)`, which is validated and kept in their place.
        batch_norm: `"fixed"`, or `"adapt"`: statistics of BatchNorm in stages that train follow the data.
        lora_rank: Rank of the adapters.
        patience: Epochs without a better validation loss before the phase ends; `None`: never.
        interpolate: At the end, go only as far from the weights at the beginning of the phase towards its best ones as
            validation data recommend (WiSE-FT, Wortsman et al., CVPR 2022), and calibrate by temperature.
        views: Where images are augmented and part of the backbone is frozen, the number of versions of each image that
            take turns in the epochs, the image as it is among them; 1: that one alone. `None`: other versions in every
            epoch, for which the frozen part has to be computed again and again. `"auto"`: 4 for fewer than 2,000
            images, else 2. The logistic head is fitted to this number of versions of each image; `"auto"`: to 1.
        name: What it is called in `history_` and messages. Default: `train`.

    Example:
        >>> from transferkit import Phase
        >>> schedule = [Phase("head", epochs=3), Phase("block6", epochs=5, learning_rate=1e-4, rate_schedule="cosine")]
    """

    train: str | Sequence[str] = "head"
    epochs: int = 10
    learning_rate: float | keras.optimizers.schedules.LearningRateSchedule | None = None
    rate_schedule: RateName | RateSchedule = "constant"
    layer_decay: float = 1.0
    weight_decay: float | None = None
    l2_sp: float = 0.0
    label_smoothing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    ema: float | None = None
    batch_norm: Literal["fixed", "adapt"] = "fixed"
    lora_rank: int = 8
    patience: int | None = 5
    interpolate: bool = False
    views: Literal["auto"] | int | None = "auto"
    name: str | None = None

    def __post_init__(self):
        self._check_train()
        for field, smallest in {"epochs": 1, "lora_rank": 1, "patience": 1}.items():
            value = getattr(self, field)
            if value is None and field == "patience":
                continue
            if not _is_whole(value) or value < smallest:
                raise ValueError(f"`{field}` of a Phase must be an integer from {smallest}. Received: {value!r}.")
        for field in _NUMBERS:
            value = getattr(self, field)
            if value is None and field in _MAY_BE_NONE:
                continue
            if isinstance(value, bool) or not isinstance(value, Real):
                raise TypeError(f"`{field}` of a Phase must be a number. Received: {value!r}.")
        check_rate(self.learning_rate)
        as_rate_schedule(self.rate_schedule)
        for field in ("weight_decay", "l2_sp", "mixup", "cutmix"):
            value = getattr(self, field)
            if value is not None and not 0 <= value < math.inf:
                raise ValueError(f"`{field}` of a Phase must not be negative, nor infinite. Received: {value!r}.")
        for field, allowed, within in (
            ("layer_decay", 0 < self.layer_decay <= 1, "(0, 1]"),
            ("label_smoothing", 0 <= self.label_smoothing < 1, "[0, 1)"),
            ("ema", self.ema is None or 0 < self.ema < 1, "(0, 1)"),
        ):
            if not allowed:
                raise ValueError(f"`{field}` of a Phase must be in {within}. Received: {getattr(self, field)!r}.")
        if self.batch_norm not in ("fixed", "adapt"):
            raise ValueError(f"`batch_norm` must be 'fixed' or 'adapt'. Received: batch_norm={self.batch_norm!r}.")
        self._check_rates()
        self._check_lora()
        self._check_views()

    def _check_rates(self):
        is_keras_schedule = isinstance(self.learning_rate, keras.optimizers.schedules.LearningRateSchedule)
        if is_keras_schedule and isinstance(as_rate_schedule(self.rate_schedule), ReduceOnPlateau):
            raise ValueError(
                "rate_schedule='plateau' reduces a rate that is a number, and a Keras schedule plans all rates "
                "beforehand. Give a number as `learning_rate`, or leave out `rate_schedule`. "
                f"Received: learning_rate={self.learning_rate!r}."
            )

    def _check_lora(self):
        if self.train != "lora":
            return
        if self.l2_sp:
            raise ValueError(
                "`l2_sp` pulls weights of the backbone towards their first values, and train='lora' leaves them as "
                f"they are: its adapters begin at zero, where `weight_decay` pulls. Received: l2_sp={self.l2_sp!r}."
            )
        if self.batch_norm == "adapt":
            raise ValueError(
                "train='lora' trains adapters alone, so that the statistics of BatchNorm stay fixed. "
                "Leave out `batch_norm`, or train stages. Received: batch_norm='adapt'."
            )

    def _check_views(self):
        if self.views is None or (isinstance(self.views, str) and self.views == "auto"):
            return
        if not _is_whole(self.views) or self.views < 1:
            raise ValueError(f"`views` must be 'auto', an integer from 1, or None. Received: views={self.views!r}.")

    def _check_train(self):
        if isinstance(self.train, str):
            return
        if not isinstance(self.train, Sequence) or not all(isinstance(name, str) for name in self.train):
            raise TypeError(f"`train` must be a name or a sequence of names. Received: train={self.train!r}.")
        if not self.train:
            raise ValueError("This phase trains nothing: train=[]. Expected 'head', 'all' or the names of stages.")
        # A tuple can be hashed, as the values of a frozen dataclass should.
        object.__setattr__(self, "train", tuple(self.train))

    @property
    def title(self) -> str:
        """What the phase is called."""
        return self.name or (self.train if isinstance(self.train, str) else "+".join(self.train))

    @property
    def trains_head_only(self) -> bool:
        """Whether the backbone stays as it is."""
        return self.is_solved or self.train in ("head", ("head",))

    def views_for(self, num_images: int) -> int | None:
        """Returns how many versions of each augmented image it trains on where part of the backbone is frozen.

        `None`: other ones in every epoch, so that the frozen part has to be computed anew.
        """
        if self.views != "auto":
            return self.views
        return _VIEWS_OF_FEW if num_images < _FEW_IMAGES else _VIEWS_OF_MANY

    @property
    def names_stages(self) -> bool:
        """Whether `train` names stages, or means all of them."""
        return self.train not in (SOLVED, "head", "batch_norm", "lora")

    @property
    def is_solved(self) -> bool:
        """Whether it fits the logistic head by its solver, rather than anything by an optimizer."""
        return self.train == SOLVED

    @property
    def mixes(self) -> bool:
        """Whether it mixes images with each other."""
        return bool(self.mixup or self.cutmix)


@dataclass(frozen=True)
class Schedule:
    """Phases in their order, the one that is solved apart from those that an optimizer trains.

    Attributes:
        solved: The phase that fits the logistic head by its solver, or `None`. It comes before all others.
        trained: The phases that an optimizer trains.
    """

    solved: Phase | None
    trained: tuple[Phase, ...]

    @classmethod
    def of(cls, phases):
        """Makes a schedule of a sequence of `Phase`."""
        solved = next((phase for phase in phases if phase.is_solved), None)
        return cls(solved, tuple(phase for phase in phases if not phase.is_solved))

    @property
    def phases(self) -> tuple[Phase, ...]:
        """All of them."""
        return self.trained if self.solved is None else (self.solved, *self.trained)

    @property
    def only_solves(self) -> bool:
        """Whether nothing is trained by an optimizer."""
        return not self.trained


def check_rate(learning_rate):
    """Raises `ValueError` or `TypeError` unless a rate is positive, a schedule, or `None`."""
    if learning_rate is None or isinstance(learning_rate, keras.optimizers.schedules.LearningRateSchedule):
        return
    if not isinstance(learning_rate, Real):
        raise TypeError(f"`learning_rate` must be a number or a Keras schedule. Received: {learning_rate!r}.")
    if not 0 < learning_rate < math.inf:
        raise ValueError(f"`learning_rate` must be positive and finite. Received: learning_rate={learning_rate!r}.")


def _is_whole(value):
    # Integers of NumPy have `__index__` as well; so has bool, which is no count.
    return hasattr(value, "__index__") and not isinstance(value, bool)


_HEAD_EPOCHS = 20  # of a trained head before the backbone, at most

RECIPES = ("linear", "head", "fine_tune", "gradual", "all", "auto")


@dataclass(frozen=True)
class RecipeContext:
    """What a recipe may depend on.

    Attributes:
        head_is_logistic: Whether the head can be solved rather than trained.
        stages: Names of the stages that have weights, from the image to the features.
        num_images: Number of images to train on, those held out for validation included.
        num_classes: Number of classes.
        image_size: `(height, width)` in pixels.
        has_gpu: Whether an accelerator is available.
    """

    head_is_logistic: bool
    stages: tuple[str, ...]
    num_images: int
    num_classes: int
    image_size: tuple[int, int]
    has_gpu: bool


def make_phases(schedule, context, epochs=None, learning_rate=None):
    """Turns the `schedule` of a classifier into phases.

    Args:
        schedule: Name of a recipe, or a sequence of `Phase`.
        context: A `RecipeContext`.
        epochs: Number of epochs of what a recipe trains by an optimizer; default: the recipe's own.
        learning_rate: Rate of phases that state none; default: the recipe's own.

    Returns:
        `(phases, reason)`: a list of `Phase`; what `"auto"` chose and why, in a sentence, or `None`.
    """
    if not isinstance(schedule, str):
        return [replace(phase, learning_rate=phase.learning_rate or learning_rate) for phase in schedule], None
    options = {"epochs": epochs, "learning_rate": learning_rate}
    options = {name: value for name, value in options.items() if value is not None}
    if schedule == "auto":
        name, reason = choose_recipe(context)
        return _RECIPES[name](context, **options), f"Schedule {name!r}: {reason}."
    return _RECIPES[schedule](context, **options), None


def check_schedule(schedule, head_is_logistic, learning_rate=None):
    """Checks a schedule as far as possible without data or a backbone.

    Raises:
        ValueError, TypeError: If it is not the name of a recipe and no sequence of phases that fit together.
    """
    if isinstance(schedule, str):
        if schedule not in RECIPES:
            raise ValueError(
                f"Unknown schedule. Received: schedule={schedule!r}. "
                f"Expected one of {', '.join(map(repr, RECIPES))}, or a list of Phase."
            )
        return
    if not isinstance(schedule, Sequence) or not all(isinstance(phase, Phase) for phase in schedule):
        raise TypeError(f"`schedule` must be a name or a list of Phase. Received: schedule={schedule!r}.")
    if not schedule:
        raise ValueError("`schedule` is an empty list: nothing would train. Expected at least one Phase.")
    for number, phase in enumerate(schedule):
        if phase.is_solved and (number > 0 or not head_is_logistic):
            raise ValueError("Phase('logistic') must be the first of a schedule, and goes with head='logistic' only.")
        replace(phase, learning_rate=phase.learning_rate or learning_rate)  # checks that the two go together


def check_stage_names(phases, stages):
    """Raises `ValueError` if phases name unknown stages."""
    for phase in phases:
        if phase.names_stages:
            check_stages(phase.train, [stage.name for stage in stages])


def linear(context, epochs=50, learning_rate=1e-3):
    """The head alone, on features computed once: by its solver if it is the logistic one."""
    if context.head_is_logistic:
        return [Phase(SOLVED, name="linear")]
    return head(context, epochs, learning_rate)


def head(context, epochs=50, learning_rate=1e-3):
    """The head alone, by the optimizer."""
    return [Phase("head", epochs=epochs, learning_rate=learning_rate)]


def fine_tune(context, epochs=None, learning_rate=None):
    """The head first, then all (LP-FT, Kumar et al., ICLR 2022), then interpolation by validation loss (WiSE-FT)."""
    against_overfitting = {"layer_decay": 0.8, "label_smoothing": 0.1, "patience": None, "interpolate": True}
    backbone = Phase("all", epochs or 10, learning_rate or DEFAULT_RATE, "cosine", **against_overfitting)
    return [*_head_first(context, epochs, learning_rate), backbone]


def gradual(context, epochs=None, learning_rate=None):
    """Stage by stage from the top, an epoch each, then all for the rest of the epochs (Howard & Ruder, ACL 2018)."""
    rate, total = learning_rate or DEFAULT_RATE, epochs or 15
    # The first stage trains with all others in the last phase.
    opening = [Phase(stage, 1, rate, layer_decay=0.8) for stage in reversed(context.stages[1:])]
    # At least one epoch is left for all of them together.
    opening = opening[: max(0, total - 1)]
    rest = fine_tune(context, total - len(opening), rate)[-1]
    return [*_head_first(context, epochs, learning_rate), *opening, rest]


def everything(context, epochs=10, learning_rate=1e-4):
    """All layers from the start, with a head of random weights: the plain recipe."""
    return [Phase("all", epochs, learning_rate)]


def _head_first(context, epochs, learning_rate):
    """The head before the backbone; the user's epochs and rate apply to a head that is trained, too."""
    return linear(context, min(epochs or _HEAD_EPOCHS, _HEAD_EPOCHS), learning_rate or DEFAULT_RATE)


_RECIPES = {"linear": linear, "head": head, "fine_tune": fine_tune, "gradual": gradual, "all": everything}

_FEWEST_PER_CLASS = 20  # images; with fewer, fine-tuning overfits more often than it helps
_CPU_LIMIT = 2000  # images of 224 x 224 px, or as many pixels in others, that a CPU fine-tunes on in about half an hour


def choose_recipe(context):
    """The rule behind `schedule="auto"`, in the spirit of BiT-HyperRule (Kolesnikov et al., ECCV 2020).

    - Fewer than 20 images a class: `"linear"`.
    - No accelerator, and more pixels than 2,000 images of 224 x 224 have: `"linear"`, as fine-tuning takes hours.
    - Otherwise `"fine_tune"`.

    Returns:
        `(name, reason)`.
    """
    per_class = context.num_images / context.num_classes
    height, width = context.image_size
    work = context.num_images * height * width / 224**2
    if per_class < _FEWEST_PER_CLASS:
        shown = f"{math.floor(10 * per_class) / 10:g}"  # 19.96 is not 20
        return "linear", f"{shown} images a class are fewer than {_FEWEST_PER_CLASS}, too few to fine-tune on"
    if not context.has_gpu and work > _CPU_LIMIT:
        return "linear", (
            f"{context.num_images:,} images of {height} x {width} px are much to fine-tune on without an accelerator "
            f"(worth {work:,.0f} of 224 x 224, more than {_CPU_LIMIT:,}); schedule='fine_tune' does it all the same"
        )
    device = "an accelerator is there" if context.has_gpu else "few enough pixels for a CPU"
    return "fine_tune", f"{per_class:.0f} images a class, and {device}"
