"""The estimator: keeps parameters, calls the steps in order, shows what was learnt."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import keras
from matplotlib.figure import Figure
from sklearn.base import BaseEstimator, ClassifierMixin

from transferkit.backbones.backbone import Backbone
from transferkit.data.checks import Checks
from transferkit.data.class_weights import Weighting
from transferkit.data.intake import Intake
from transferkit.data.labels.targets import TaskName
from transferkit.data.reader import ImageReader
from transferkit.data.resizing import ImageFormat
from transferkit.evaluation.label_errors import LabelErrors
from transferkit.evaluation.learning import LearningCurve
from transferkit.fitted import Learnt, html_of_learnt
from transferkit.frozen.compute import Compute
from transferkit.inspection.augmentation import draw_augmentation
from transferkit.models.heads import Head
from transferkit.parameters import check_parameters
from transferkit.saving.fitted import load_fitted, save_fitted
from transferkit.training.balance.methods import BalanceName
from transferkit.training.callback_checks import check_callbacks
from transferkit.training.fitting import find_learning_rate, fit_classifier
from transferkit.training.label_errors import find_label_errors
from transferkit.training.learning_curve import find_learning_curve
from transferkit.training.phases import Phase, Recipe
from transferkit.training.rate_finder import RateCurve, RateRange
from transferkit.training.settings import Request
from transferkit.training.summary import describe_classifier
from transferkit.verbs import FittedVerbs


class TransferClassifier(FittedVerbs, ClassifierMixin, BaseEstimator):
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
            backbone was trained at. An `ImageFormat` says besides how images of another aspect ratio are resized, what
            stands where they are transparent, and how many channels they have.
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
        optimizer: Name of a Keras optimizer, or a `keras.optimizers.Optimizer`. Its `gradient_accumulation_steps`
            average the gradients of several batches for one step, for steps that do not fit into memory at once.
        learning_rate: Rate of phases that state none. Default: the optimizer's own if it is an object, else the
            schedule's.
        augmentation: What is done to training images, anew in every epoch or, where part of the backbone is frozen, in
            as many versions as `views` of the `Phase` says: `"light"`, `"medium"`, `"strong"`, an `Augmentation`, an
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
        checks: `Checks`: what is done about images that cannot be read, and about training images that are validated
            on. Default: the first are an error, of the second there is a warning.
        compute: `Compute`: precision, engine, cache and devices. Default: chosen for this machine.
        seed: Seed of folds, splits, first weights (of the head, and of a backbone with `weights=None`), dropout and the
            order of images. The same seed and data give the same classifier.
        verbose: `"auto"` or 1: progress bars on a terminal and in notebooks, one line a step elsewhere; 2: one line a
            step; 0: nothing.

    Attributes:
        classes_: Classes in the order of the probabilities, `(num_classes,)`, as they were given.
        model_: The whole classifier as a `keras.Model`: pixels in `[0, 255]`, of any size, to probabilities.
        fitted_: The `FittedClassifier`: all of what follows in one object.
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

    model_ = Learnt(lambda fitted: fitted.model)
    classes_ = Learnt(lambda fitted: fitted.class_names)
    backbone_ = Learnt(lambda fitted: fitted.backbone)
    image_size_ = Learnt(lambda fitted: fitted.image_format.image_size)
    image_format_ = Learnt(lambda fitted: fitted.image_format)
    history_ = Learnt(lambda fitted: fitted.history)
    phases_ = Learnt(lambda fitted: list(fitted.phases))
    task_ = Learnt(lambda fitted: fitted.task.name)
    thresholds_ = Learnt(lambda fitted: fitted.thresholds)
    split_ = Learnt(lambda fitted: fitted.split)

    def __init__(
        self,
        backbone: str | Backbone | keras.Model = "efficientnet_lite0",
        *,
        weights: str | os.PathLike | None = "imagenet",
        image_size: int | tuple[int, int] | ImageFormat | None = None,
        head: Literal["logistic"] | Head = "logistic",
        task: TaskName = "auto",
        schedule: Recipe | Sequence[Phase] = "linear",
        epochs: int | None = None,
        batch_size: int = 32,
        optimizer: str | keras.optimizers.Optimizer = "adam",
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule | None = None,
        augmentation: Any = "auto",
        class_weight: Weighting | Mapping | None = None,
        balance: Literal["auto"] | BalanceName | None = None,
        validation_split: float = 0.2,
        checks: Checks | None = None,
        compute: Compute | None = None,
        seed: int = 0,
        verbose: Literal["auto", 0, 1, 2] = "auto",
    ):
        self.backbone = backbone
        self.weights = weights
        self.image_size = image_size
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
        self.checks = checks
        self.compute = compute
        self.seed = seed
        self.verbose = verbose

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
            ImageReadError: If images cannot be read. With `Checks(on_bad_image="skip")`, those that break later are
                passed over, too: training begins again without them.
            LeakError: If training images are duplicates of validation images, with `Checks(on_leak="raise")`.
            WeightsUnavailableError: If the pretrained weights cannot be had.
            MemoryError: If the device's memory does not suffice.
            KeyboardInterrupt: If training is interrupted, by Ctrl-C or a notebook's stop button. The classifier is
                fitted all the same if anything good was there, such as an epoch: it has the best weights until then.
        """
        with self._speaking():
            check_callbacks(callbacks)
            request = self._request()
            request.backbone.check_is_fresh()
            intake = Intake(ImageReader(request.image_format), request.checks)
            steps = steps_per_epoch, validation_steps
            source, validation = intake.training_sources(
                x, y, validation_data, steps, sample_weight=sample_weight, groups=groups, task=self.task
            )
            self.fitted_, was_interrupted = fit_classifier(request, source, validation, callbacks)
        if was_interrupted:
            raise KeyboardInterrupt("Training was interrupted; the classifier has the best weights until then.")
        return self

    def summary(self, num_classes: int | None = None, num_images: int | None = None) -> None:
        """Prints the stages of the backbone, what of them trains in each phase, the rates, and what it costs.

        Costs are multiply-adds ("mac") of convolutions and dense layers for one image. A training step costs more
        than a forward pass, because gradients go back as far as the first layer that trains.

        Args:
            num_classes: Number of classes. Default: that of the training data, or 10 before `fit`.
            num_images: Number of images to train on, for the cost in all.
        """
        print(describe_classifier(self._request(), getattr(self, "fitted_", None), num_classes, num_images))

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
        rate_range, fitted = RateRange(smallest, largest, steps), getattr(self, "fitted_", None)
        with self._speaking():
            return find_learning_rate(self._request(), x, y, train, rate_range, fitted)

    def find_label_errors(self, x: Any, y: Any = None, *, groups: Any = None, steps: int | None = None) -> LabelErrors:
        """Finds images whose labels may be wrong, by confident learning (Northcutt et al., JAIR 2021).

        It needs no `fit`, and leaves the classifier as it is. The features of the pretrained network are computed as by
        `fit`, which finds them afterwards, or found from it. Then a logistic head is fitted to four fifths of the
        images and judges the others, five times: each label is judged by a head that has not seen it. That holds
        whatever the classifier itself trains, since a network that was fine-tuned on wrong labels has learnt them.

        Where cleanlab is installed (`pip install "transferkit[cleanlab]"`), it scores the labels and counts the errors;
        where it is not, NumPy does so by the same rules. Where an image can have any number of labels, it is NumPy.

        Args:
            x: Images, as in `fit`. If they are divided, all parts are judged.
            y: Labels, as in `fit`; of soft labels, the largest share is judged.
            groups: What each image belongs to, `(n,)`, as in `fit`: no image is judged by a head that has seen others
                of its group. Duplicates are one group, too.
            steps: Number of batches to read from a stream.

        Returns:
            `LabelErrors`: a sequence of `LabelError(path, index, given, likely, score)`, the most suspicious first;
            with `plot()`, `to_dict()` and a `ranking` of all images.

        Raises:
            ValueError, TypeError: If parameters or data are not usable, as in `fit`.
            ImageReadError: If images cannot be read. With `Checks(on_bad_image="skip")` they are passed over.
        """
        with self._speaking():
            return find_label_errors(self._request(), x, y, groups, steps)

    def learning_curve(
        self,
        x: Any,
        y: Any = None,
        *,
        groups: Any = None,
        sizes: int = 6,
        folds: int = 5,
        steps: int | None = None,
    ) -> LearningCurve:
        """Measures how accuracy grows with the number of training images, to see whether more of them would help.

        It needs no `fit`, and leaves the classifier as it is. The features of the pretrained network are computed as by
        `fit`, which finds them afterwards, or found from it. Then logistic heads are fitted to growing parts of the
        images, and each is judged on images that were held out; what else the schedule would train has no part in it.

        Args:
            x: Images, as in `fit`. If they are divided, all parts are used.
            y: Labels, as in `fit`.
            groups: What each image belongs to, `(n,)`, as in `fit`: no group is on both sides.
            sizes: Number of sizes. Each is twice the one before; the last is all that is not held out.
            folds: Number of parts of the images, of which each is held out once.
            steps: Number of batches to read from a stream.

        Returns:
            A `LearningCurve`: `sizes`, `scores`, `means`, and `plot()`.

        Raises:
            ValueError, TypeError: If parameters or data are not usable, as in `fit`.
            ImageReadError: If images cannot be read. With `Checks(on_bad_image="skip")` they are passed over.
        """
        with self._speaking():
            return find_learning_curve(self._request(), x, y, groups, sizes=sizes, folds=folds, steps=steps)

    def show_augmentation(self, x: Any, *, copies: int = 5) -> Figure:
        """Draws images as training sees them: each as it is, then augmented in several ways.

        Args:
            x: Images, as in `predict`; the first eight are drawn.
            copies: Augmented versions of each.

        Returns:
            A `matplotlib.figure.Figure`, which notebooks show as the value of a cell and `figure.savefig(path)` writes.
        """
        return draw_augmentation(self._request(), x, copies)

    def save(self, path: str | os.PathLike) -> None:
        """Writes the classifier into one `.keras` file that plain Keras opens, too.

        `keras.saving.load_model(path)` gives `model_`; `TransferClassifier.load(path)` gives all. An existing file is
        replaced only once the new one is complete, and its permissions stay.

        The file holds the arguments of the last `fit` and nothing about who trained it where: no `compute` and
        `verbose`, of a weights file the name alone, and in `split_` paths relative to the folder of all images.

        Args:
            path: File name that ends in `.keras`.
        """
        save_fitted(self._fitted(), path)

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
        fitted = load_fitted(path)
        classifier = cls(**fitted.parameters)
        classifier.fitted_ = fitted
        return classifier

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.string = False, True  # images have more axes, and paths are text
        tags.classifier_tags.multi_label = True
        tags.no_validation = True  # whatever holds images is welcome
        return tags

    # scikit-learn shows the parameters; what was learnt stands below them.

    def _repr_html_inner(self) -> str:
        return super()._repr_html_inner() + html_of_learnt(self)

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        bundle = super()._repr_mimebundle_(**kwargs)
        if "text/html" in bundle:
            bundle["text/html"] += html_of_learnt(self)
        return bundle

    def _request(self) -> Request:
        return check_parameters(self.get_params(deep=False))
