import hashlib
import io

import keras
import numpy as np
import pytest

from transferkit.backbones.converted import ConvertedWeights, load_named_weights, read_arrays
from transferkit.exceptions import WeightsUnavailableError


@pytest.fixture
def arrays():
    return {
        "dense/kernel": np.arange(6.0, dtype="float16").reshape(3, 2),
        "dense/bias": np.array([7.0, 8.0], "float32"),
    }


@pytest.fixture
def data(arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


@pytest.fixture
def converted(data, monkeypatch, tmp_path):
    """The record of a file, which is there."""
    monkeypatch.setenv("TRANSFERKIT_CACHE_DIR", str(tmp_path))
    converted = ConvertedWeights("tiny.npz", hashlib.sha256(data).hexdigest(), "make tiny-weights")
    converted.path.parent.mkdir()
    converted.path.write_bytes(data)
    return converted


def test_it_lies_in_the_cache_folder(converted, tmp_path):
    assert converted.path == tmp_path / "weights" / "tiny.npz"


def test_its_arrays_are_float32_by_name(converted, arrays):
    read = converted.read()
    assert list(read) == list(arrays)
    for name, array in arrays.items():
        assert read[name].dtype == "float32"
        np.testing.assert_array_equal(read[name], array)


def test_a_missing_file_says_what_makes_it(converted):
    converted.path.unlink()
    with pytest.raises(
        WeightsUnavailableError, match="no ImageNet weights in '.*tiny.npz'. `make tiny-weights` in a c"
    ):
        converted.read()


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: b"\0" + data[1:], lambda data: b""])
def test_a_damaged_file_is_refused(converted, data, damage):
    converted.path.write_bytes(damage(data))
    message = "damaged, or not the file that `make tiny-weights` makes: its SHA-256 is .* Remove it, and run `make tiny"
    with pytest.raises(OSError, match=message) as caught:
        converted.read()
    assert not isinstance(caught.value, WeightsUnavailableError)  # which scripts take as "go on without"


def test_a_file_that_fits_but_is_another_is_refused(converted, arrays):
    np.savez(converted.path, **{name: array + 1 for name, array in arrays.items()})
    with pytest.raises(OSError, match="not the file that `make tiny-weights` makes"):
        converted.read()


def test_no_pickle_is_opened():
    buffer = io.BytesIO()
    np.savez(buffer, evil=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        read_arrays(buffer.getvalue())


def test_named_weights_are_set_by_name():
    image = keras.Input((3,))
    model = keras.Model(image, keras.layers.Dense(2, name="dense")(image))
    kernel, bias = np.arange(6.0).reshape(3, 2), np.array([7.0, 8.0])
    load_named_weights(model, {"dense/bias": bias, "dense/kernel": kernel})
    np.testing.assert_array_equal(model(np.eye(3)), kernel + bias)
