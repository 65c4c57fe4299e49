"""Memory that belongs to this process alone, without mapped files, which the system can drop at any time."""

import threading
from pathlib import Path


def with_growth(function, *args):
    """Calls a function. Returns its result and the MB by which memory grew meanwhile, or `None` if not on Linux."""
    before, most, ended = own_memory(), own_memory(), threading.Event()

    def watch():
        nonlocal most
        while before is not None and not ended.wait(0.01):
            most = max(most, own_memory())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        result = function(*args)
    finally:
        ended.set()
        watcher.join()
    return result, None if before is None else most - before


def own_memory():
    """Returns the MB in memory that belong to this process alone, or `None` if the system does not say."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("RssAnon:")), None)
