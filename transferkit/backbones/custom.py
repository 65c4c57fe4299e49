"""A backbone out of a model that the user brings."""

import re
from collections.abc import Sequence
from functools import partial

import keras

from transferkit.backbones.applications import APPLICATIONS
from transferkit.backbones.backbone import Backbone, name_key
from transferkit.backbones.classifiers import refuse_classifier
from transferkit.backbones.efficientnet_lite import EFFICIENTNET_LITE0, EFFICIENTNET_LITE2
from transferkit.backbones.preprocessing import Scaling
from transferkit.backbones.stages import Stage, find_stages


def backbone_from_model(
    model: keras.Model,
    *,
    scaling: Scaling | None = None,
    image_size: tuple[int, int] | None = None,
    stages: Sequence[Stage] | None = None,
) -> Backbone:
    """Describes a functional `keras.Model` as a `Backbone`.

    Args:
        model: Functional `keras.Model` from images `(batch, height, width, channels)` to features, a map
            `(batch, height, width, channels)` or a vector `(batch, features)`. It is copied, never changed.
        scaling: Input scaling that `model` expects; see `transferkit.backbones.preprocessing.build_preprocessing`.
            Default: that of the `keras.applications` model of the same name, otherwise `"none"`: pixels in `[0, 255]`.
        image_size: `(height, width)` in pixels; default: that of the model's input, or `(224, 224)` if it takes any.
        stages: Sequence of `Stage`; default: one stage for each size that the feature maps have.

    Returns:
        A `Backbone`. Its `build(weights="imagenet")` and `build(weights=None)` both keep the weights of `model`.

    Raises:
        ValueError: If `model` is not functional, does not take one image of two or more channels, ends in a classifier,
            or is a `keras.applications` model built with `include_preprocessing=False` and no `scaling` is given.
    """
    backbone = describe_model(model, scaling=scaling, image_size=image_size, stages=stages)
    refuse_classifier(model)
    return backbone


def describe_model(model, *, scaling=None, image_size=None, stages=None):
    """Does what `backbone_from_model` does for a model of any end, such as one that was saved before."""
    if isinstance(model, keras.Sequential) and model.built:
        model = keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    _check_model(model)
    if not isinstance(model.input, keras.KerasTensor) or not isinstance(model.output, keras.KerasTensor):
        model = keras.Model(model.inputs[0], model.outputs[0], name=model.name)  # one tensor in a list is one tensor
    rows, columns = image_size or (size or 224 for size in model.input_shape[1:3])
    return Backbone(
        name=model.name,
        builder=partial(_copy_model, model),
        image_size=(rows, columns),
        scaling=scaling or _scaling_of_namesake(model),
        stages=tuple(stages or find_stages(model)),
        min_image_size=1,
        num_parameters=model.count_params(),
        channels=model.input_shape[-1],
        weights_origin="handed in by the user",
    )


def _check_model(model):
    if not isinstance(model, keras.Model) or not hasattr(model, "operations"):
        raise ValueError(
            f"A backbone must be a functional keras.Model. Received: {model!r}. "
            "Build it with `keras.Model(inputs, outputs)`, or give a name from `list_backbones()`."
        )
    shapes = [tuple(tensor.shape) for tensor in model.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or (shapes[0][-1] or 1) == 1:
        raise ValueError(
            "A backbone must take one image (batch, height, width, channels), RGB or multi-spectral. "
            f"Received: input shapes {shapes}."
        )
    if len(model.outputs) != 1:
        raise ValueError(f"A backbone must have one output. Received: {len(model.outputs)} outputs.")


def _scaling_of_namesake(model):
    """Input scaling of the published network that `model` carries the name of; `"none"` if there is no such network.

    Raises:
        ValueError: If that network scales its input itself, and `model` was built not to.
    """
    name = re.sub(r"_\d\.\d\d_(\d+|None)$", "", model.name)  # width and image size, as in mobilenetv2_1.00_224
    published = (EFFICIENTNET_LITE0, EFFICIENTNET_LITE2, *APPLICATIONS)
    namesake = next((backbone for backbone in published if name_key(backbone.name) == name_key(name)), None)
    if namesake is None:
        return "none"
    if namesake.scaling == "none" and not _scales_its_input(model):
        raise ValueError(
            f"Model {model.name!r} was built with `include_preprocessing=False`: what it expects cannot be told. "
            "Build it with `include_preprocessing=True`, or give `scaling` to `backbone_from_model`."
        )
    return "none" if _scales_its_input(model) else namesake.scaling


def _scales_its_input(model):
    return any(isinstance(layer, keras.layers.Rescaling | keras.layers.Normalization) for layer in model.layers)


def _copy_model(model, input_shape, weights=None):
    """Copies `model` and its weights, for images of `input_shape`."""
    fixed = model.input_shape[1:]
    if None not in fixed and tuple(fixed) != tuple(input_shape):
        raise ValueError(
            f"The model handed in as backbone takes images of {fixed[:2]} only. "
            f"Received: image_size={tuple(input_shape[:2])}. Leave `image_size` out."
        )
    copy = keras.models.clone_model(model, input_tensors=keras.Input(input_shape))
    copy.set_weights(model.get_weights())
    return copy
