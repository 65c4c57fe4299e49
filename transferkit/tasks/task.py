"""What depends on the kind of labels: one object for each kind answers all of it, and nobody else asks which kind."""

from abc import ABC, abstractmethod
from typing import Any

import keras
import numpy as np

LOG_LOSS = "log_loss"  # column of the logs: the loss without smoothing, focus and penalties


class Task(ABC):
    """One kind of labels. A new kind is a subclass, and an entry in `transferkit.tasks.find`.

    The truth is what it takes from a labelled `Source` as labels: an array `(n,)` of integer codes, or
    `(n, num_classes)` float32. Probabilities are `(n, num_classes)`, thresholds `(num_classes,)` or `None`.

    Attributes:
        name: The argument `task` of a classifier that asks for it.
        activation: Activation of the last layer, which turns logits into probabilities: `"softmax"` or `"sigmoid"`.
        plain_loss: Name of the Keras loss that goes with labels as users of plain Keras have them.
        has_thresholds: Whether labels are predicted by decision thresholds, which are chosen on held-out images.
    """

    name: str
    activation: str
    plain_loss: str
    has_thresholds: bool

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    @abstractmethod
    def loss(self, focus: float = 0.0) -> keras.losses.Loss:
        """The loss that an optimizer minimises; `focus` is the exponent of the focal loss, and 0 the log loss."""

    @abstractmethod
    def metrics(self) -> list[Any]:
        """What is measured in training beside the loss: `"accuracy"` and `LOG_LOSS`."""

    @abstractmethod
    def smoothing_choices(self, num_classes: int) -> int:
        """Number of alternatives over which label smoothing spreads its share."""

    @abstractmethod
    def truth(self, source: Any) -> np.ndarray:
        """What probabilities are compared with."""

    @abstractmethod
    def stand_in_codes(self, targets: np.ndarray) -> np.ndarray:
        """One class for each row of targets, `(n,)` int64, for what has to divide images in proportion."""

    @abstractmethod
    def class_counts(self, source: Any, rows: Any = slice(None)) -> np.ndarray:
        """How many of the images at `rows` have each label, `(num_classes,)` integers."""

    @abstractmethod
    def label_of(self, source: Any, index: int) -> Any:
        """The label of one image as its user would name it."""

    @abstractmethod
    def check_balancing(self, class_weight: Any, balance: str | None) -> None:
        """Raises `ValueError` if classes of such labels cannot be balanced in this way."""

    @abstractmethod
    def guessing_accuracy(self, targets: Any) -> float:
        """Accuracy of a baseline that knows the label frequencies in `Targets` but not the images."""

    @abstractmethod
    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """What `activation` makes of logits `(n, num_classes)`."""

    @abstractmethod
    def divided_thresholds(self, thresholds: Any, temperature: float) -> np.ndarray | None:
        """The thresholds that decide in the same way once logits are divided by a temperature."""

    @abstractmethod
    def choose_thresholds(self, truth: np.ndarray, probabilities: np.ndarray, weights: Any = None) -> np.ndarray | None:
        """Chooses the decision threshold of each label, `(num_classes,)`; `None`: the most probable class wins."""

    @abstractmethod
    def labels(self, probabilities: np.ndarray, class_names: np.ndarray, thresholds: Any) -> np.ndarray:
        """What is predicted for each image, `(n,)`, in the labels of the user."""

    @abstractmethod
    def label_and_probability(self, row: np.ndarray, class_names: np.ndarray, thresholds: Any) -> tuple[Any, Any]:
        """What is predicted for one row of probabilities, and how probable it is."""

    @abstractmethod
    def accuracy(self, truth: np.ndarray, probabilities: np.ndarray, thresholds: Any, weights: Any = None) -> float:
        """Weighted share of images whose labels are all right."""

    @abstractmethod
    def report(
        self, truth: np.ndarray, probabilities: np.ndarray, thresholds: Any, class_names: np.ndarray, **kept: Any
    ) -> Any:
        """A report of `transferkit.evaluation`, with what else it is to keep: `names`, `groups` and so on."""
