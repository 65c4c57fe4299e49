"""State dicts are read without PyTorch, and nothing in them is run."""

import io
import pickle
import sys
from collections import OrderedDict
from types import ModuleType

import numpy as np
import pytest


@pytest.fixture
def script(import_tool):
    return import_tool("convert_efficientnet_lite2")


class Tensor:
    """What PyTorch pickles as a call of one of its functions, with the storage told apart from the rest."""

    def __init__(self, key, kind, offset, shape, strides):
        self.arguments = (("storage", kind, key, "cpu", 12, None), offset, shape, strides, False, OrderedDict())

    def __reduce__(self):
        storage, *others = self.arguments
        return sys.modules["torch._utils"]._rebuild_tensor_v2, (Storage(storage), *others)


class Storage:
    def __init__(self, key):
        self.key = key


class Pickler(pickle.Pickler):
    def persistent_id(self, value):
        return value.key if isinstance(value, Storage) else None


@pytest.fixture
def state_dict(monkeypatch):
    """A state dict in the old format: a whole array, a part of another one turned over, and a counter."""
    torch, utils = ModuleType("torch"), ModuleType("torch._utils")

    def _rebuild_tensor_v2():
        """Stands for PyTorch's function, whose name is all that is pickled."""

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2
    torch.FloatStorage = type("FloatStorage", (), {"__module__": "torch"})
    torch.LongStorage = type("LongStorage", (), {"__module__": "torch"})
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)
    tensors = OrderedDict(
        whole=Tensor("1", torch.FloatStorage, 0, (2, 3), (3, 1)),
        turned=Tensor("2", torch.FloatStorage, 2, (3, 2), (1, 3)),
        count=Tensor("3", torch.LongStorage, 0, (), ()),
    )
    file = io.BytesIO()
    for header in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
        pickle.dump(header, file, protocol=2)
    Pickler(file, protocol=2).dump(tensors)
    pickle.dump(["2", "3", "1"], file, protocol=2)
    for numbers in (np.arange(12, dtype="<f4"), np.array([7], "<i8"), np.arange(6, dtype="<f4") / 2):
        file.write(len(numbers).to_bytes(8, "little") + numbers.tobytes())
    return file.getvalue()


def test_a_state_dict_is_read_without_pytorch(script, state_dict):
    read = script.read_state_dict(state_dict)
    assert list(read) == ["whole", "turned", "count"]
    np.testing.assert_array_equal(read["whole"], np.arange(6).reshape(2, 3) / 2)
    np.testing.assert_array_equal(read["turned"], np.arange(2, 8).reshape(2, 3).T)
    assert read["count"] == 7


def test_a_pickle_that_would_run_something_is_refused(script):
    class Evil:
        def __reduce__(self):
            return print, ("run",)

    with pytest.raises(pickle.UnpicklingError, match=r"A state dict holds no .*print"):
        script.read_state_dict(pickle.dumps(Evil(), protocol=2))
