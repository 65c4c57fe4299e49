"""Where things are kept between runs, and whose folders are trusted."""

import os
import stat
import sys
import tempfile
from pathlib import Path


def default_folder():
    """Returns the folder of the cache: `$TRANSFERKIT_CACHE_DIR`, or `transferkit` where the system keeps caches."""
    if folder := os.environ.get("TRANSFERKIT_CACHE_DIR"):
        return expanded(folder, "The environment variable TRANSFERKIT_CACHE_DIR")
    return _caches()


def expanded(folder, name):
    """Returns a folder as an absolute path, with the home of a user in place of `~`.

    Args:
        folder: A path.
        name: What it was given as, for an error.

    Raises:
        ValueError: If that user has no home here.
    """
    try:
        return Path(folder).expanduser().absolute()
    except RuntimeError as error:
        raise ValueError(
            f"{name} begins with a home that is not known here. Expected a folder, such as '/data/cache'. "
            f"Received: {str(folder)!r}."
        ) from error


def refuse_strangers(folder):
    """Refuses a folder that somebody else has put where everybody can, as under `/tmp`.

    What is found in the cache becomes part of a classifier, so whoever may fill it decides what that learns.

    Raises:
        PermissionError: If `folder`, or what it lies in, is such a one.
    """
    if not hasattr(os, "getuid"):
        return
    for path in (folder, *folder.parents[:-1]):
        if _owner(path) not in (None, 0, os.getuid()) and _is_open_to_all(path.parent):
            raise PermissionError(
                f"The cache folder {str(folder)!r} is not used: {str(path)!r} belongs to another user, and lies where "
                "everybody can make one. Name another by `Compute(cache_dir=...)` or the environment variable "
                "TRANSFERKIT_CACHE_DIR."
            )


def _owner(path):
    """The number of the user who made a file, or a link, or `None` where there is none."""
    try:
        return path.lstat().st_uid
    except OSError:
        return None


def _is_open_to_all(folder):
    try:
        return bool(folder.stat().st_mode & stat.S_IWOTH)
    except OSError:
        return False


def _caches():
    if folder := os.environ.get("XDG_CACHE_HOME"):
        return Path(folder) / "transferkit"
    if sys.platform == "win32" and (folder := os.environ.get("LOCALAPPDATA")):
        return Path(folder) / "transferkit"
    try:
        home = Path.home()
    except RuntimeError:  # a container may run as a user who has none
        user = f"-{os.getuid()}" if hasattr(os, "getuid") else ""  # each needs a folder of their own there
        return Path(tempfile.gettempdir()) / f"transferkit{user}"
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "transferkit"
