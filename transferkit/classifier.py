"""The estimator: keeps parameters, calls the steps in order, holds what was learnt."""

import os
from typing import Any, NamedTuple, Self

import keras
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from transferkit._utils.console import Console
from transferkit._utils.text import listing, plural
from transferkit.backbones.backbone import Backbone
from transferkit.backbones.preprocessing import INTERPOLATION
from transferkit.backbones.registry import get_backbone
from transferkit.data.checks import check_classes
from transferkit.data.datasets import stream_images
from transferkit.data.readers import find_unreadable, keep_readable
from transferkit.data.source import as_source
from transferkit.data.splits import check_fraction
from transferkit.evaluation.report import EvaluationReport, evaluate_probabilities
from transferkit.exceptions import ImageReadError
from transferkit.models.assembly import assemble, parts_of
from transferkit.models.features import join, run_model
from transferkit.models.heads import LOGISTIC, Head, build_head, build_pooling
from transferkit.saving.archive import read_archive, write_archive
from transferkit.saving.settings import (
    backbone_from_json,
    backbone_to_json,
    parameters_from_json,
    parameters_to_json,
)
from transferkit.training.heads import fit_keras_head, fit_logistic_head
from transferkit.training.loop import fresh_optimizer


class FilePrediction(NamedTuple):
    """What a classifier says about one file. `path` and `label` are `None` where there is none."""

    path: str | None
    label: object
    probability: float


class TransferClassifier(ClassifierMixin, BaseEstimator):
    """An image classifier on top of a pretrained network.

    Takes raw pixels or files, gives labels; scaling and resizing are part of the model. The backbone stays as it is:
    its features are computed once for each image, and a head is fitted to them. It is a scikit-learn estimator:
    `clone`, `cross_val_score` and `GridSearchCV` work on arrays of images and on arrays of paths.

    Args:
        backbone: Name of a pretrained network from `list_backbones()`, a `Backbone`, or a functional `keras.Model` from
            pixels in `[0, 255]` to features. Default: EfficientNet-Lite0, whose weights are in the package.
        weights: `"imagenet"`, the path of a weights file without classifier, or `None` for random weights.
        image_size: Size that images are resized to, in pixels: an integer or `(height, width)`. Default: what the
            backbone was trained at.
        head: `"logistic"`: multinomial logistic regression, its L2 strength chosen by cross-validation on the features.
            Or a `Head`: dense layers, trained by `optimizer`.
        epochs: Epochs at most, for a `Head`; training stops early.
        batch_size: Images a step, for computing features and for training a `Head`.
        optimizer: Name of a Keras optimizer, or a `keras.optimizers.Optimizer`, for a `Head`.
        learning_rate: Rate for an optimizer given by name.
        validation_split: Share of the images that a `Head` is not trained on but stopped by, each class in proportion.
            Not used with `validation_data`, nor by the logistic head, which cross-validates.
        on_bad_image: `"raise"` an `ImageReadError` that lists all images that cannot be read, or `"skip"` them.
        seed: Seed of folds, splits, the head's first weights, dropout and the order of images. The same seed and data
            give the same classifier; only the random weights of a backbone with `weights=None` are drawn by Keras.
        verbose: `"auto"` or 1: progress bars on a terminal, one line a step elsewhere; 2: one line a step; 0: nothing.

    Attributes:
        classes_: Classes in the order of the probabilities, `(num_classes,)`, as they were given.
        model_: The whole classifier as a `keras.Model`: RGB pixels in `[0, 255]`, of any size, to probabilities.
        backbone_: The `Backbone` that was used.
        image_size_: `(height, width)` in pixels.
        history_: Dict of lists: for the logistic head one entry for each L2 strength that was tried, for a `Head` one
            for each epoch.

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
        head: str | Head = "logistic",
        epochs: int = 50,
        batch_size: int = 32,
        optimizer: str | keras.optimizers.Optimizer = "adam",
        learning_rate: float = 1e-3,
        validation_split: float = 0.2,
        on_bad_image: str = "raise",
        seed: int = 0,
        verbose: str | int = "auto",
    ):
        self.backbone = backbone
        self.weights = weights
        self.image_size = image_size
        self.head = head
        self.epochs = epochs
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.validation_split = validation_split
        self.on_bad_image = on_bad_image
        self.seed = seed
        self.verbose = verbose

    def fit(self, x: Any, y: Any = None, *, validation_data: Any = None) -> Self:
        """Fits the head to the features of the images.

        Args:
            x: Class folder, paths, or images; see `transferkit.data.source.as_source`.
            y: Labels `(n,)`, int or str; not for a class folder, whose labels are its folder names.
            validation_data: `(x, y)` or a class folder to choose the strength, or the epoch, on. Default: part of `x`.

        Returns:
            The classifier itself.

        Raises:
            ValueError, TypeError, FileNotFoundError: If parameters or data are not usable. Nothing was computed yet.
            ImageReadError: If images cannot be read.
            WeightsUnavailableError: If the pretrained weights cannot be had.
        """
        console = Console(self.verbose)
        self._check_parameters()
        backbone = get_backbone(self.backbone)
        image_size = self._choose_image_size(backbone)
        source, validation_source = self._training_sources(x, y, validation_data, console)
        self._say_what_is_known(backbone, console)

        preprocessing = backbone.build_preprocessing(image_size)
        with console.hush():
            network = backbone.build(image_size, self.weights)
        pooling = build_pooling(self._head.pooling, network.output_shape[1:])
        extractor = join(preprocessing, network, pooling)
        features = self._run(extractor, source, image_size, console, "Computing features")
        validation = None
        if validation_source is not None:
            inputs = self._run(extractor, validation_source, image_size, console, "Computing validation features")
            validation = inputs, validation_source.labels
        fitted = self._fit_head(features, source, validation, console)

        self.model_ = assemble(preprocessing, network, build_head(pooling, fitted.dense))
        self.classes_ = source.class_names
        self.backbone_ = backbone
        self.image_size_ = image_size
        self.history_ = fitted.history
        return self

    def predict(self, x: Any) -> np.ndarray:
        """Returns the most probable label of each image, `(n,)`, in the order given, as the labels were given.

        Args:
            x: Images as in `fit`, without labels. One path or one image gives an array of one label. The images of a
                folder are sorted by name.

        Raises:
            NotFittedError: If `fit` was not called yet.
            ImageReadError: If any image cannot be read, whatever `on_bad_image` says, so that no row is out of place;
                `predict_files` can skip.
        """
        probabilities = self.predict_proba(x)
        return self.classes_[probabilities.argmax(axis=1)]

    def predict_proba(self, x: Any) -> np.ndarray:
        """Returns the probability of each class, `(n, num_classes)` float32, classes in the order of `classes_`.

        For arguments and errors see `predict`.
        """
        check_is_fitted(self, "model_")
        console = Console(self.verbose)
        return self._probabilities(keep_readable(as_source(x), "raise", console), console)

    def predict_files(self, x: Any) -> list[FilePrediction]:
        """Predicts folders or paths and keeps path, label and probability together.

        Args:
            x: Folder, path or sequence of paths; images without a path are welcome, too.

        Returns:
            List of `FilePrediction(path, label, probability)`, in the order given; `probability` is that of `label`.
            With `on_bad_image="skip"`, unreadable images have the label `None` and the probability NaN.
            `pandas.DataFrame(result)` makes a table of it.
        """
        check_is_fitted(self, "model_")
        console = Console(self.verbose)
        source = as_source(x)
        failures = [] if source.is_uniform else find_unreadable(source)
        if failures and (self.on_bad_image == "raise" or len(failures) == len(source)):
            raise ImageReadError(failures, len(source))
        readable = np.setdiff1d(np.arange(len(source)), [index for index, _, _ in failures])
        result = [FilePrediction(path, None, float("nan")) for path in source.paths]
        probabilities = self._probabilities(source.take(readable), console)
        for index, row in zip(readable, probabilities, strict=True):
            best = int(row.argmax())
            result[index] = FilePrediction(result[index].path, self.classes_.tolist()[best], float(row[best]))
        return result

    def evaluate(self, x: Any, y: Any = None) -> EvaluationReport:
        """Compares predictions with true labels.

        Args:
            x: Class folder, paths or images, as in `fit`.
            y: Labels; not for a class folder.

        Returns:
            An `EvaluationReport`.

        Raises:
            ValueError: If a label is not among the classes of the training data.
        """
        check_is_fitted(self, "model_")
        return self._evaluate(x, y, Console(self.verbose))

    def score(self, x: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Returns the accuracy, as scikit-learn expects it. For arguments see `evaluate`."""
        check_is_fitted(self, "model_")
        if sample_weight is None:
            return self._evaluate(x, y, Console(0)).accuracy
        return super().score(x, y, sample_weight)

    def save(self, path: str | os.PathLike) -> None:
        """Writes the classifier into one `.keras` file that plain Keras opens, too.

        `keras.saving.load_model(path)` gives `model_`; `TransferClassifier.load(path)` gives all. An existing file is
        replaced only once the new one is complete.

        Args:
            path: File name that ends in `.keras`.
        """
        check_is_fitted(self, "model_")
        settings = {
            "class_names": self.classes_.tolist(),
            "image_size": list(self.image_size_),
            "backbone": backbone_to_json(self.backbone_),
            "parameters": parameters_to_json(self.get_params(deep=False)),
            "history": self.history_,
        }
        write_archive(path, self.model_, settings)

    @classmethod
    def load(cls, path: str | os.PathLike) -> Self:
        """Reads a classifier that `save` wrote.

        Args:
            path: The file.

        Raises:
            FileNotFoundError: If there is no such file.
            ArchiveError: If it is damaged, was not written by `save`, or comes from a newer version.
        """
        model, settings = read_archive(path)
        _, network, _ = parts_of(model)
        backbone = backbone_from_json(settings["backbone"], network)
        classifier = cls(backbone, **parameters_from_json(settings["parameters"]))
        classifier.model_ = model
        classifier.classes_ = np.asarray(settings["class_names"])
        classifier.backbone_ = get_backbone(backbone)
        classifier.image_size_ = tuple(settings["image_size"])
        classifier.history_ = settings["history"]
        return classifier

    @property
    def _head(self):
        return LOGISTIC if self.head == "logistic" else self.head

    def _check_parameters(self):
        """Checks what needs neither data nor backbone."""
        if self.head != "logistic" and not isinstance(self.head, Head):
            raise ValueError(f"`head` must be 'logistic' or a Head. Received: head={self.head!r}.")
        if self.on_bad_image not in ("raise", "skip"):
            raise ValueError(f"`on_bad_image` must be 'raise' or 'skip'. Received: on_bad_image={self.on_bad_image!r}.")
        for name, smallest in {"epochs": 1, "batch_size": 1, "seed": 0}.items():
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or value < smallest:
                raise ValueError(f"`{name}` must be an integer from {smallest}. Received: {name}={value!r}.")
        if self.head != "logistic":
            check_fraction(self.validation_split)
            fresh_optimizer(self.optimizer, self.learning_rate)

    def _choose_image_size(self, backbone):
        size = backbone.image_size if self.image_size is None else self.image_size
        sides = (size, size) if isinstance(size, int | np.integer) else size
        pair = isinstance(sides, tuple | list) and len(sides) == 2
        if not pair or not all(isinstance(side, int | np.integer) for side in sides):
            raise ValueError(f"`image_size` must be an integer or (height, width). Received: image_size={size!r}.")
        backbone.check_image_size(sides)
        return tuple(int(side) for side in sides)

    def _say_what_is_known(self, backbone, console):
        if isinstance(self.backbone, keras.Model):
            console.note(
                f"Backbone {backbone.name!r} is a model of yours. Its input scaling is taken to be {backbone.scaling!r}"
                " ('none': pixels in [0, 255]). If that is wrong, use `backbone_from_model(model, scaling=...)`."
            )

    def _training_sources(self, x, y, validation_data, console):
        source = self._labelled(x, y, console)
        check_classes(source, fewest=1 if validation_data is not None else 2)
        console.note(
            f"{plural(len(source), 'image')} of {len(source.class_names)} classes: {listing(source.class_names)}"
        )
        if validation_data is None:
            return source, None
        is_folder = isinstance(validation_data, str | os.PathLike)
        if not is_folder and not (isinstance(validation_data, tuple | list) and len(validation_data) == 2):
            raise ValueError("`validation_data` must be a class folder or a pair (x, y), without weights.")
        validation_x, validation_y = (validation_data, None) if is_folder else validation_data
        return source, self._labelled(validation_x, validation_y, console, class_names=source.class_names)

    def _labelled(self, x, y, console, class_names=None):
        source = as_source(x, y, class_names=class_names, needs_labels=True)
        for note in source.notes:
            console.note(note)
        return keep_readable(source, self.on_bad_image, console)

    def _fit_head(self, features, source, validation, console):
        shared = {"validation": validation, "seed": self.seed, "console": console}
        if self.head == "logistic":
            return fit_logistic_head(features, source.labels, len(source.class_names), **shared)
        return fit_keras_head(
            self.head, features, source.labels, len(source.class_names), **shared,
            validation_split=self.validation_split, optimizer=self.optimizer, learning_rate=self.learning_rate,
            epochs=self.epochs, batch_size=self.batch_size,
        )  # fmt: skip

    def _evaluate(self, x, y, console):
        source = self._labelled(x, y, console, class_names=self.classes_)
        return evaluate_probabilities(source.labels, self._probabilities(source, console), self.classes_)

    def _probabilities(self, source, console):
        return self._run(self.model_, source, self.image_size_, console, "Predicting")

    def _run(self, model, source, image_size, console, title):
        batches = stream_images(source, image_size, self.batch_size, INTERPOLATION)
        with console.step(title, len(source)) as advance:
            return run_model(model, batches, len(source), advance)
