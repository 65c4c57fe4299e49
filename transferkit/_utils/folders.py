"""Where things are kept between runs."""

import os
import sys
import tempfile
from pathlib import Path


def default_folder():
    """Returns the folder of the cache: `$TRANSFERKIT_CACHE_DIR`, or `transferkit` where the system keeps caches."""
    if folder := os.environ.get("TRANSFERKIT_CACHE_DIR"):
        return Path(folder).expanduser()
    return _caches() / "transferkit"


def _caches():
    if folder := os.environ.get("XDG_CACHE_HOME"):
        return Path(folder)
    if sys.platform == "win32" and (folder := os.environ.get("LOCALAPPDATA")):
        return Path(folder)
    try:
        home = Path.home()
    except RuntimeError:  # a container may run as a user who has none
        return Path(tempfile.gettempdir())
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache")
