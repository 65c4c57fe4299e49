"""Where to keep what was computed: on disk, in memory, or nowhere."""

from pathlib import Path

from transferkit._utils.memory import free_memory
from transferkit._utils.text import human_bytes
from transferkit.cache.folder import free_disk

DISK_BYTES = 2  # a number, on disk: float16
MEMORY_BYTES = 4  # a number, in memory: float32
_DISK_SHARE = 0.25  # of the free disk that one front may take
_MEMORY_SHARE = 0.25  # of the free memory
_WORTH_A_FILE = 2e10  # multiply-adds: less than that is computed again in the time that it takes to find a file


def choose_place(cache, count, *, work, folder, max_bytes):
    """Chooses where numbers that were computed once are kept.

    Args:
        cache: `"auto"`, `"disk"` or `"memory"`.
        count: How many numbers there will be.
        work: Multiply-adds that computing all of them takes; 0 if that is not known.
        folder: Where they would be written.
        max_bytes: What the whole folder may take.

    Returns:
        `(place, reason)`: `"disk"`, `"memory"` or `None`, and half a sentence.
    """
    on_disk, in_memory = DISK_BYTES * count, MEMORY_BYTES * count
    if cache == "disk":
        return "disk", f"{human_bytes(on_disk)} on disk, as asked for"
    if cache == "memory":
        return "memory", f"{human_bytes(in_memory)} in memory, as asked for"
    fits_memory = in_memory <= _MEMORY_SHARE * free_memory()
    if 0 < work < _WORTH_A_FILE and fits_memory:
        return "memory", f"{human_bytes(in_memory)} in memory, since they are quickly computed again"
    if on_disk <= min(max_bytes / 2, _DISK_SHARE * free_disk(Path(folder))):
        return "disk", f"{human_bytes(on_disk)} on disk, for later runs as well"
    if fits_memory:
        return "memory", f"{human_bytes(in_memory)} in memory, since they are too many for the disk"
    return None, f"{human_bytes(on_disk)} are too many for the disk and for the memory that is free"
