"""What leans on the inside of Keras: nothing else of the package does.

Each name says what it is for, and a comment says why Keras has no public way to it. All was true of Keras 3.12 to
3.15.1; `tests/_utils/test_keras.py` notices when that changes.
"""

from typing import Any

import keras


def all_layers(layer):
    """Returns a layer or model and all layers inside it, at any depth."""
    # `Model.layers` does not look into layers that hold others. It may go when Keras lists them all.
    return layer._flatten_layers()


# ---- graphs ----
# Keras shows the operations of a functional model, but neither how often each is called nor on what. These may go when
# the nodes of a graph are public.


def calls_by_depth(model):
    """Returns the calls in the graph of a functional model, Keras' nodes: lists by their distance from the outputs."""
    return model._nodes_by_depth


def operation_behind(tensor):
    """Returns the operation that gives a symbolic tensor."""
    return tensor._keras_history.operation


def inputs_behind(tensor):
    """Returns the tensors from which the operation behind a symbolic tensor computes it."""
    history = tensor._keras_history
    return history.operation._inbound_nodes[history.node_index].input_tensors


def is_computed(operation):
    """Whether an operation was called on tensors, so that it is no input of a model."""
    return bool(operation._inbound_nodes[0].input_tensors)


def run_graph(model, tensors, replace):
    """Computes the outputs of a functional model.

    Args:
        model: A functional `keras.Model`.
        tensors: Its inputs.
        replace: Function from an operation of its graph to what is called in its place.
    """
    # `clone_model` replaces layers as well, but makes a new graph, which has to be traced.
    return model._run_through_graph(tensors, operation_fn=replace)


# ---- layers ----


def takes_training(operation):
    """Whether an operation can be told that it trains, and so may compute something else then."""
    return "training" in getattr(operation, "call_signature_parameters", ())  # which no documentation names


def own_trainable_variables(layer):
    """Returns the variables of a layer, but not of layers inside, that can be trained, frozen ones included."""
    # `trainable_variables` leaves out what is frozen, and `variables` does not tell statistics from weights.
    return layer._trainable_variables


def generator_validation_split(generator):
    """Returns the `validation_split` of an `ImageDataGenerator`."""
    return generator._validation_split  # the only one of its arguments that it keeps under another name


class BuiltModel(keras.Model):
    """A functional model at whose first batch Keras does not look before it trains or evaluates.

    Under a strategy, Keras takes the mean of what the replicas got, element by element, only to learn the shapes of a
    model that has them already; where the replicas got different numbers of images, as of five on two, that is an
    error.
    """

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        if self.distribute_strategy.num_replicas_in_sync == 1:
            super()._maybe_symbolic_build(iterator=iterator, data_batch=data_batch)


# ---- optimizers ----

_EXCLUSIONS = ("_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern")


def copy_exclusions(original, copy):
    """Lets a copy spare the variables that `exclude_from_weight_decay` has named, which no configuration holds."""
    for name in _EXCLUSIONS:
        if hasattr(original, name):
            setattr(copy, name, getattr(original, name))
    return copy


class OpenOptimizer:
    """Mixed into a Keras optimizer by `open_up`: what of it each step has to reach.

    Keras applies one rate and one weight decay to all variables, and its `MultiOptimizer` has no rate that a callback
    could set. It may go when optimizers take a rate for each variable, and say when they have gathered a step.
    """

    def place_of(self, variable):
        """Number of a variable among those that are trained."""
        return self._get_variable_index(variable)

    @property
    def trained(self):
        """Variables that it was built for, whether they train at the moment or not."""
        return self._trainable_variables

    def spares(self, variable):
        """Whether the user has excluded a variable from weight decay."""
        return not self._use_weight_decay(variable)

    def spares_others_than(self, variables):
        """Whether the user has excluded, one by one, a variable from weight decay that is not among these."""
        return not getattr(self, _EXCLUSIONS[0], set()) <= {self._var_key(variable) for variable in variables}

    def drop_gathered(self):
        """Forgets the gradients of batches that make no whole step."""
        self._iterations.assign(self.iterations * self.gradient_accumulation_steps)
        for gradient in self._accumulated_gradients:
            gradient.assign(keras.ops.zeros_like(gradient))

    def correct_gathered(self, grads):
        """Returns the gradients to step along, of those of a whole step: the mean over its batches."""
        return grads

    def _clip_gradients(self, grads):
        # The first thing that Keras calls with the mean over all batches of a step, and with nothing else.
        return super()._clip_gradients(self.correct_gathered(grads))

    def _apply_weight_decay(self, variables):
        # Keras would decay all variables alike, and Muon even biases: `update_step` does it for each.
        pass


def open_up(mixin, kind):
    """Returns a class of optimizers: a Keras optimizer with an `OpenOptimizer` mixed in."""
    # Users bring optimizers of any class, their own as well, so the class is known only now.
    return type(f"{mixin.__name__}{kind.__name__}", (mixin, kind), {})
