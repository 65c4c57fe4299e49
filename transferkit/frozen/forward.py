"""Runs the frozen part of a classifier over all images of a source, once."""

import keras
import numpy as np

from transferkit._utils.tensorflow import without_retracing_warnings


def join(*models):
    """Joins models in a row into one, sharing their weights, for computing only."""
    inputs = keras.Input(models[0].input_shape[1:], dtype="float32")
    x = inputs
    for model in models:
        x = model(x, training=False)
    joined = keras.Model(inputs, x)
    joined.compile(jit_compile=False)
    return joined


def _padded(batch, size):
    """Fills a last, smaller batch up: tracing the model again for its size would take longer."""
    missing = size - len(batch)
    return keras.ops.concatenate([batch, keras.ops.repeat(batch[-1:], missing, axis=0)]) if missing > 0 else batch


def iterate_model(model, batches, num_images=None):
    """Computes the output of a model for every batch of a stream.

    Args:
        model: `keras.Model` with one output, or a compiled front.
        batches: Iterable of image batches, of `num_images` images in all.
        num_images: How many images will come; `None`: nobody knows.

    Yields:
        float32 arrays `(batch, …)`, in the order of the stream.

    Raises:
        ValueError: If the model gives NaN or infinite values.
        RuntimeError: If another number of images comes.
    """
    compute = model.predict_on_batch if isinstance(model, keras.Model) else model
    done, full = 0, None
    for batch in batches:
        count = len(batch)
        full = full or count
        with without_retracing_warnings():
            outputs = np.asarray(compute(_padded(batch, full)), "float32")[:count]
        # Here, so that such values never reach the cache.
        if not np.isfinite(outputs).all():
            raise ValueError(
                "The network gave NaN or infinite values for some images. Are its weights right? "
                "Random ones (`weights=None`) can do that in a deep network."
            )
        done += count
        yield outputs
    if num_images is not None and done != num_images:
        raise RuntimeError(f"Expected {num_images} images, got {done}. Did the data change while they were read?")


def predict_batches(model, batches):
    """Computes the output of a compiled model for every batch of a stream and puts them together.

    Under a strategy of several replicas `predict_on_batch` has each of them compute the whole batch and returns all the
    copies one after another: the first is the batch.
    """
    return np.concatenate([np.asarray(model.predict_on_batch(batch))[: len(batch)] for batch in batches])


def run_model(model, batches, num_images, advance=lambda count: None):
    """Computes the output of a model for every batch of a stream and puts them together.

    For arguments and errors see `iterate_model`; `advance` is called with the number of images in every batch done.

    Returns:
        float32 array `(num_images, …)`, in the order of the stream.
    """
    outputs, done = np.empty((num_images, *model.output_shape[1:]), "float32"), 0
    for rows in iterate_model(model, batches, num_images):
        if done + len(rows) > num_images:
            raise RuntimeError(f"Expected {num_images} images, got more. Did the data change while they were read?")
        outputs[done : done + len(rows)] = rows
        done += len(rows)
        advance(len(rows))
    return outputs
