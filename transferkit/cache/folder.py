"""How large the cache may become, and small JSON files of what was measured on this machine."""

import json
import math
import os
import shutil
import uuid
from contextlib import suppress
from pathlib import Path

GIGABYTE = 10**9

_DEFAULT_GIGABYTES = 20
_MOST_GIGABYTES = 10**9  # more than any disk, and few enough to be written out


def max_bytes():
    """Returns the bytes that the cache may take: `$TRANSFERKIT_CACHE_SIZE`, in GB, or 20 GB.

    Raises:
        ValueError: If that variable is no size.
    """
    text = os.environ.get("TRANSFERKIT_CACHE_SIZE") or _DEFAULT_GIGABYTES
    try:
        gigabytes = float(text)
    except ValueError:
        gigabytes = math.nan
    if not 0 <= gigabytes <= _MOST_GIGABYTES:
        raise ValueError(
            "The environment variable TRANSFERKIT_CACHE_SIZE must be a number of gigabytes, such as 20 or 0.5. "
            f"Received: {text!r}."
        )
    return int(gigabytes * GIGABYTE)


def free_disk(folder):
    """Returns the bytes that are free on the disk where `folder` is, or would be."""
    folder = Path(folder).absolute()
    while not os.path.exists(folder):
        folder = folder.parent
    return shutil.disk_usage(folder).free


def read_json(folder, name):
    """Reads a dict from a small JSON file. One that is missing, damaged or unreadable counts as empty."""
    try:
        values = json.loads((Path(folder) / name).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def update_json(folder, name, values):
    """Writes `values` over those of the same keys in a small JSON file. Where that cannot be done, nothing happens."""
    path = Path(folder) / name
    # Written beside the file and moved over it, so that nobody ever reads half of it.
    temporary = path.with_name(f"{uuid.uuid4().hex}.part")
    text = json.dumps({**read_json(folder, name), **values}, indent=1, ensure_ascii=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
