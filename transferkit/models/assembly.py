"""Joins the three models into one: for use, from raw pixels to probabilities, and for training."""

from dataclasses import dataclass, field

import keras

from transferkit.backbones.backbone import Backbone
from transferkit.data.resizing import ImageFormat
from transferkit.models.freezing import AtRest
from transferkit.models.heads import Activation, Head, build_dense, build_head, build_pooling
from transferkit.models.trainee import Trainee
from transferkit.tasks.find import task_with


@dataclass(frozen=True)
class Components:
    """A classifier taken apart, for training. All share their weights.

    Attributes:
        preprocessing: `keras.Model` from raw pixels of any size to what the backbone expects.
        scaling: The same for pixels of the right size.
        network: The backbone.
        pooling: The head's first part: from the features of the backbone to pooled ones.
        dense: The rest: from pooled features to probabilities.
        head: Both.
        whole: The classifier that `assemble` made of them.
    """

    preprocessing: keras.Model = field(repr=False)
    scaling: keras.Model = field(repr=False)
    network: keras.Model = field(repr=False)
    pooling: keras.Model = field(repr=False)
    dense: keras.Model = field(repr=False)
    head: keras.Model = field(repr=False)
    whole: keras.Model = field(repr=False)

    @property
    def models(self) -> tuple[keras.Model, keras.Model]:
        """Those that have weights."""
        return self.network, self.head


def build_components(
    backbone: Backbone,
    network: keras.Model,
    image_format: ImageFormat,
    head: Head,
    num_classes: int,
    seed: int,
    activation: Activation = "softmax",
) -> Components:
    """Builds all components of a new classifier around a network.

    Args:
        backbone: The `Backbone` that describes the network.
        network: What `backbone.build` gave.
        image_format: The `ImageFormat`.
        head: A `Head`.
        num_classes: Number of classes.
        seed: Seed of the head's first weights.
        activation: See `build_dense`.

    Returns:
        `Components`.
    """
    preprocessing = backbone.build_preprocessing(
        image_format.image_size,
        resize=image_format.resize,
        background=image_format.background_levels,
        channels=image_format.channels,
        interpolation=image_format.interpolation,
    )
    pooling = build_pooling(head.pooling, network.output_shape[1:])
    dense = build_dense(head, pooling.output_shape[1], num_classes, seed=seed, activation=activation)
    joined = build_head(pooling, dense)
    whole = assemble(preprocessing, network, joined)
    scaling = backbone.build_scaling(image_format.channels)
    return Components(preprocessing, scaling, network, pooling, dense, joined, whole)


def assemble(preprocessing: keras.Model, backbone: keras.Model, head: keras.Model) -> keras.Model:
    """Builds the classifier: preprocessing → backbone → head.

    The backbone is frozen. The model is compiled, so that `evaluate` and `fit` of plain Keras work on it with integer
    labels; by SGD, because its state is empty and need not be saved; without XLA, because TensorFlow resizes with
    antialiasing on the CPU only.

    Args:
        preprocessing: `keras.Model` from raw pixels of any size to what the backbone expects.
        backbone: `keras.Model` from there to features.
        head: `keras.Model` from features to probabilities.

    Returns:
        A functional `keras.Model` with these three as its layers: `(batch, height, width, channels)` pixels in
        `[0, 255]` to `(batch, num_classes)` float32.
    """
    backbone.trainable = False
    pixels = keras.Input((None, None, preprocessing.input_shape[-1]), dtype="float32", name="pixels")
    model = keras.Model(pixels, head(backbone(preprocessing(pixels))), name="transfer_classifier")
    task = task_with(keras.activations.serialize(head.get_layer("probabilities").activation))
    model.compile("sgd", task.plain_loss, metrics=["accuracy"], jit_compile=False)
    return model


def components_of(model: keras.Model) -> tuple[keras.Model, keras.Model, keras.Model]:
    """Returns the `(preprocessing, backbone, head)` of an assembled model."""
    return tuple(model.get_layer(name) for name in ("preprocessing", "backbone", "head"))


def build_trainee(components, view=None, *, begin="pixels"):
    """Builds the model that is trained in one phase.

    Args:
        components: `Components` of the classifier.
        view: `TrainableBackbone` of its backbone or, for `begin="cut"`, of the part behind the cut. `None` takes the
            backbone as it is, to compute with it only.
        begin: `"pixels"`: images `(batch, height, width, channels)` in `[0, 255]` of the right size; `"cut"`: what the
            front of the backbone made of them; `"features"`: the pooled features, for the head alone.

    Returns:
        A `Trainee` that is not compiled yet, to probabilities.
    """
    if begin == "features":
        inputs = keras.Input(components.dense.input_shape[1:])
        outputs = components.dense(inputs)
    else:
        network = components.network if view is None else view.model
        shape = network.input_shape[1:]
        if begin == "pixels":
            shape = (*shape[:2], components.scaling.input_shape[-1])
        inputs = keras.Input(shape, name="pixels" if begin == "pixels" else "activations")
        # In `fit`, Dropout of a frozen head would be on otherwise.
        head = components.head if components.head.trainable else AtRest(components.head)
        outputs = head(network(components.scaling(inputs) if begin == "pixels" else inputs))
    return Trainee(inputs, outputs, components.whole, tuple(view.adapters.values()) if view else ())
