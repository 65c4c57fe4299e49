"""Cache folders of transferkit in which nothing is found that was computed before.

All but one file: `speeds.json`, what transferkit found out about the machine in its first `fit` on it, is handed on
from one folder to the next where that first `fit` is not what is measured. Weights that were made on this machine are
not computed from images, and are found as before.
"""

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from transferkit._utils.folders import default_folder

_SPEEDS = "speeds.json"


@contextmanager
def fresh_cache(speeds=None):
    """Makes a new folder the cache of this process and its children, for a while.

    Args:
        speeds: What `read_speeds` took from another folder, or `None` for a machine of which nothing is known.

    Yields:
        The path of the folder.
    """
    weights = default_folder() / "weights"
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, TRANSFERKIT_CACHE_DIR=folder):
        if speeds is not None:
            Path(folder, _SPEEDS).write_bytes(speeds)
        if weights.is_dir():
            Path(folder, "weights").symlink_to(weights.absolute(), target_is_directory=True)
        yield Path(folder)


def read_speeds(folder):
    """Returns what is known about the speed of this machine in a cache folder, as bytes, or `None`."""
    path = Path(folder, _SPEEDS)
    return path.read_bytes() if path.exists() else None
