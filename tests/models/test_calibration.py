import keras
import numpy as np
import pytest

from transferkit.models.assembly import components_of
from transferkit.models.calibration import with_temperature
from transferkit.models.heads import Head


@pytest.fixture(scope="module")
def model(make_bench):
    return make_bench(head=Head(units=(6,))).components.whole


def logits_of(probabilities):
    logits = np.log(probabilities)
    return logits - logits.mean(axis=1, keepdims=True)


def test_logits_are_divided_and_the_first_model_stays(model):
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3))
    before = model.predict(images, verbose=0)
    calibrated = with_temperature(model, 2.5)
    assert logits_of(calibrated.predict(images, verbose=0)) == pytest.approx(logits_of(before) / 2.5, abs=1e-5)
    assert np.array_equal(model.predict(images, verbose=0), before)


def test_only_the_head_is_another_one(model):
    calibrated = with_temperature(model, 2.0)
    shared = [one is other for one, other in zip(components_of(model), components_of(calibrated), strict=True)]
    assert shared == [True, True, False]
    assert [layer.name for layer in calibrated.layers] == [layer.name for layer in model.layers]


def test_it_is_compiled_and_saved_as_the_first_one(model, tmp_path):
    calibrated = with_temperature(model, 2.0)
    calibrated.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    images = np.zeros((2, 20, 24, 3))
    assert np.allclose(loaded.predict(images, verbose=0), calibrated.predict(images, verbose=0), atol=1e-6)
    calibrated.evaluate(images, np.array([0, 1]), verbose=0)
