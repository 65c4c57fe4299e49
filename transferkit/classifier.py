"""The estimator: keeps parameters, calls the steps in order, holds what was learnt."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import wraps
from typing import Any, Literal, NamedTuple, Self

import keras
import numpy as np
from matplotlib.figure import Figure
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from transferkit._utils import console
from transferkit._utils.console import Console, speaking_to
from transferkit._utils.random import python_random_kept, python_random_seeded
from transferkit.backbones.backbone import Backbone
from transferkit.backbones.preprocessing import INTERPOLATION
from transferkit.backbones.registry import get_backbone
from transferkit.data.balance import Balance, Weighting
from transferkit.data.checks import check_classes
from transferkit.data.datasets import augmented_draws, resized_images
from transferkit.data.inputs.convert import as_source
from transferkit.data.intake import labelled_source, training_sources
from transferkit.data.labels.targets import TaskName
from transferkit.data.quality.inspection import find_unreadable, keep_readable, without_broken
from transferkit.data.quality.leaks import OnLeak
from transferkit.data.resizing import ImageFormat, ResizeMode
from transferkit.data.splits import Split
from transferkit.evaluation.multilabel import MultilabelReport
from transferkit.evaluation.report import EvaluationReport
from transferkit.exceptions import ImageReadError
from transferkit.frozen.compiling import Engine
from transferkit.frozen.precision import Precision
from transferkit.frozen.prediction import Predictor
from transferkit.inspection.images import draw_grid
from transferkit.models.assembly import build_components, components_of
from transferkit.models.heads import LOGISTIC, Head
from transferkit.saving.archive import read_archive, write_archive
from transferkit.saving.settings import (
    backbone_from_json,
    backbone_to_json,
    from_json,
    parameters_from_json,
    parameters_to_json,
    to_json,
)
from transferkit.tasks.find import find_task
from transferkit.training.fitting import find_learning_rate, train_classifier
from transferkit.training.parameters import (
    check_callbacks,
    check_parameters,
    check_stage_names,
    find_augmenter,
    is_auto,
    make_settings,
    plan_phases,
)
from transferkit.training.phases import Phase, Recipe
from transferkit.training.rate_finder import RateCurve
from transferkit.training.summary import summarise


def _heard(method):
    """Lets what is said during a method be heard as `verbose` wants it."""

    @wraps(method)
    def heard(self, *args, **kwargs):
        with speaking_to(Console(self.verbose)):
            return method(self, *args, **kwargs)

    return heard


class FilePrediction(NamedTuple):
    """What a classifier says about one file. `path` and `label` are `None` where there is none."""

    path: str | None
    label: object
    probability: float


class TransferClassifier(ClassifierMixin, BaseEstimator):
    """An image classifier on top of a pretrained network.

    Takes raw pixels or files, gives labels; scaling and resizing are part of the model. By default the backbone stays
    as it is: its features are computed once for each image, and a head is fitted to them. `schedule` says what else is
    to train. It is a scikit-learn estimator: `clone`, `cross_val_score` and `GridSearchCV` work on arrays of images and
    on arrays of paths.

    Args:
        backbone: Name of a pretrained network from `list_backbones()`, a `Backbone`, or a functional `keras.Model` from
            pixels in `[0, 255]` to features. Default: EfficientNet-Lite0, whose weights are in the package.
        weights: `"imagenet"`, the path of a weights file without classifier, or `None` for random weights.
        image_size: Size that images are resized to, in pixels: an integer or `(height, width)`. Default: what the
            backbone was trained at.
        resize: What happens to images of another aspect ratio. `"stretch"`: they are distorted, and nothing of them is
            lost. `"crop"`: the largest part in their middle is kept. `"pad"`: `background` is added on two sides.
        background: What stands where an image is transparent or, for `resize="pad"`, ends: a colour by its name, as
            Pillow knows it, or as `"#rrggbb"`.
        channels: Number of channels of the images. 3: RGB, which gray images become, too. 1: gray images alone. Other
            numbers: arrays of so many channels, `.npy` or TIFF files, for which the first convolution of the backbone
            is adapted; 16 bits are divided by 257.
        head: `"logistic"`: multinomial logistic regression, its L2 strength chosen by cross-validation on the features.
            Or a `Head`: dense layers, trained by `optimizer`.
        task: What labels are. `"multiclass"`: one of several for each image, or shares in several (soft labels);
            `"binary"`: one of two; `"multilabel"`: any number for each image, whose probabilities are independent and
            whose thresholds are chosen on held-out images. `"auto"`: as they look.
        schedule: What trains, and when. `"linear"`: the head alone, on features. `"fine_tune"`: the head, then all.
            `"gradual"`: the head, then stage by stage from the top. `"head"`: the head alone, by the optimizer.
            `"all"`: everything from the start. `"auto"`: chosen from the data and the device, and explained. Or a list
            of `Phase`.
        epochs: Number of epochs at most of what a named schedule trains by the optimizer; a `Head` that is trained
            before the backbone has as many of its own, but 20 at most. Default: the schedule's own.
        batch_size: Images a step.
        optimizer: Name of a Keras optimizer, or a `keras.optimizers.Optimizer`. One with `gradient_accumulation_steps`
            averages the gradients of that many batches for one step, for steps that do not fit into memory at once.
        learning_rate: Rate of phases that state none. Default: the optimizer's own if it is an object, else the
            schedule's.
        augmentation: What is done to training images, anew in every epoch or, where part of the backbone is frozen, in
            as many versions as `views` says: `"light"`, `"medium"`, `"strong"`, an `Augmentation`, an
            `ImageDataGenerator`, or Keras layers. `"auto"`: `"light"` while the backbone trains. `None`: nothing.
        class_weight: Weight of each class in the loss: `"balanced"`, all classes count alike; `"effective_number"`,
            the same for rare classes only (Cui et al., CVPR 2019); a dict from class to weight; or `None`.
        balance: What else is done about classes of different sizes, instead of `class_weight`. `"logit_adjustment"`:
            the sizes are taken out of the trained classifier. `"oversample"`, `"undersample"`: each epoch has as many
            images of each class. `"focal"`: the focal loss. `"crt"`: the logistic head is fitted once more in the end,
            all classes alike. `"smote"`: features of rare classes are made up (an extra). `"auto"`:
            `"logit_adjustment"` if a class is 3 times as large as another. All of them find rare classes more often,
            and common ones less often. `None`: nothing.
        validation_split: Share of the images that are not trained on but choose the epoch, each class in proportion.
            Not used with `validation_data`, nor by the logistic head alone, which cross-validates.
        precision: What the backbone computes in during `fit`: `"float32"`, `"bfloat16"`, `"float16"`, or `"auto"`:
            what a short measurement finds to be the fastest, where there is enough to do. Head, loss and weights are
            float32 always, and so are predictions.
        engine: What runs the frozen part of the backbone during `fit`: `"keras"`, `"openvino"` (an extra, for CPUs), or
            `"auto"`: the faster one of those that are installed.
        cache: Where the output of the frozen part is kept, which is computed once for each image: `"memory"`, until
            the end of `fit`; `"disk"`, for later runs on the same images as well, in little memory; `"auto"`: chosen
            from what there is to keep, and explained; `False`: nowhere, it is computed in every epoch.
        cache_dir: Folder for `"disk"`. Default: `$TRANSFERKIT_CACHE_DIR`, otherwise the user's cache folder.
        views: For phases with augmentation and a frozen part, the number of versions of each image that take turns in
            the epochs, the image as it is among them; 1: that one alone. `None`: other versions in every epoch, for
            which the frozen part has to be computed again and again. `"auto"`: 4 for fewer than 2,000 images, else 2.
        strategy: A `tf.distribute.Strategy` for training on several devices, or `None`.
        on_bad_image: `"raise"` an `ImageReadError` that lists all images that cannot be read, or `"skip"` them.
        on_leak: What to do about training images that are duplicates of images in `validation_data`: `"warn"`,
            `"raise"` a `LeakError` that lists them, or `"drop"` them from training. Near-duplicates count as well where
            ImageHash is installed (`pip install "transferkit[check]"`).
        seed: Seed of folds, splits, first weights (of the head, and of a backbone with `weights=None`), dropout and the
            order of images. The same seed and data give the same classifier.
        verbose: `"auto"` or 1: progress bars on a terminal and in notebooks, one line a step elsewhere; 2: one line a
            step; 0: nothing.

    Attributes:
        classes_: Classes in the order of the probabilities, `(num_classes,)`, as they were given.
        model_: The whole classifier as a `keras.Model`: pixels in `[0, 255]`, of any size, to probabilities.
        backbone_: The `Backbone` that was used.
        image_size_: `(height, width)` in pixels.
        image_format_: The `ImageFormat`: what images are brought into before the backbone sees them.
        history_: Dict of lists. One entry for each epoch, counted over all phases; the logistic head before others is
            epoch 0. For the logistic head alone, one entry for each L2 strength that was tried.
        phases_: List of the `Phase` that were run.
        task_: `"multiclass"` or `"multilabel"`.
        thresholds_: Probability from which on a label is given, `(num_classes,)`, or `None` for one label an image.
        split_: A `Split`: names of the images that were trained on and of those that it was chosen on.

    Example:
        >>> import numpy as np
        >>> from transferkit import TransferClassifier
        >>> rng = np.random.default_rng(0)
        >>> dark, light = rng.integers(0, 100, (8, 32, 32, 3)), rng.integers(150, 255, (8, 32, 32, 3))
        >>> images, labels = np.concatenate([dark, light]), ["dark"] * 8 + ["light"] * 8
        >>> clf = TransferClassifier(image_size=32, verbose=0).fit(images, labels)
        >>> clf.predict(images[:2]).tolist()
        ['dark', 'dark']
    """

    def __init__(
        self,
        backbone: str | Backbone | keras.Model = "efficientnet_lite0",
        *,
        weights: str | os.PathLike | None = "imagenet",
        image_size: int | tuple[int, int] | None = None,
        resize: ResizeMode = "stretch",
        background: str = "white",
        channels: int = 3,
        head: Literal["logistic"] | Head = "logistic",
        task: TaskName = "auto",
        schedule: Recipe | Sequence[Phase] = "linear",
        epochs: int | None = None,
        batch_size: int = 32,
        optimizer: str | keras.optimizers.Optimizer = "adam",
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule | None = None,
        augmentation: Any = "auto",
        class_weight: Weighting | Mapping | None = None,
        balance: Literal["auto"] | Balance | None = None,
        validation_split: float = 0.2,
        precision: Literal["auto"] | Precision = "auto",
        engine: Literal["auto"] | Engine = "auto",
        cache: Literal["auto", "memory", "disk", False] = "auto",
        cache_dir: str | os.PathLike | None = None,
        views: Literal["auto"] | int | None = "auto",
        strategy: Any = None,
        on_bad_image: Literal["raise", "skip"] = "raise",
        on_leak: OnLeak = "warn",
        seed: int = 0,
        verbose: Literal["auto", 0, 1, 2] = "auto",
    ):
        self.backbone = backbone
        self.weights = weights
        self.image_size = image_size
        self.resize = resize
        self.background = background
        self.channels = channels
        self.head = head
        self.task = task
        self.schedule = schedule
        self.epochs = epochs
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.augmentation = augmentation
        self.class_weight = class_weight
        self.balance = balance
        self.validation_split = validation_split
        self.precision = precision
        self.engine = engine
        self.cache = cache
        self.cache_dir = cache_dir
        self.views = views
        self.strategy = strategy
        self.on_bad_image = on_bad_image
        self.on_leak = on_leak
        self.seed = seed
        self.verbose = verbose

    @_heard
    def fit(
        self,
        x: Any,
        y: Any = None,
        *,
        sample_weight: Any = None,
        groups: Any = None,
        validation_data: Any = None,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        callbacks: Sequence[keras.callbacks.Callback] | None = None,
    ) -> Self:
        """Trains the classifier as `schedule` says.

        Args:
            x: Class folder, paths or images; a zip or tar file of a class folder; a `Table`, CSV file or data frame; a
                `tf.data.Dataset`, a `PyDataset` or a generator of `(images, labels)`, which are read once; an iterator
                of `ImageDataGenerator`; a data set of Hugging Face. See `transferkit.data.inputs.convert.as_source`.
            y: Labels `(n,)`, int or str; for a table the name of its column. What brings its own labels, such as a
                class folder or a stream, needs none. For soft labels `(n, num_classes)` shares that sum to 1; for any
                number of labels a list or set of them for each image, or `(n, num_classes)` of 0 and 1. The columns of
                a data frame are class names.
            sample_weight: Weight of each image in the loss, `(n,)`, at least 0.
            groups: What each image belongs to, `(n,)` int or str, such as a patient or a scene: all images of a group
                are on the same side of the split into training and validation, and of every fold.
            validation_data: `(x, y)`, `(x, y, sample_weight)` or whatever `x` can be, to choose strength and epoch on.
                Default: what `x` says is for validation, otherwise part of it.
            steps_per_epoch: Number of batches to read from a generator. They are what every epoch trains on.
            validation_steps: The same for a generator as `validation_data`.
            callbacks: Keras callbacks for what an optimizer trains. They live through all phases as through one
                training; the model that they see saves the whole classifier.

        Returns:
            The classifier itself.

        Raises:
            ValueError, TypeError, FileNotFoundError: If parameters or data are not usable. Nothing was computed yet.
            ImageReadError: If images cannot be read. With `on_bad_image="skip"`, those that break later are
                passed over, too: training begins again without them.
            LeakError: If training images are duplicates of validation images, with `on_leak="raise"`.
            WeightsUnavailableError: If the pretrained weights cannot be had.
            MemoryError: If the device's memory does not suffice.
            KeyboardInterrupt: If training is interrupted, by Ctrl-C or a notebook's stop button. If anything good was
                there, such as the head before fine-tuning or an epoch, the classifier is fitted all the same: it has
                the best weights until then.
        """
        backbone, image_format = self._checked()
        backbone.check_is_fresh()
        check_callbacks(callbacks)
        source, validation_source = training_sources(
            x, y, validation_data, (steps_per_epoch, validation_steps),
            on_bad_image=self.on_bad_image, on_leak=self.on_leak, image_size=image_format.image_size,
            channels=self.channels, sample_weight=sample_weight, groups=groups, task=self.task,
        )  # fmt: skip
        self._say_what_is_known(backbone)

        def train(source, validation_source):
            check_classes(source)  # perhaps a class went with the images that broke
            with python_random_seeded(self.seed), nullcontext() if self.strategy is None else self.strategy.scope():
                components = self._build_components(backbone, image_format, source)
                phases, reason = self._plan_phases(components, backbone, len(source))
                if reason:
                    console.note(reason)
                settings = self._settings(backbone, image_format, callbacks, source.augmentation)
                return (
                    components,
                    phases,
                    train_classifier(components, phases, source, validation_source, settings),
                )

        (components, phases, outcome), _ = without_broken(
            train, (source, validation_source), self.on_bad_image, self.channels
        )
        self.model_, self._predictor = components.whole, None
        self.classes_ = source.class_names
        self.backbone_ = backbone
        self.image_size_ = image_format.image_size
        self.image_format_ = image_format
        self.phases_ = phases
        self.history_ = outcome.history
        self.split_ = outcome.split
        self.task_ = source.task.name
        self.thresholds_ = outcome.thresholds
        if outcome.was_interrupted:
            raise KeyboardInterrupt("Training was interrupted; the classifier has the best weights until then.")
        return self

    def predict(self, x: Any, *, steps: int | None = None) -> np.ndarray:
        """Returns the most probable label of each image, `(n,)`, in the order given, as the labels were given.

        Where an image can have any number of labels: a tuple of them for each image.

        Args:
            x: Images as in `fit`, without labels. One path or one image gives an array of one label. The images of a
                folder are sorted by name.
            steps: Number of batches to read from a stream. Default: all, if it has an end.

        Raises:
            NotFittedError: If `fit` was not called yet.
            ImageReadError: If any image cannot be read, whatever `on_bad_image` says, so that no row is out of place;
                `predict_files` can skip.
        """
        probabilities = self.predict_proba(x, steps=steps)
        return find_task(self.task_).labels(probabilities, self.classes_, self.thresholds_)

    @_heard
    def predict_proba(self, x: Any, *, steps: int | None = None) -> np.ndarray:
        """Returns the probability of each class, `(n, num_classes)` float32, classes in the order of `classes_`.

        For arguments and errors see `predict`.
        """
        check_is_fitted(self, "model_")
        channels = self.image_format_.channels
        source = as_source(x, steps=steps, steps_name="steps", channels=channels)
        return self._probabilities(keep_readable(source, "raise", channels), "raise")[0]

    @_heard
    def predict_files(self, x: Any, *, steps: int | None = None) -> list[FilePrediction]:
        """Predicts folders or paths and keeps path, label and probability together.

        Args:
            x: Folder, path or sequence of paths; images without a path are welcome, too.
            steps: As in `predict`.

        Returns:
            List of `FilePrediction(path, label, probability)`, in the order given; `probability` is that of `label`.
            Where an image can have any number of labels, both are tuples. With `on_bad_image="skip"`, unreadable images
            have the label `None` and the probability NaN.
            `pandas.DataFrame(result)` makes a table of it.
        """
        check_is_fitted(self, "model_")
        channels = self.image_format_.channels
        source = as_source(x, steps=steps, steps_name="steps", channels=channels)
        failures = [] if source.is_uniform else find_unreadable(source, channels=channels)
        if failures and (self.on_bad_image == "raise" or len(failures) == len(source)):
            raise ImageReadError(failures, len(source))
        readable = np.setdiff1d(np.arange(len(source)), [index for index, _, _ in failures])
        result = [FilePrediction(path, None, float("nan")) for path in source.paths]
        probabilities, rows = self._probabilities(source.take(readable), self.on_bad_image)
        task = find_task(self.task_)
        for index, row in zip(readable[rows], probabilities, strict=True):
            result[index] = FilePrediction(
                result[index].path, *task.label_and_probability(row, self.classes_, self.thresholds_)
            )
        return result

    @_heard
    def evaluate(self, x: Any, y: Any = None, *, steps: int | None = None) -> EvaluationReport | MultilabelReport:
        """Compares predictions with true labels.

        Args:
            x: Class folder, paths or images, as in `fit`. Where they are divided, the part to test on is taken.
            y: Labels, as in `fit`.
            steps: Number of batches to read from a stream. Default: all, if it has an end.

        Returns:
            An `EvaluationReport` or, where an image can have any number of labels, a `MultilabelReport`.

        Raises:
            ValueError: If a label is not among the classes of the training data.
        """
        check_is_fitted(self, "model_")
        return self._evaluate(x, y, steps)

    def score(self, x: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Returns the accuracy, as scikit-learn expects it: the share of images of which all labels are right.

        For `x` and `y` see `evaluate`; `sample_weight` `(n,)` is what each image counts, at least 0.
        """
        check_is_fitted(self, "model_")
        with speaking_to(Console(0)):
            if sample_weight is None:
                return self._evaluate(x, y).accuracy
            source, probabilities = self._judge(x, y, sample_weight=sample_weight)
        return source.task.accuracy(source.truth, probabilities, self.thresholds_, source.weights)

    def summary(self, num_classes: int | None = None, num_images: int | None = None) -> None:
        """Prints the stages of the backbone, what of them trains in each phase, the rates, and what it costs.

        Costs are multiply-adds ("mac") of convolutions and dense layers for one image. A training step costs more
        than a forward pass, because gradients go back as far as the first layer that trains.

        Args:
            num_classes: Number of classes. Default: that of the training data, or 10 before `fit`.
            num_images: Number of images to train on, for the cost in all.
        """
        if min(2 if num_classes is None else num_classes, 2 if num_images is None else num_images) < 2:
            raise ValueError("`num_classes` and `num_images` must be at least 2.")
        backbone, image_format = self._checked()
        is_fitted = hasattr(self, "model_")
        is_known = is_fitted or num_classes is not None
        num_classes = num_classes or (len(self.classes_) if is_fitted else 10)
        with python_random_kept():
            network = backbone.build(
                image_format.image_size, None, self.channels
            )  # the numbers are the same for any weights
            components = build_components(backbone, network, image_format, self._head, num_classes, self.seed)
        is_sure, num_images = num_images is not None, num_images or 1000 * num_classes
        guess, reason = self._plan_phases(components, backbone, num_images)
        with speaking_to(Console(0)):
            settings = self._settings(backbone, image_format)
        text = summarise(self.phases_ if is_fitted else guess, components, settings, num_images, is_sure=is_sure)
        height, width = image_format.image_size
        schedule = self.schedule if isinstance(self.schedule, str) else f"{len(self.schedule)} phases"
        classes = f"{num_classes} classes" + ("" if is_known else " (assumed)")
        print(f"{backbone.name}, {height} x {width} px, {classes}, schedule: {schedule}\n\n{text}")
        if reason and not is_fitted:
            print(f"{reason} (For {num_images:,} images.)")

    @_heard
    def find_learning_rate(
        self,
        x: Any,
        y: Any = None,
        *,
        train: str | Sequence[str] | Phase | None = None,
        smallest: float = 1e-6,
        largest: float = 1.0,
        steps: int = 100,
    ) -> RateCurve:
        """Trains a copy for some steps at growing rates, to see which one to use (Smith, WACV 2017).

        The copy begins with the weights of this classifier if it is fitted, and with the pretrained ones and a logistic
        head that is fitted to them if not. The classifier, its optimizer and all random generators stay as they are.

        Args:
            x: Images, as in `fit`.
            y: Labels, as in `fit`.
            train: What trains, as in `Phase`, or a `Phase`. Default: the last phase of the schedule, or everything if
                that is the logistic head.
            smallest: Rate of the first step.
            largest: Rate of the last step.
            steps: Number of steps at most; the test ends where the loss explodes.

        Returns:
            A `RateCurve`: `learning_rates`, `losses`, `suggestion`, and `plot()`.
        """
        if not 0 < smallest < largest:
            raise ValueError(f"`smallest` must be positive and below `largest`. Received: {smallest!r}, {largest!r}.")
        if not isinstance(steps, int | np.integer) or steps < 10:
            raise ValueError(f"`steps` must be an integer from 10. Received: steps={steps!r}.")
        backbone, image_format = self._checked()
        if train is not None:
            check_stage_names([train if isinstance(train, Phase) else Phase(train)], backbone.stages)
        is_fitted = hasattr(self, "model_")
        if not is_fitted:
            backbone.check_is_fresh()
        source = labelled_source(
            x, y, self.on_bad_image, "training", class_names=self.classes_ if is_fitted else None,
            channels=self.channels, task=self.task_ if is_fitted else self.task,
        )  # fmt: skip
        with python_random_seeded(self.seed):
            components = self._build_components(backbone, image_format, source)
            if is_fitted:
                components.whole.set_weights(self.model_.get_weights())
            if train is None:
                planned = self._plan_phases(components, backbone, len(source))[0][-1]
                phase = Phase("all") if planned.train == "logistic" else planned
            else:
                phase = train if isinstance(train, Phase) else Phase(train)
            return find_learning_rate(
                components, phase, source, self._settings(backbone, image_format), smallest=smallest,
                largest=largest, steps=steps, solve_head=self.head == "logistic" and not is_fitted,
            )  # fmt: skip

    def show_augmentation(self, x: Any, *, copies: int = 5) -> Figure:
        """Draws images as training sees them: each as it is, then augmented in several ways.

        Args:
            x: Images, as in `predict`; the first eight are drawn.
            copies: Augmented versions of each.

        Returns:
            A `matplotlib.figure.Figure`, which notebooks show as the value of a cell and `figure.savefig(path)` writes.
        """
        _, image_format = self._checked()
        source = as_source(x, channels=self.channels)
        augmenter, _ = find_augmenter(self.augmentation, self.seed, self.channels)
        images = resized_images(source.take(np.arange(min(len(source), 8))), image_format)
        draws = augmented_draws(images, augmenter, copies, self.seed)
        return draw_grid(np.stack([images, *draws], axis=1), ["as it is", *(f"draw {n + 1}" for n in range(copies))])

    def save(self, path: str | os.PathLike) -> None:
        """Writes the classifier into one `.keras` file that plain Keras opens, too.

        `keras.saving.load_model(path)` gives `model_`; `TransferClassifier.load(path)` gives all. An existing file is
        replaced only once the new one is complete, and its permissions stay.

        The file holds what belongs to the model and nothing about who trained it where: no `engine`, `cache`,
        `cache_dir`, `strategy` and `verbose`, of a weights file the name alone, and in `split_` paths relative to the
        folder that all images lie in.

        Args:
            path: File name that ends in `.keras`.
        """
        check_is_fitted(self, "model_")
        settings = {
            "class_names": self.classes_.tolist(),
            "image_size": list(self.image_size_),
            "resize": self.image_format_.resize,
            "background": self.image_format_.background,
            "channels": self.image_format_.channels,
            "backbone": backbone_to_json(self.backbone_),
            "parameters": parameters_to_json(self.get_params(deep=False)),
            "history": self.history_,
            "phases": to_json(self.phases_),
            "split": dataclasses.asdict(self.split_.without_root()),
            "task": self.task_,
            "thresholds": None if self.thresholds_ is None else self.thresholds_.tolist(),
        }
        write_archive(path, self.model_, settings)

    @classmethod
    def load(cls, path: str | os.PathLike) -> Self:
        """Reads a classifier that `save` wrote.

        It predicts as the saved one did, and has its parameters. A `backbone` of the user that was fine-tuned is there
        in its fine-tuned state only, so that another `fit` asks for the one from before: weights that have seen the
        images would be a head start that no score shows. Registered backbones start anew from their `weights`.

        Args:
            path: The file.

        Raises:
            FileNotFoundError: If there is no such file.
            ArchiveError: If it is damaged, was not written by `save`, or comes from a newer version.
        """
        with python_random_kept():
            model, settings = read_archive(path)
        _, network, _ = components_of(model)
        phases = from_json(settings["phases"])
        backbone = backbone_from_json(settings["backbone"], network, phases)
        classifier = cls(backbone, **parameters_from_json(settings["parameters"]))
        classifier.model_ = model
        classifier.classes_ = np.asarray(settings["class_names"])
        classifier.backbone_ = get_backbone(backbone)
        classifier.image_size_ = tuple(settings["image_size"])
        classifier.image_format_ = ImageFormat(
            classifier.image_size_, INTERPOLATION, settings["resize"], settings["background"], settings["channels"]
        )
        classifier.history_ = settings["history"]
        classifier.phases_ = phases
        split = settings.get("split", {"training": (), "validation": ()})  # files of 0.1 have none
        classifier.split_ = Split(**{name: tuple(names) for name, names in split.items()})
        classifier.task_ = settings.get("task", "multiclass")
        thresholds = settings.get("thresholds")
        classifier.thresholds_ = None if thresholds is None else np.array(thresholds, "float32")
        return classifier

    @property
    def _head(self):
        return LOGISTIC if self.head == "logistic" else self.head

    def _build_components(self, backbone, image_format, source):
        with console.silence():
            network = backbone.build(image_format.image_size, self.weights, self.channels)
        activation = source.task.activation
        num_classes = len(source.class_names)
        return build_components(backbone, network, image_format, self._head, num_classes, self.seed, activation)

    def _checked(self):
        """Checks the arguments. Returns the `Backbone` and the `ImageFormat`."""
        backbone = get_backbone(self.backbone)
        check_parameters(self.get_params(deep=False), backbone.stages)
        backbone.check_channels(self.channels)
        size = self._choose_image_size(backbone)
        return backbone, ImageFormat(size, INTERPOLATION, self.resize, self.background, int(self.channels))

    def _plan_phases(self, components, backbone, num_images):
        num_classes = components.head.output_shape[-1]
        return plan_phases(self.get_params(deep=False), components.network, backbone.stages, num_images, num_classes)

    def _settings(self, backbone, image_format, callbacks=(), augmentation=None):
        parameters = self.get_params(deep=False)
        if augmentation is not None and is_auto(parameters["augmentation"]):
            parameters["augmentation"] = augmentation
        settings, notes = make_settings(parameters, backbone, image_format, callbacks)
        for note in notes:
            console.note(note)
        return settings

    def _choose_image_size(self, backbone):
        size = backbone.image_size if self.image_size is None else self.image_size
        sides = (size, size) if isinstance(size, int | np.integer) else size
        pair = isinstance(sides, tuple | list) and len(sides) == 2
        if not pair or not all(isinstance(side, int | np.integer) for side in sides):
            raise ValueError(f"`image_size` must be an integer or (height, width). Received: image_size={size!r}.")
        backbone.check_image_size(sides)
        return tuple(int(side) for side in sides)

    def _say_what_is_known(self, backbone):
        if isinstance(self.backbone, keras.Model):
            console.note(
                f"Backbone {backbone.name!r} is a model of yours. Its input scaling is taken to be {backbone.scaling!r}"
                " ('none': pixels in [0, 255]). If that is wrong, use `backbone_from_model(model, scaling=...)`."
            )

    def _evaluate(self, x, y, steps=None):
        source, probabilities = self._judge(x, y, steps=steps)
        return source.task.report(source.truth, probabilities, self.thresholds_, self.classes_)

    def _judge(self, x, y, **options):
        """Returns labelled images, as a `Source`, and their probabilities."""
        source = labelled_source(
            x, y, self.on_bad_image, "test", class_names=self.classes_, steps_name="steps",
            channels=self.image_format_.channels, task=self.task_, **options,
        )  # fmt: skip
        probabilities, rows = self._probabilities(source, self.on_bad_image)
        return source.take(rows) if len(rows) < len(source) else source, probabilities

    def _probabilities(self, source, on_bad_image):
        """Returns the probabilities of the images that do not break meanwhile, and their indices."""
        if getattr(self, "_predictor", None) is None:
            self._predictor = Predictor(self.model_, self.backbone_, self.image_format_)

        def predict(source):
            with console.step("Predicting", len(source)) as advance:
                return self._predictor.predict(source, self.batch_size, advance)

        probabilities, (rows,) = without_broken(predict, (source,), on_bad_image, self.image_format_.channels)
        return probabilities, rows

    def __getstate__(self):
        """What is pickled: all but what predictions have compiled."""
        return {**super().__getstate__(), "_predictor": None}
