"""Joins the three models into one that takes raw pixels and gives probabilities."""

import keras


def assemble(preprocessing, backbone, head):
    """Builds the classifier: preprocessing → backbone → head.

    The backbone is frozen. The model is compiled, so that `evaluate` and `fit` of plain Keras work on it with integer
    labels; by SGD, because its state is empty and need not be saved; without XLA, because TensorFlow resizes with
    antialiasing on the CPU only.

    Args:
        preprocessing: `keras.Model` from raw pixels of any size to what the backbone expects.
        backbone: `keras.Model` from there to features.
        head: `keras.Model` from features to probabilities.

    Returns:
        A functional `keras.Model` with these three as its layers: `(batch, height, width, 3)` RGB pixels in `[0, 255]`
        to `(batch, num_classes)` float32.
    """
    backbone.trainable = False
    pixels = keras.Input((None, None, 3), dtype="float32", name="pixels")
    model = keras.Model(pixels, head(backbone(preprocessing(pixels))), name="transfer_classifier")
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    return model


def parts_of(model):
    """Returns the `(preprocessing, backbone, head)` of an assembled model."""
    return tuple(model.get_layer(name) for name in ("preprocessing", "backbone", "head"))
