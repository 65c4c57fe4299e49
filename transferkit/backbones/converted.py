"""Weights files that a script in `tools/` makes out of a public package, byte for byte, in the user's cache folder."""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transferkit._utils.folders import default_folder
from transferkit.exceptions import WeightsUnavailableError


@dataclass(frozen=True)
class ConvertedWeights:
    """A weights file that is not in the package but can be made without a download from the network's publisher.

    Args:
        file: Its name.
        sha256: SHA-256 of its bytes. A file with another one is not loaded.
        command: What makes it, in a checkout of transferkit.
    """

    file: str
    sha256: str
    command: str

    @property
    def path(self) -> Path:
        """Where it is kept: in `weights` below the cache folder, which `transferkit cache --clear` leaves alone."""
        return default_folder() / "weights" / self.file

    def read(self):
        """Reads the file.

        Returns:
            Dict from `layer/weight` to a float32 array.

        Raises:
            WeightsUnavailableError: If it is not there.
            OSError: If it is damaged, or another file.
        """
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            raise WeightsUnavailableError(
                f"There are no ImageNet weights in '{self.path}'. "
                f"`{self.command}` in a checkout of transferkit makes that file out of a public package."
            ) from None
        digest = hashlib.sha256(data).hexdigest()
        if digest != self.sha256:
            raise OSError(
                f"'{self.path}' is damaged, or not the file that `{self.command}` makes: its SHA-256 is {digest}, "
                f"expected {self.sha256}. Remove it, and run `{self.command}` in a checkout of transferkit."
            )
        return read_arrays(data)


def read_arrays(data):
    """Returns the arrays in the bytes of an `.npz` file by name, as float32."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return {name: arrays[name].astype("float32") for name in arrays.files}


def load_named_weights(model, arrays):
    """Sets every weight of `model` from `arrays`, a dict from `layer/weight` to an array of its shape."""
    for layer in model.layers:
        layer.set_weights([arrays[f"{layer.name}/{weight.name}"] for weight in layer.weights])
