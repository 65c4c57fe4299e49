"""Low-rank adaptation: training a small addition to the kernel of a layer in place of the kernel."""

import math
from numbers import Integral

import keras
from keras import layers, ops


def can_adapt(layer: layers.Layer) -> bool:
    """Tells whether `LowRank` fits a layer.

    It fits Conv2D and Dense layers that are built. Layers of classes derived from them may compute something else, and
    depthwise kernels have no rank to lower. A kernel with a constraint is left alone, because the sum would not
    obey it; so is one that is quantised or has Keras' own LoRA already.

    Args:
        layer: Any Keras layer.
    """
    return (
        type(layer) in (layers.Conv2D, layers.Dense)
        and layer.built
        and not layer.lora_enabled
        and layer.quantization_mode is None
        and layer.kernel_constraint is None
    )


class LowRank(layers.Layer):
    """Computes what a Conv2D or Dense layer does, with a low-rank matrix added to its kernel.

    The kernel, as a matrix with one column a filter, becomes `kernel + alpha / rank * a @ b`, where `a` and `b` are
    trained and the kernel is not ([Hu et al., 2022](https://arxiv.org/abs/2106.09685)). `b` starts as zeros, so that
    training starts with exactly the layer's function. The layer is shared, and not changed before `merge` is called.

    The layer becomes a sublayer of this one, with its `trainable` flags as they are: freeze it before. Setting
    `trainable` here would set its flags, too. Gradients never reach the kernel; they reach the bias if it is trainable.

    The sum is done in float32 and rounded once, to the layer's compute dtype: in half precision, a change smaller than
    the rounding of the kernel would have no effect at all. Therefore the dtype policy of this layer itself is float32.

    It is for training only and cannot be saved: merge, then save the network whose layer it is.

    Args:
        layer: A layer for which `can_adapt` is true. Its activation, bias, strides, padding, dilation, groups, data
            format and compute dtype are respected.
        rank: Number of columns of `a` and rows of `b`, at least 1; default 8. More than either side of the kernel
            adds parameters and no freedom.
        alpha: Scale of the addition, positive; default: `rank`, for a scale of 1. With `alpha` fixed, another `rank`
            needs no other learning rate.
        seed: Seed of the first `a`; default 0. Layers of one shape with one seed start alike.
        name: Name of this layer; default: the name of `layer` and `_low_rank`.

    Attributes:
        layer: The layer.
        a: float32 variable `(kernel size × input channels of one group, rank)`. At first, its values are drawn from a
            normal distribution, cut off at both ends, with a variance of 1 / number of rows.
        b: float32 variable `(rank, filters)`, zeros at first.

    Raises:
        TypeError: If `can_adapt` is false for the layer.
        ValueError: If `rank` or `alpha` is out of range.

    Example:
        ```python
        def adapt(layer, *args, **kwargs):
            return (LowRank(layer, rank=4) if can_adapt(layer) else layer)(*args, **kwargs)

        view = keras.models.clone_model(network, clone_function=lambda layer: layer, call_function=adapt)
        ```
    """

    def __init__(
        self, layer: layers.Layer, rank: int = 8, alpha: float | None = None, seed: int = 0, name: str | None = None
    ):
        _check(layer, rank, alpha)
        # With `autocast`, the kernel would arrive here rounded to the compute dtype.
        super().__init__(
            name=name or f"{layer.name}_low_rank",
            activity_regularizer=layer.activity_regularizer,
            dtype="float32",
            autocast=False,
        )
        self.layer = layer
        self.rank = rank
        self.alpha = rank if alpha is None else alpha
        self.supports_masking = layer.supports_masking
        *fan_in, filters = layer.kernel.shape
        normal = keras.initializers.LecunNormal(seed)
        self.a = self.add_weight(shape=(math.prod(fan_in), rank), initializer=normal, name="a")
        self.b = self.add_weight(shape=(rank, filters), initializer="zeros", name="b")

    def call(self, inputs):
        """Computes the output of the layer with the adapted kernel."""
        layer, dtype = self.layer, self.layer.compute_dtype
        inputs, kernel = ops.cast(inputs, dtype), ops.cast(self.merged_kernel(), dtype)
        if isinstance(layer, layers.Conv2D):
            outputs = layer.convolution_op(inputs, kernel)
        else:
            outputs = ops.matmul(inputs, kernel)
        if layer.use_bias:
            outputs = ops.add(outputs, ops.cast(self._bias(), dtype))
        return layer.activation(outputs)

    def merge(self) -> None:
        """Adds the addition to the kernel of the layer and sets `b` to zeros.

        The function of this layer stays as it is, up to rounding, and is that of the plain layer from now on.
        """
        self.layer.kernel.assign(self.merged_kernel())
        self.reset()

    def merged_kernel(self):
        """Returns the sum of the kernel and what is added to it, float32."""
        kernel = ops.cast(self.layer.kernel, "float32")
        addition = ops.matmul(self.a, self.b) * (self.alpha / self.rank)
        return ops.add(ops.stop_gradient(kernel), ops.reshape(addition, kernel.shape))

    def reset(self) -> None:
        """Sets `b` to zeros: nothing is added to the kernel any more."""
        self.b.assign(ops.zeros_like(self.b))

    def get_config(self):
        """Refuses: a file with this layer in it would not open in plain Keras."""
        raise NotImplementedError(
            f"A LowRank layer is for training only and cannot be saved or copied. Received: {self.name!r}. "
            "Call its `merge()`, then save the network whose layer it adapts."
        )

    def _bias(self):
        """Returns the bias in a shape that fits the outputs."""
        if getattr(self.layer, "data_format", "channels_last") == "channels_first":
            return ops.reshape(self.layer.bias, (1, -1, 1, 1))
        return self.layer.bias


def _check(layer, rank, alpha):
    if not can_adapt(layer):
        raise TypeError(
            "`layer` must be a built Conv2D or Dense layer, of exactly these classes, without kernel constraint, "
            f"quantisation or LoRA of its own. Received: {layer!r} of type {type(layer).__name__}. "
            "`can_adapt` tells which layers fit."
        )
    if not isinstance(rank, Integral) or rank < 1:
        raise ValueError(f"`rank` must be a whole number of at least 1. Received: rank={rank!r}.")
    if alpha is not None and not alpha > 0:
        raise ValueError(f"`alpha` must be positive. Received: alpha={alpha!r}.")
