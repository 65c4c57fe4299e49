"""Augmentation as Keras has it: an `ImageDataGenerator`, taken apart, and preprocessing layers, as they are."""

import keras
import tensorflow as tf

from transferkit._utils.keras import generator_validation_split
from transferkit._utils.random import python_random_kept

_STANDARDISING = (
    "featurewise_center",
    "samplewise_center",
    "featurewise_std_normalization",
    "samplewise_std_normalization",
    "zca_whitening",
)
_SCALING_LAYERS = (keras.layers.Rescaling, keras.layers.Normalization)
_MIXING_LAYERS = (keras.layers.MixUp, keras.layers.CutMix)
_RGB_LAYERS = {
    "AugMix",
    "RandAugment",
    "RandomColorDegeneration",
    "RandomColorJitter",
    "RandomGrayscale",
    "RandomHue",
    "RandomSaturation",
}


def is_image_data_generator(value):
    """Whether a value is a Keras `ImageDataGenerator`."""
    # Only `tf.keras` has a public name for that class, and would have to be imported for it.
    kinds = type(value).__mro__
    return any((kind.__name__, kind.__module__.split(".")[0]) == ("ImageDataGenerator", "keras") for kind in kinds)


def translate_generator(generator):
    """Translates an `ImageDataGenerator`, argument by argument, into those of an `Augmentation`.

    In two points this does what Keras documents, and not what it does: Keras 3 moves images up and down by
    `width_shift_range` and sideways by `height_shift_range` (keras issue 17398), and it turns images that are not
    square about a point beside their centre.

    Small differences remain: brightness is a plain product here and goes through 8-bit images there, which costs up to
    `1 + factor` gray levels; a channel shift is limited by black and white here, by the darkest and the brightest value
    of the image there.

    Args:
        generator: An `ImageDataGenerator`.

    Returns:
        `(arguments, notes)`: a dict, and sentences about what was left out.

    Raises:
        ValueError: If it scales or standardises pixels, or calls a function of the user.
    """
    _refuse_scaling(generator)
    interpolation = "nearest" if generator.interpolation_order == 0 else "bilinear"
    arguments = {
        "rotation": abs(generator.rotation_range or 0),
        "width_shift": _shift(generator.width_shift_range),
        "height_shift": _shift(generator.height_shift_range),
        "shear": abs(generator.shear_range or 0),
        "zoom": tuple(sorted(generator.zoom_range)),
        # An `ImageDataGenerator` draws a zoom for each side.
        "keep_aspect": False,
        "horizontal_flip": bool(generator.horizontal_flip),
        "vertical_flip": bool(generator.vertical_flip),
        "brightness": tuple(sorted(generator.brightness_range or (1, 1))),
        "channel_shift": abs(generator.channel_shift_range or 0),
        "fill_mode": generator.fill_mode,
        "fill_value": generator.cval,
        "interpolation": interpolation,
    }
    return arguments, tuple(_differences(generator))


def _shift(value):
    if isinstance(value, list | tuple) or hasattr(value, "tolist"):
        return value.tolist() if hasattr(value, "tolist") else list(value)
    return abs(value or 0)


def _refuse_scaling(generator):
    refused = [f"{name}=True" for name in _STANDARDISING if getattr(generator, name)]
    if generator.rescale not in (None, 0, 1):
        refused.insert(0, f"rescale={generator.rescale:g}")
    if refused:
        raise ValueError(
            f"An `ImageDataGenerator` with {', '.join(refused)} cannot be used as `augmentation`: the model scales its "
            "own input, in training and afterwards, and pixels would be scaled twice. Leave that out."
        )
    if generator.preprocessing_function is not None:
        raise ValueError(
            "An `ImageDataGenerator` with `preprocessing_function` cannot be used as `augmentation`: a function cannot "
            "be translated. If it scales pixels, as `preprocess_input` does, leave it out: the model scales its own "
            "input. If it varies images, make it a Keras layer and pass a list of layers."
        )


def _differences(generator):
    """What the user should know about the translation, in sentences."""
    if generator.interpolation_order not in (0, 1):
        yield f"`interpolation_order={generator.interpolation_order}` became 1: images are interpolated bilinearly."
    if split := generator_validation_split(generator):
        yield (f"`validation_split={split:g}` of the `ImageDataGenerator` was ignored: give it to the classifier.")
    if generator.data_format == "channels_first":
        yield "`data_format='channels_first'` was ignored: images are (height, width, channels)."
    if generator.dtype != "float32":
        yield f"`dtype={generator.dtype!r}` was ignored: images are float32."
    if generator.width_shift_range != generator.height_shift_range:
        yield (
            "`width_shift_range` moves images sideways and `height_shift_range` up and down, as documented; Keras' own "
            "`ImageDataGenerator` has the two exchanged."
        )


class KerasLayers:
    """Keras preprocessing layers that augment batches, one layer after another.

    The layers are copied, so that the user's own keep their state. Before every batch the state of all their random
    generators is set from the batch's key: a batch comes out the same whatever came before it, as long as batches are
    augmented one at a time (`num_parallel_calls=None` in `tf.data.Dataset.map`). Layers that draw from elsewhere,
    such as from Keras' global generator, do not repeat.

    Args:
        layers: Keras layers.
        seed: Seed of the draws.

    Raises:
        ValueError: If a layer scales pixels, or mixes labels.
        TypeError: If something is no layer, or a layer that has weights.
    """

    is_stateless = False

    def __init__(self, layers, seed=0):
        self.layers = list(_flatten(layers))
        self._seed = seed
        for layer in self.layers:
            _check_layer(layer)
        # Keras draws the first state of a generator from Python's, and would keep it on a GPU, out of tf.data's reach.
        with python_random_kept(), tf.device("CPU"):
            self._pipeline = keras.layers.Pipeline([_copy(layer) for layer in self.layers])
        self._states = [variable for variable in self._pipeline.variables if variable.name == "seed_generator_state"]

    @property
    def needs_rgb(self):
        """Names of the layers that work on RGB images only."""
        return sorted({type(layer).__name__ for layer in self.layers} & _RGB_LAYERS)

    def augment(self, images, key):
        """Augments a batch.

        Args:
            images: `(batch, height, width, channels)` float32 in `[0, 255]`.
            key: Two integers, other ones for each batch.

        Returns:
            Tensor of the same shape, float32, clipped to `[0, 255]`.

        Raises:
            ValueError: If the layers change the shape of images.
        """
        key = tf.random.experimental.stateless_fold_in(tf.cast(key, tf.int64), self._seed)
        for number, state in enumerate(self._states):
            state.assign(tf.cast(tf.random.experimental.stateless_fold_in(key, number), state.dtype))
        result = self._pipeline(images, training=True)
        if result.shape.rank != 4 or not result.shape[1:].is_compatible_with(images.shape[1:]):
            raise ValueError(
                "Layers in `augmentation` must keep the shape of images. "
                f"Received: layers that make {tuple(result.shape[1:])} of {tuple(images.shape[1:])}."
            )
        return tf.clip_by_value(tf.cast(result, tf.float32), 0.0, 255.0)


def layers_in(value):
    """A list of what a layer, a `Sequential` or `Pipeline`, or a list stands for; empty for anything else."""
    if isinstance(value, keras.layers.Layer):
        return [value]
    return list(value) if isinstance(value, list | tuple) else []


def _flatten(layers):
    for layer in layers:
        if isinstance(layer, keras.Sequential | keras.layers.Pipeline):
            yield from _flatten(layer.layers)
        else:
            yield layer


def _check_layer(layer):
    if not isinstance(layer, keras.layers.Layer):
        raise TypeError(f"A list as `augmentation` must hold Keras layers. Received: {layer!r} in it.")
    kind = type(layer).__name__
    if isinstance(layer, _SCALING_LAYERS):
        raise ValueError(f"`{kind}` cannot be used in `augmentation`: the model scales its own input. Leave it out.")
    if isinstance(layer, _MIXING_LAYERS):
        raise ValueError(
            f"`{kind}` cannot be used in `augmentation`, since it changes labels, too. "
            f"Use `{kind.lower()}` of a `Phase` in its place."
        )
    if layer.weights:
        raise TypeError(
            f"Layers in `augmentation` must have no weights. Received: `{kind}`, {layer.name!r}, with some."
        )


def _copy(layer):
    """A copy that computes in float32, whatever Keras' global policy is."""
    config = layer.get_config()
    return type(layer).from_config({**config, "dtype": "float32"} if "dtype" in config else config)
