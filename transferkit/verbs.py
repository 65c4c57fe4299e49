"""What can be done with a classifier once it is fitted."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Self

import numpy as np
from matplotlib.axes import Axes
from sklearn.utils.validation import check_is_fitted

from transferkit._utils.console import Console, speaking_to
from transferkit.data.checks import Checks
from transferkit.evaluation.conformal import SetMethod
from transferkit.evaluation.multilabel import MultilabelReport
from transferkit.evaluation.plots.history import draw_history
from transferkit.evaluation.report import EvaluationReport
from transferkit.fitted import FittedClassifier
from transferkit.frozen.compute import Compute
from transferkit.inspection import calibration, explanations, familiarity, features, predictions, sets
from transferkit.inspection.explanations import Explanations
from transferkit.inspection.maps import ImageMap, MapMethod, map_images
from transferkit.inspection.predictions import FilePrediction
from transferkit.inspection.sets import PredictionSets


class FittedVerbs:
    """The methods of a classifier that need what it has learnt: each calls a function in `inspection/`.

    Attributes:
        fitted_: The `FittedClassifier`, from `fit` or `load` on.
        batch_size: Images a step.
        checks: `Checks`, or `None`.
        compute: `Compute`, or `None`.
        verbose: How much is said.
    """

    fitted_: FittedClassifier
    batch_size: int
    checks: Checks | None
    compute: Compute | None
    verbose: Any

    def predict(
        self, x: Any, *, steps: int | None = None, views: int = 1, reject_below: float | None = None
    ) -> np.ndarray:
        """Returns the most probable label of each image, `(n,)`, in the order given, as the labels were given.

        Where an image can have any number of labels: a tuple of them for each image.

        Args:
            x: Images as in `fit`, without labels. One path or image gives one label; those of a folder go by name.
            steps: Number of batches to read from a stream. Default: all, if it has an end.
            views: Number of views of each image whose probabilities are averaged, from 1 to 10: the image, its mirror
                image if `augmentation` allows that, and both moved by a sixteenth of their sides (test-time
                augmentation). It takes as many times as long.
            reject_below: Gives images that are unlike those of the training data the label `None`: all whose
                `familiarity` is below this. 0.01 refuses about one in a hundred images that are not unlike at all.

        Raises:
            NotFittedError: If `fit` was not called yet.
            ValueError: If `reject_below` is given and nobody knows what familiar images look like; see `calibrate`.
            ImageReadError: If any image cannot be read, whatever `checks` say, so that no row is out of place;
                `predict_files` can skip.
        """
        with self._speaking():
            options: dict[str, Any] = {"steps": steps, "views": views, "reject_below": reject_below}
            return predictions.predict_labels(self._fitted(), x, batch_size=self.batch_size, **options)

    def predict_proba(self, x: Any, *, steps: int | None = None, views: int = 1) -> np.ndarray:
        """Returns the probability of each class, `(n, num_classes)` float32, classes in the order of `classes_`.

        For arguments and errors see `predict`.
        """
        with self._speaking():
            options: dict[str, Any] = {"batch_size": self.batch_size, "steps": steps, "views": views}
            return predictions.predict_probabilities(self._fitted(), x, **options)

    def calibrate(self, x: Any, y: Any = None, *, steps: int | None = None) -> Self:
        """Learns from images that were not trained on how much the classifier may be believed.

        Three things: one number, the temperature, that makes its probabilities true (Guo et al., ICML 2017), and that
        becomes part of the model and every export of it; how large sets of classes must be (`predict_set`); and what
        familiar images look like (`reject_below`). No prediction changes. A few images are better than none, a
        few hundred are enough. The default classifier, a logistic head on a frozen backbone, is calibrated by `fit`:
        its probabilities stay unless the images contradict them beyond chance.

        `model_` and `fitted_` are others afterwards; what had been there before is unchanged.

        Args:
            x: Images as in `fit`, set aside before it. Where they are divided, the part to validate on is taken.
            y: Labels, as in `fit`.
            steps: As in `predict`.

        Returns:
            The classifier itself.

        Raises:
            ValueError: If a label is not among the classes of the training data.
            ImageReadError: If images cannot be read.

        Warns:
            UserWarning: If images are given that were trained on, as the content of files or arrays tells. (A file and
                an array of its pixels are two contents.)
        """
        with self._speaking():
            self.fitted_ = calibration.calibrate(self._fitted(), x, y, steps=steps, **self._reading())
        return self

    def predict_set(
        self,
        x: Any,
        coverage: float = 0.9,
        *,
        per_class: bool = False,
        method: SetMethod = "raps",
        randomised: bool = False,
        steps: int | None = None,
    ) -> PredictionSets:
        """Returns for each image a set of classes that holds the right one with a chosen probability.

        The promise is kept whatever the model (conformal prediction), as long as images are like those that it was
        calibrated on: the held-out images of `calibrate`, or those that `fit` has cross-validated a logistic head on.
        How sure the classifier is of an image shows in the size of its set.

        Args:
            x: Images, as in `predict`.
            coverage: Probability that the right class is in the set, between 0 and 1. Where the classifier is right
                more often than that, sets are of one class and hold it as often.
            per_class: Whether the promise is for the images of each class, and not only for all together. Sets are
                larger then. Classes of few calibration images are in every set.
            method: `"raps"` (Angelopoulos et al., ICLR 2021): classes by their probability, until enough is together;
                `"lac"`: all classes above one probability, the smallest sets on average at the price of hard images;
                `"aps"`: RAPS without its penalty for sets of many classes.
            randomised: Whether sets depend on draws as in the paper of RAPS, from a seed that is always the same.
            steps: As in `predict`.

        Returns:
            A `PredictionSets`: a sequence of tuples of classes, the most probable first. `print` shows it.

        Raises:
            ValueError: If the classifier knows no held-out images, or too few for this coverage; if an image can have
                any number of labels.

        Example:
            >>> clf.predict_set("photos", coverage=0.95)[0]  # doctest: +SKIP
            ('cat', 'dog')
        """
        with self._speaking():
            options: dict[str, Any] = {
                "per_class": per_class,
                "method": method,
                "randomised": randomised,
            }
            return sets.predict_sets(self._fitted(), x, coverage, batch_size=self.batch_size, steps=steps, **options)

    def familiarity(self, x: Any, *, steps: int | None = None) -> np.ndarray:
        """Returns how much images are like those of the training data, float32 `(n,)` in `(0, 1]`.

        It is the share of familiar images that are no more familiar: 0.5 is as usual as can be, and of images like
        those of the training data one in a hundred has 0.01 or less. `predict(x, reject_below=0.01)` refuses
        these. What is compared are features, by the angle to their nearest neighbours (Sun et al., ICML 2022).

        For arguments see `predict`.

        Raises:
            ValueError: If nobody knows what familiar images look like; see `calibrate`.
        """
        with self._speaking():
            return familiarity.familiarity(self._fitted(), x, batch_size=self.batch_size, steps=steps)

    def predict_files(self, x: Any, *, steps: int | None = None) -> list[FilePrediction]:
        """Predicts folders or paths and keeps path, label and probability together.

        Args:
            x: Folder, path or sequence of paths; images without a path are welcome, too.
            steps: As in `predict`.

        Returns:
            List of `FilePrediction(path, label, probability)`, in the order given; `probability` is that of `label`.
            Where an image can have any number of labels, both are tuples. With `Checks(on_bad_image="skip")`, images
            that cannot be read have the label `None` and the probability NaN. It makes a `pandas.DataFrame`.
        """
        with self._speaking():
            return predictions.predict_files(self._fitted(), x, steps=steps, **self._reading())

    def evaluate(
        self,
        x: Any,
        y: Any = None,
        *,
        groups: Any = None,
        metrics: Mapping[str, Callable[..., float]] | None = None,
        steps: int | None = None,
    ) -> EvaluationReport | MultilabelReport:
        """Compares predictions with true labels.

        Args:
            x: Class folder, paths or images, as in `fit`. Where they are divided, the part to test on is taken.
            y: Labels, as in `fit`.
            groups: What each image belongs to, such as a patient or a scene, `(n,)`, or `None`. Images of one group are
                alike, so intervals are computed from groups then.
            metrics: Dict of more metrics, such as `{"kappa": sklearn.metrics.cohen_kappa_score}`, or `None`. Each is a
                function of labels and predictions, in this order, as scikit-learn's metrics are: arrays `(n,)` of your
                labels or, where an image can have any number of them, `(n, num_classes)` of 0 and 1. It is called when
                the report is first asked for its metrics, some 500 times for its interval. One that raises an error is
                named with it, and the others stay.
            steps: As in `predict`.

        Returns:
            An `EvaluationReport` or, where an image can have any number of labels, a `MultilabelReport`. It holds on to
            the images, so that it can show them.

        Raises:
            ValueError: If a label is not among the classes of the training data, or a name in `metrics` is taken.
            TypeError: If `metrics` is no dict of functions.
        """
        with self._speaking():
            given = {"groups": groups, "metrics": metrics, "steps": steps}
            return predictions.evaluate(self._fitted(), x, y, **given, **self._reading())

    def score(self, x: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Returns the accuracy, as scikit-learn expects it: the share of images of which all labels are right.

        For `x` and `y` see `evaluate`; `sample_weight` `(n,)` is what each image counts, at least 0.
        """
        return predictions.score(self._fitted(), x, y, sample_weight=sample_weight, **self._reading())

    def embed(self, x: Any, *, steps: int | None = None) -> np.ndarray:
        """Returns the features of each image, `(n, num_features)` float32, in the order given.

        They are what the backbone gives, pooled: what the logistic head, or the first dense layer of a `Head`, works
        on. Images that are alike to the classifier are near each other. Where the backbone was trained, so were they.
        Of images that were just predicted or evaluated they are there already.

        For arguments and errors see `predict`.
        """
        with self._speaking():
            return features.embed(self._fitted(), x, batch_size=self.batch_size, steps=steps)

    def transform(self, x: Any) -> np.ndarray:
        """Returns what `embed` does: the classifier may be a step of a scikit-learn `Pipeline`, before another one."""
        return self.embed(x)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Returns a name for each column of `transform`, `(num_features,)`. `input_features` has no part in it."""
        return features.feature_names(self._fitted())

    def map_images(
        self, x: Any, labels: Any = None, *, method: MapMethod = "auto", steps: int | None = None
    ) -> ImageMap:
        """Places images in the plane by what the backbone makes of them: those that are alike lie near each other.

        Args:
            x: Images, as in `predict`.
            labels: Labels to colour by, `(n,)`. Default: those that `x` brings, such as a class folder, or what is
                predicted.
            method: `"pca"`: principal components. `"umap"`: UMAP, an extra, which shows clusters more clearly but says
                nothing by distances between them. `"auto"`: UMAP where it is installed, for 30 images and more.
            steps: As in `predict`.

        Returns:
            An `ImageMap`, which a notebook shows; `plot()` draws it, with some of the images in their places.

        Raises:
            ImportError: If UMAP was asked for and is not installed.
            ImageReadError: If any image cannot be read.
        """
        with self._speaking():
            return map_images(self._fitted(), x, labels, method, batch_size=self.batch_size, steps=steps)

    def plot_history(self, metric: str = "loss", ax: Axes | None = None) -> Axes:
        """Draws a metric over the epochs, on training and validation images, with phases and the chosen epoch marked.

        Where the logistic head alone was fitted, there are no epochs: its path over the L2 strengths is drawn.

        Args:
            metric: `"loss"`, `"accuracy"`, or another column of `history_` that has one with `val_` before its name.
            ax: Matplotlib axes; default: new ones, which a notebook shows.

        Returns:
            The axes; `.figure` is their figure.

        Raises:
            NotFittedError: If `fit` was not called yet.
            ValueError: If there is no such metric.
        """
        return draw_history(self._fitted().history, metric, ax=ax)

    def explain(
        self, x: Any, *, classes: Any = None, stage: str | None = None, steps: int | None = None
    ) -> Explanations:
        """Shows which parts of images speak for a class, by Grad-CAM (Selvaraju et al., ICCV 2017, arXiv:1610.02391).

        The map is as coarse as the features of the backbone, and tells what the network uses, not why.

        Args:
            x: Images, as in `predict`.
            classes: The class to explain, or one for each image, `(n,)`. Default: the most probable one of each.
            stage: Stage of the backbone at whose end the map is taken, as `backbone_.stages` names them. An earlier one
                gives a finer map of what is less specific to the class. Default: the last one, which the head sees.
            steps: As in `predict`.

        Returns:
            `Explanations`, a sequence with an `Explanation` for each image: a heat map as large as the image, the class
            and its probability. A notebook shows it as a picture.

        Raises:
            NotFittedError: If `fit` was not called yet.
            ValueError: If there is no such class or stage, or the features there are no map, as after pooling.
            ImageReadError: If any image cannot be read.
        """
        options = {"classes": classes, "stage": stage, "batch_size": self.batch_size, "steps": steps}
        with self._speaking():
            return explanations.explain(self._fitted(), x, **options)

    def _fitted(self) -> FittedClassifier:
        check_is_fitted(self, "fitted_")
        self.fitted_.predictor.is_keeping = (self.compute or Compute()).cache is not False
        return self.fitted_

    def _reading(self) -> dict[str, Any]:
        return {"batch_size": self.batch_size, "on_bad_image": (self.checks or Checks()).on_bad_image}

    def _speaking(self) -> AbstractContextManager[Console]:
        return speaking_to(Console(self.verbose))
