import keras
import numpy as np
import pytest
from keras import layers

from transferkit.models.lora import LowRank
from transferkit.models.weights import blend, capture, restore


@pytest.fixture
def models():
    """Two models with a convolution and BatchNorm in the first."""
    image, vector = keras.Input((6, 6, 2)), keras.Input((4,))
    x = layers.BatchNormalization(name="bn")(layers.Conv2D(4, 3, name="conv")(image))
    head = keras.Model(vector, layers.Dense(3, name="probabilities")(vector))
    return keras.Model(image, layers.GlobalAveragePooling2D()(x)), head


def filled(models, seed):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=weight.shape).astype("float32") for model in models for weight in model.weights]


def test_captured_weights_are_copies_of_all_statistics_included(models):
    values = filled(models, 0)
    restore(models, values)
    captured = capture(models)
    restore(models, filled(models, 1))
    assert len(captured) == 8
    assert all(np.array_equal(a, b) for a, b in zip(captured, values, strict=True))


def test_capturing_warns_of_nothing_and_gives_arrays_that_can_be_written(models):
    captured = capture(models)
    assert all(type(value) is np.ndarray and value.dtype == "float32" for value in captured)
    captured[0][:] = 7
    assert not np.array_equal(models[0].get_weights()[0], captured[0])


def test_restoring_is_exact(models):
    before = capture(models)
    restore(models, filled(models, 1))
    restore(models, before)
    assert all(np.array_equal(a, b) for a, b in zip(capture(models), before, strict=True))


def test_adapters_are_captured_as_if_merged_and_restored_to_nothing(models):
    conv = models[0].get_layer("conv")
    adapter = LowRank(conv, rank=2)
    adapter.b.assign(np.ones(adapter.b.shape))
    plain, merged = capture(models), capture(models, [adapter])
    assert [np.array_equal(a, b) for a, b in zip(plain, merged, strict=True)] == [False] + 7 * [True]
    product = (adapter.a.numpy() @ adapter.b.numpy()).reshape(conv.kernel.shape)
    assert merged[0] == pytest.approx(plain[0] + product, abs=1e-6)
    assert np.array_equal(conv.kernel, plain[0])  # itself it is as it was
    restore(models, merged, [adapter])
    assert np.array_equal(conv.kernel, merged[0])
    assert not np.asarray(adapter.b).any()
    assert np.array_equal(adapter.merged_kernel(), merged[0])


def test_too_few_values_are_an_error(models):
    with pytest.raises(ValueError, match="shorter"):
        restore(models, capture(models)[:-1])


def test_a_blend_lies_on_the_line_between_two_sets(models):
    start, end = filled(models, 0), filled(models, 1)
    for blended, first, last in zip(blend(start, end, 0.25), start, end, strict=True):
        assert blended == pytest.approx(first + (last - first) / 4, abs=1e-6)
        assert blended.dtype == "float32"
    for share, whole in ((0.0, start), (1.0, end)):
        assert all(np.array_equal(a, b) for a, b in zip(blend(start, end, share), whole, strict=True))
