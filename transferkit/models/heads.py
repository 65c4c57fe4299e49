"""The third of the three models: from features to probabilities."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import keras
import numpy as np
from keras import layers

Pooling = Literal["avg", "max", "flatten"]
Activation = Literal["softmax", "sigmoid"]
_POOLINGS = get_args(Pooling)


@dataclass(frozen=True)
class Head:
    """A head of dense layers, trained by a Keras optimizer on the features of the frozen backbone.

    `Head(units=(256,))` is the common GlobalAveragePooling + Dense(256) head, and
    `Head(pooling="flatten", units=(1024,))` the Flatten + Dense(1024) head of the VGG16 tutorials. For most data the
    default of `TransferClassifier`, `head="logistic"`, is both faster to fit and more accurate.

    Args:
        pooling: What makes a vector of the feature map: `"avg"` or `"max"` over its positions, or `"flatten"`.
        units: Widths of the hidden layers, from the features to the output. `()` for none.
        activation: Activation of the hidden layers, as Keras names it.
        dropout: Share of hidden units dropped while training, in `[0, 1)`.
        l1: Strength of the L1 penalty on all kernels of the head.
        l2: Strength of the L2 penalty on all kernels of the head.

    Example:
        >>> from transferkit import Head
        >>> Head(pooling="flatten", units=(1024,))
        Head(pooling='flatten', units=(1024,), activation='relu', dropout=0.2, l1=0.0, l2=0.0)
    """

    pooling: Pooling = "avg"
    units: tuple[int, ...] = (256,)
    activation: str = "relu"
    dropout: float = 0.2
    l1: float = 0.0
    l2: float = 0.0

    def __post_init__(self) -> None:
        if self.pooling not in _POOLINGS:
            raise ValueError(f"Unknown `pooling`. Received: {self.pooling!r}. Expected 'avg', 'max' or 'flatten'.")
        units = np.atleast_1d(np.asarray(self.units, int)).tolist()
        if any(width < 1 for width in units):
            raise ValueError(f"`units` must be positive. Received: units={self.units!r}.")
        try:
            keras.activations.get(self.activation)
        except ValueError as error:
            raise ValueError(f"Unknown `activation`. Received: activation={self.activation!r}.") from error
        if not 0 <= self.dropout < 1:
            raise ValueError(f"`dropout` must be in [0, 1). Received: dropout={self.dropout!r}.")
        if min(self.l1, self.l2) < 0:
            raise ValueError(f"`l1` and `l2` must not be negative. Received: l1={self.l1!r}, l2={self.l2!r}.")
        object.__setattr__(self, "units", tuple(units))


LOGISTIC = Head(units=(), dropout=0.0)
"""The shape of the logistic head: average pooling and one Dense layer."""


def build_pooling(pooling: Pooling, feature_shape: tuple[int | None, ...]) -> keras.Model:
    """Builds the model from a feature map to a vector. Features that are vectors already pass unchanged.

    Args:
        pooling: `"avg"`, `"max"` or `"flatten"`.
        feature_shape: Shape of the features of one image: `(height, width, channels)` or `(num_features,)`.

    Returns:
        A `keras.Model` named `"pooling"`.
    """
    features = keras.Input(feature_shape, name="features")
    if len(feature_shape) == 1:
        pooled = layers.Identity(name="pool")(features)
    elif pooling == "avg":
        pooled = layers.GlobalAveragePooling2D(name="pool")(features)
    elif pooling == "max":
        pooled = layers.GlobalMaxPooling2D(name="pool")(features)
    else:
        pooled = layers.Flatten(name="pool")(features)
    return keras.Model(features, pooled, name="pooling")


def build_dense(
    head: Head, num_features: int, num_classes: int, seed: int = 0, activation: Activation = "softmax"
) -> keras.Model:
    """Builds the dense layers of a head: from vectors of features to probabilities.

    Args:
        head: A `Head`.
        num_features: Length of the vectors.
        num_classes: Number of classes.
        seed: Seed of the first weights and of dropout.
        activation: What makes probabilities: `"softmax"` or, where an image can have any number of labels, `"sigmoid"`.

    Returns:
        A `keras.Model` named `"dense"`, in float32. Its last layer is the Dense layer `"probabilities"`.
    """
    regularizer = keras.regularizers.L1L2(head.l1, head.l2) if head.l1 or head.l2 else None

    def dense(width: int, activation: str, seed: int, **options: Any) -> keras.layers.Dense:
        kernel_initializer = keras.initializers.GlorotUniform(seed)
        return layers.Dense(
            width, activation, kernel_initializer=kernel_initializer, kernel_regularizer=regularizer, **options
        )

    features = x = keras.Input((num_features,), name="pooled_features")
    for number, width in enumerate(head.units, 1):
        x = dense(width, head.activation, seed=seed + number, name=f"hidden{number}")(x)
        if head.dropout:
            x = layers.Dropout(head.dropout, seed=seed + number, name=f"dropout{number}")(x)
    # Float32 under any policy: a softmax in float16 is too coarse.
    output = dense(num_classes, activation, seed=seed, dtype="float32", name="probabilities")(x)
    return keras.Model(features, output, name="dense")


def build_head(pooling: keras.Model, dense: keras.Model) -> keras.Model:
    """Joins pooling and dense layers, sharing their weights, into the model named `"head"`."""
    features = keras.Input(pooling.input_shape[1:], name="features")
    x = features
    for layer in (*pooling.layers[1:], *dense.layers[1:]):
        x = layer(x)
    return keras.Model(features, x, name="head")


def build_logits(head: keras.Model) -> keras.Model:
    """Builds the model from features to what the softmax or sigmoid of a head sees, with the weights of the head.

    Args:
        head: What `build_head` made.

    Returns:
        A `keras.Model`: features to logits, float32 `(batch, num_classes)`.
    """
    features = x = keras.Input(head.input_shape[1:], name="features")
    *layers_before, last = head.layers[1:]
    for layer in layers_before:
        x = layer(x)
    x = keras.ops.cast(x, "float32")
    return keras.Model(features, keras.ops.matmul(x, last.kernel) + last.bias, name="logits")


def build_head_with_features(head: keras.Model) -> keras.Model:
    """Builds the model from features to pooled features and probabilities, side by side.

    Args:
        head: What `build_head` gave. Its weights are shared.

    Returns:
        A `keras.Model`: to `(batch, num_features + num_classes)` float32.
    """
    pool, *dense_layers = head.layers[1:]
    features = keras.Input(head.input_shape[1:], name="features")
    x = pooled = pool(features)
    for layer in dense_layers:
        x = layer(x)
    return keras.Model(features, layers.Concatenate(dtype="float32")([pooled, x]), name="head_with_features")


def shift_logits(head: keras.Model, shift: np.ndarray) -> None:
    """Adds one number for each class, `(num_classes,)`, to what the softmax of a head sees, for good."""
    last = head.get_layer("probabilities")
    kernel, bias = last.get_weights()
    last.set_weights([kernel, bias + shift])


def divide_logits(head: keras.Model, temperature: float) -> None:
    """Divides what the softmax of a head sees by a temperature, for good: it becomes part of the last Dense layer."""
    last = head.get_layer("probabilities")
    last.set_weights([weight / temperature for weight in last.get_weights()])
