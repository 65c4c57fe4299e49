"""Any number of labels for each image: independent binary labels."""

import keras
import numpy as np
from scipy.special import expit, logit

from transferkit._utils.text import natural_key
from transferkit.evaluation.metrics import weighted_accuracy
from transferkit.evaluation.multilabel import MultilabelReport, choose_thresholds
from transferkit.tasks.task import LOG_LOSS, Task


class Multilabel(Task):
    """Any number of labels for each image: each label has its own decision threshold."""

    name = "multilabel"
    activation = "sigmoid"
    plain_loss = "binary_crossentropy"
    has_thresholds = True

    def loss(self, focus=0.0):
        """Binary cross-entropy, or the binary focal loss."""
        # With gamma=0 the focal loss is the log loss, but its gradient is NaN where a probability is 1.
        return keras.losses.BinaryFocalCrossentropy(gamma=focus) if focus else keras.losses.BinaryCrossentropy()

    def metrics(self):
        """The share of labels that are right at 0.5, and the binary cross-entropy."""
        return [keras.metrics.BinaryAccuracy(name="accuracy"), keras.metrics.BinaryCrossentropy(name=LOG_LOSS)]

    def smoothing_choices(self, num_classes):
        """Two: an image has a label, or does not."""
        return 2

    def truth(self, source):
        """Rows of 0 and 1."""
        return source.targets

    def stand_in_codes(self, targets):
        """The rarest label of each image, which thus is on both sides of a split; without any, the most frequent."""
        counts = targets.sum(axis=0)
        by_rarity = np.where(targets > 0, -counts, -np.inf)
        return np.where(targets.any(axis=1), by_rarity.argmax(axis=1), counts.argmax()).astype("int64")

    def class_counts(self, source, rows=slice(None)):
        """How many images have each label."""
        return np.count_nonzero(source.targets[rows], axis=0)

    def label_of(self, source, index):
        """A tuple of its labels, in order."""
        names = source.class_names.tolist()
        return tuple(sorted((names[code] for code in np.flatnonzero(source.targets[index])), key=natural_key))

    def check_balancing(self, class_weight, balance):
        """Only the focal loss, which looks at each label alone, goes with labels whose classes have no sizes."""
        if class_weight is not None or balance not in (None, "focal"):
            raise ValueError(
                "Where an image can have any number of labels, classes have no sizes to be balanced. Leave out "
                "`class_weight`, and `balance` unless it is 'focal'; thresholds are chosen for each label anyway. "
                f"Received: class_weight={class_weight!r}, balance={balance!r}."
            )

    def guessing_accuracy(self, targets):
        """Mean over the labels of the more frequent answer."""
        weights = np.ones(len(targets.codes)) if targets.weights is None else targets.weights
        shares = np.average(targets.matrix, axis=0, weights=weights)
        return float(np.maximum(shares, 1 - shares).mean())

    def probabilities(self, logits):
        """By the logistic function."""
        return expit(logits)

    def divided_thresholds(self, thresholds, temperature):
        """Those whose logits are divided, too."""
        return expit(logit(thresholds.astype("float64")) / temperature).astype("float32")

    def choose_thresholds(self, truth, probabilities, weights=None):
        """Those with the best F1 of each label."""
        return choose_thresholds(truth, probabilities, weights)

    def labels(self, probabilities, class_names, thresholds):
        """A tuple of labels for each image."""
        labels = np.empty(len(probabilities), object)
        labels[:] = [self.label_and_probability(row, class_names, thresholds)[0] for row in probabilities]
        return labels

    def label_and_probability(self, row, class_names, thresholds):
        """A tuple of labels, and a tuple of their probabilities."""
        given = np.flatnonzero(row >= thresholds)
        names = class_names.tolist()
        return tuple(names[code] for code in given), tuple(row[given].tolist())

    def accuracy(self, truth, probabilities, thresholds, weights=None):
        """Share of images whose labels are all right."""
        return weighted_accuracy(truth, probabilities, weights, thresholds)

    def report(self, truth, probabilities, thresholds, class_names, **kept):
        """A `MultilabelReport`."""
        return MultilabelReport(class_names, truth, probabilities, thresholds, **kept)
