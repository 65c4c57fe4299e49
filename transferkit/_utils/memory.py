"""How much memory is left."""

from pathlib import Path

_UNKNOWN = 4 << 30  # bytes assumed where the system does not say


def free_memory():
    """Returns the bytes of memory that a process may take without pushing others out."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return _UNKNOWN
    values = dict(line.split(":", 1) for line in lines)
    return int(values["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in values else _UNKNOWN
