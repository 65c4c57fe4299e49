"""What callbacks do with the model in training."""

import keras
import numpy as np
import pytest

from transferkit.data.resizing import ImageFormat
from transferkit.models.assembly import build_components, build_trainee
from transferkit.models.freezing import build_trainable, select
from transferkit.models.heads import Head


@pytest.fixture
def components(tiny_backbone):
    head = Head(units=(5,), dropout=0.5)
    return build_components(tiny_backbone, tiny_backbone.build(), ImageFormat((16, 16)), head, 3, seed=0)


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3)).astype("float32")


def view_of(components, backbone, train):
    selection = select(components.network, backbone.stages, train, rank=2)
    components.head.trainable = selection.head
    return build_trainable(components.network, selection)


def move(view):
    """Gives adapters weights as if they had been trained."""
    for seed, adapter in enumerate(view.adapters.values()):
        adapter.b.assign(np.random.default_rng(seed).normal(size=adapter.b.shape))


@pytest.mark.parametrize("train", ["head", "all", "lora"])
def test_saving_what_trains_saves_the_whole_as_it_computes_now(train, components, tiny_backbone, pixels, tmp_path):
    view = view_of(components, tiny_backbone, train)
    move(view)
    trainee = build_trainee(components, view)
    expected, kernels = np.asarray(trainee(pixels)), components.network.get_weights()
    trainee.save(tmp_path / "model.keras")
    trainee.save_weights(tmp_path / "model.weights.h5")
    saved = keras.saving.load_model(tmp_path / "model.keras")
    assert np.asarray(saved(pixels)) == pytest.approx(expected, abs=1e-5)
    assert saved(np.zeros((1, 5, 70, 3), "uint8")).shape == (1, 3)
    assert keras.models.model_from_json(trainee.to_json()).input_shape == (None, None, None, 3)  # for TensorBoard
    assert all(np.array_equal(a, b) for a, b in zip(components.network.get_weights(), kernels, strict=True))
    assert np.asarray(trainee(pixels)) == pytest.approx(expected, abs=1e-6)

    for seed, weight in enumerate(components.whole.weights):
        weight.assign(np.random.default_rng(seed).random(weight.shape))
    trainee.load_weights(tmp_path / "model.weights.h5")
    assert np.asarray(trainee(pixels)) == pytest.approx(expected, abs=1e-5)
    assert np.asarray(components.whole(pixels)) == pytest.approx(expected, abs=1e-5)


def test_a_save_that_fails_leaves_the_kernels_alone(components, tiny_backbone, tmp_path):
    view = view_of(components, tiny_backbone, "lora")
    move(view)
    kernels = components.network.get_weights()
    with pytest.raises(ValueError, match="Invalid filepath extension"):
        build_trainee(components, view).save(tmp_path / "model.unknown")
    assert all(np.array_equal(a, b) for a, b in zip(components.network.get_weights(), kernels, strict=True))


def test_weights_taken_in_one_phase_can_be_put_back_in_another(components, tiny_backbone, pixels):
    view = view_of(components, tiny_backbone, "lora")
    move(view)
    adapted, on_features = build_trainee(components, view), build_trainee(components, begin="features")
    expected, taken = np.asarray(adapted(pixels)), adapted.get_weights()
    components.head.set_weights([0 * weight for weight in components.head.get_weights()])
    on_features.set_weights(taken)
    assert np.asarray(components.whole(pixels)) == pytest.approx(expected, abs=1e-5)
    adapted.set_weights(on_features.get_weights())
    assert np.asarray(adapted(pixels)) == pytest.approx(expected, abs=1e-5)


def test_the_whole_is_no_part_of_what_trains(components):
    trainee = build_trainee(components, begin="features")
    assert {id(weight) for weight in trainee.weights} == {id(weight) for weight in components.head.weights}
    assert components.whole not in trainee.layers
