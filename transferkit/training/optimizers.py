"""The optimizer of all phases, with a learning rate, decay and running mean for each variable."""

from dataclasses import dataclass

import keras

from transferkit._utils.keras import OpenOptimizer, copy_exclusions, open_up
from transferkit._utils.replicas import share_of_replica


def fresh_optimizer(optimizer, learning_rate=1e-3):
    """Returns an unused optimizer.

    Args:
        optimizer: Name of a Keras optimizer, or a `keras.optimizers.Optimizer`, which is copied, its rate included.
        learning_rate: Rate for an optimizer given by name.

    Raises:
        ValueError, TypeError: If there is no such optimizer or the rate is not positive.
    """
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        optimizer = optimizer.inner_optimizer  # `precision` decides whether losses are scaled
    if isinstance(optimizer, keras.optimizers.Optimizer):
        # MultiOptimizer has no learning rate that the phases, or callbacks, could set.
        if not hasattr(optimizer, "update_step") or type(optimizer).__name__ == "MultiOptimizer":
            raise TypeError("`optimizer` must be one optimizer. For rates by depth use `Phase(layer_decay=...)`.")
        # Exclusions from weight decay are not part of the configuration.
        return copy_exclusions(optimizer, type(optimizer).from_config(optimizer.get_config()))
    if not isinstance(optimizer, str):
        raise TypeError(
            "`optimizer` must be a name or a keras.optimizers.Optimizer. "
            f"Received: {optimizer!r} of type {type(optimizer).__name__}."
        )
    try:
        return keras.optimizers.get({"class_name": optimizer, "config": {"learning_rate": learning_rate}})
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"Unknown optimizer. Received: optimizer={optimizer!r}. "
            "Expected a name from keras.optimizers, such as 'adam' or 'sgd'."
        ) from error


def own_rate(optimizer):
    """Returns the rate, or rate schedule, of an optimizer that was given as an object, or `None` for a name."""
    if isinstance(optimizer, str):
        return None
    rate = fresh_optimizer(optimizer).get_config()["learning_rate"]
    return keras.optimizers.schedules.deserialize(rate) if isinstance(rate, dict) else rate


@dataclass
class Tuning:
    """How one variable is updated in a phase.

    Attributes:
        rate: Factor on the learning rate.
        weight_decay: Decoupled weight decay.
        l2_sp: Strength of the pull towards the initial value of the variable.
    """

    rate: float = 1.0
    weight_decay: float = 0.0
    l2_sp: float = 0.0


class Tuned(OpenOptimizer):
    """Mixed into a Keras optimizer: every variable has its own `Tuning`, and may have a running mean.

    Python values here are read when the training step of a phase is traced, so they may change from phase to phase.
    """

    def prepare(self, variables, anchored=(), averaged=False):
        """Makes the state for all variables that any phase will train.

        Args:
            variables: List of `keras.Variable`.
            anchored: Those whose initial value is kept, for L2-SP.
            averaged: Whether any phase uses running means.
        """
        self.build(variables)
        anchors = {id(variable) for variable in anchored}
        self._anchors = [self._copy(variable, "anchor") if id(variable) in anchors else None for variable in variables]
        self._means = [self._copy(variable, "mean") if averaged else None for variable in variables]
        self._tunings = [Tuning() for _ in variables]
        self._momentum = None
        # Images in the batch at hand and in those whose gradients are gathered, in full batches.
        self.fullness = self.add_variable((), "ones", name="fullness")
        self._gathered = self.add_variable((), "zeros", name="gathered")

    def _copy(self, variable, name):
        # It starts as zeros.
        copy = self.add_variable_from_reference(variable, name=name)
        copy.assign(variable)
        return copy

    def begin_phase(self, tunings, momentum=None):
        """Sets how variables are treated from now on. The training step must be traced anew.

        Args:
            tunings: Function from a variable to its `Tuning`.
            momentum: Momentum of the running means, or `None`.
        """
        self._tunings = [tunings(variable) for variable in self.trained]
        if self.gradient_accumulation_steps:
            # Gradients of batches that make no whole step belong to the weights of the phase before.
            self.drop_gathered()
            self._gathered.assign(0.0)
        self._momentum = momentum
        self._first_step = int(self.iterations.numpy()) if momentum else 0
        for variable, mean in zip(self.trained, self._means, strict=True):
            if momentum is not None:
                mean.assign(variable)

    def apply(self, grads, trainable_variables=None):
        """Applies gradients: a step or, with gradient accumulation, a part of one."""
        if self.gradient_accumulation_steps:
            self._gathered.assign_add(self.fullness)
            grads = [gradient if gradient is None else gradient * self.fullness for gradient in grads]
        super().apply(grads, trainable_variables)

    def correct_gathered(self, grads):
        """Returns the mean over all images of a step, however full its batches were."""
        # What Keras has gathered for a step, it has divided by the number of batches, as if all were full.
        if self.gradient_accumulation_steps:
            factor = self.gradient_accumulation_steps / self._gathered
            grads = [gradient * factor for gradient in grads]
            self._gathered.assign(0.0)
        return grads

    def update_step(self, gradient, variable, learning_rate):
        """Updates one variable as its `Tuning` says."""
        index = self.place_of(variable)
        tuning = self._tunings[index]
        rate = learning_rate * tuning.rate
        if tuning.l2_sp and self._anchors[index] is not None:
            gradient = gradient + tuning.l2_sp * (variable - self._anchors[index])
        # Before the step, as in Keras, and with the rate of the variable.
        if tuning.weight_decay:
            self.assign_sub(variable, variable * (tuning.weight_decay * rate))
        super().update_step(gradient, variable, rate)
        if self._momentum is not None:
            self._update_mean(self._means[index], variable)

    def _update_mean(self, mean, variable):
        # A mean over few steps so far should not hang on to the beginning.
        step = keras.ops.cast(self.iterations - self._first_step, mean.dtype)
        momentum = keras.ops.minimum(self._momentum, (1.0 + step) / (10.0 + step))
        self.assign(mean, momentum * mean + (1.0 - momentum) * variable)

    def is_decayed(self, variable):
        """Whether weight decay applies to a variable: not to biases, nor to what the user has excluded."""
        return not is_spared_from_decay(variable) and not self.spares(variable)

    def check_exclusions(self, variables):
        """Raises `ValueError` if the user has excluded a variable from weight decay that is not among these."""
        if self.spares_others_than(variables):
            raise ValueError(
                "`exclude_from_weight_decay(var_list=...)` of the optimizer names variables that are not those of this "
                "classifier, which builds its own network. Name them by `var_names`, such as ['kernel']; biases, and "
                "scales and shifts of normalisation, are never decayed."
            )

    def swap_means(self):
        """Swaps the trained variables with their running means; a second call swaps them back."""
        if self._momentum is None:
            return
        for variable, mean in zip(self.trained, self._means, strict=True):
            # A copy of the value, which `variable.assign` does not change.
            held = keras.ops.copy(variable)
            variable.assign(mean)
            mean.assign(held)


def accumulation_steps_of(optimizer):
    """Number of batches whose gradients an optimizer, given as object or name, averages for one step."""
    return fresh_optimizer(optimizer).gradient_accumulation_steps or 1


def build_optimizer(optimizer):
    """Builds the optimizer of all phases: a copy of the user's in which each variable has its own `Tuning`.

    Keras applies weight decay and running means to all variables alike, so those of the user's optimizer move into the
    `Tuning` of each variable; the phase sets the rate at every step. Gradients are accumulated by Keras, over the
    `gradient_accumulation_steps` of the user's optimizer.

    Args:
        optimizer: Name or `keras.optimizers.Optimizer`.

    Returns:
        `(tuned, weight_decay, momentum)`: the optimizer, and what its original had of these two, or `None`.
    """
    original = fresh_optimizer(optimizer)
    # Any number as the rate: Keras refuses to set one where a schedule was given.
    config = original.get_config() | {"learning_rate": 1e-3, "use_ema": False}
    tuned = copy_exclusions(original, open_up(Tuned, type(original)).from_config(config))
    tuned.weight_decay = None
    return tuned, original.weight_decay, original.ema_momentum if original.use_ema else None


def weigh_batches(model, tuned, batch_size):
    """Gives every image the same weight in a step, whatever batch or replica it is in.

    Keras takes the mean loss of each part of a step, and then the mean of these: an image in a small last batch would
    count more. Reported losses stay the same; only their gradients are weighted.

    Args:
        model: `keras.Model` that is not compiled yet. Changed in place.
        tuned: Its optimizer, from `build_optimizer`.
        batch_size: Images in a full batch.
    """
    compute_loss = model.compute_loss

    def compute_weighed_loss(x=None, y=None, y_pred=None, sample_weight=None, training=True):
        loss = compute_loss(x, y, y_pred, sample_weight, training=training)
        if not training:
            return loss
        num_images = keras.ops.cast(keras.ops.shape(y)[0], "float32")
        if tuned.gradient_accumulation_steps:
            tuned.fullness.assign(num_images / batch_size)
        if model.distribute_strategy.num_replicas_in_sync == 1:
            return loss
        loss = keras.ops.where(num_images > 0, loss, keras.ops.zeros_like(loss))  # a replica may have none
        weighed = loss * share_of_replica(num_images)
        # The value of `loss` with the gradient of `weighed`.
        return weighed + keras.ops.stop_gradient(loss - weighed)

    model.compute_loss = compute_weighed_loss


def is_spared_from_decay(variable):
    """Whether weight decay leaves a variable alone: biases, and scales and shifts of normalisation."""
    # Those are vectors, and kernels are not.
    return len(variable.shape) < 2
