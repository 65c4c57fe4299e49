"""One label for each image, or shares in several that sum to 1."""

import keras
import numpy as np
from scipy.special import softmax

from transferkit.evaluation.metrics import weighted_accuracy
from transferkit.evaluation.report import EvaluationReport
from transferkit.tasks.task import LOG_LOSS, Task


class Multiclass(Task):
    """One label for each image, or shares in several (soft labels): the most probable class is the prediction."""

    name = "multiclass"
    activation = "softmax"
    plain_loss = "sparse_categorical_crossentropy"
    has_thresholds = False

    def loss(self, focus=0.0):
        """Categorical cross-entropy, or the focal loss."""
        if focus:
            return keras.losses.CategoricalFocalCrossentropy(alpha=1.0, gamma=focus)
        return keras.losses.CategoricalCrossentropy()

    def metrics(self):
        """The share of images whose class is right, and the categorical cross-entropy."""
        return ["accuracy", keras.metrics.CategoricalCrossentropy(name=LOG_LOSS)]

    def smoothing_choices(self, num_classes):
        """All classes."""
        return num_classes

    def truth(self, source):
        """Codes: of soft labels those of the largest shares."""
        return source.labels

    def stand_in_codes(self, targets):
        """The most likely class of soft labels."""
        return targets.argmax(axis=1).astype("int64")

    def class_counts(self, source, rows=slice(None)):
        """How many images are of each class."""
        return np.bincount(source.labels[rows], minlength=len(source.class_names))

    def label_of(self, source, index):
        """The name of its class."""
        return source.class_names.tolist()[source.labels[index]]

    def check_balancing(self, class_weight, balance):
        """Classes can be balanced in every way."""

    def guessing_accuracy(self, targets):
        """The share of the largest class."""
        weights = np.ones(len(targets.codes)) if targets.weights is None else targets.weights
        return float(np.bincount(targets.codes, weights).max() / weights.sum())

    def probabilities(self, logits):
        """By the softmax."""
        return softmax(logits, axis=1)

    def divided_thresholds(self, thresholds, temperature):
        """There are none."""
        return

    def choose_thresholds(self, truth, probabilities, weights=None):
        """There are none."""
        return

    def labels(self, probabilities, class_names, thresholds):
        """The most probable class of each image."""
        return class_names[probabilities.argmax(axis=1)]

    def label_and_probability(self, row, class_names, thresholds):
        """The most probable class."""
        return class_names.tolist()[row.argmax()], float(row.max())

    def accuracy(self, truth, probabilities, thresholds, weights=None):
        """Share of images whose class is right."""
        return weighted_accuracy(truth, probabilities, weights)

    def report(self, truth, probabilities, thresholds, class_names, **kept):
        """An `EvaluationReport`."""
        return EvaluationReport(class_names, truth, probabilities, **kept)
