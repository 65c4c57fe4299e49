"""Files that are complete or not there at all."""

import os
import stat
import uuid
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path):
    """Yields a temporary name beside `path`, with the same suffix, which takes its place if nothing went wrong.

    What is replaced keeps its permissions, and a symbolic link goes on pointing to the file that it points to.
    """
    path = Path(os.path.realpath(path))
    temporary = path.with_name(f".{path.stem}-{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else None
        if mode is not None:  # who may not read the old file may not read what is written of the new one, either
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        yield temporary
        with open(temporary, "rb+") as file:
            # On disk before it gets its name: a power cut leaves the old file or the whole new one.
            os.fsync(file.fileno())
        if mode is not None:
            os.chmod(temporary, mode)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
