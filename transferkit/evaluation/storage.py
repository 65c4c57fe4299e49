"""A report ↔ one file: arrays as `numpy.load` reads them from an NPZ file, and JSON beside them. No pickle."""

import io
import json
import zipfile
import zlib
from pathlib import Path

import numpy as np

from transferkit._utils.files import replacing
from transferkit._version import __version__
from transferkit.exceptions import ArchiveError

MEMBER = "report.json"
FORMAT = 1
_MOST_GROWTH = 1100  # bytes that a byte of a file can become: more than deflate makes of zeros


def write_report(path, kind, arrays, settings):
    """Writes a report into one file, all or nothing.

    Args:
        path: Where to. A file that is there is replaced once the new one is complete.
        kind: Name of the class of the report.
        arrays: Dict of arrays of numbers.
        settings: Dict that JSON can hold.

    Raises:
        FileNotFoundError: If its folder does not exist.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{str(path)!r} is a folder. Give the name of a file.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"The folder {str(path.parent)!r} does not exist. Make it first.")
    text = json.dumps({"format": FORMAT, "kind": kind, "transferkit": __version__, **settings}, indent=1)
    try:
        with replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(MEMBER, text)
            for name, array in arrays.items():
                archive.writestr(f"{name}.npy", _bytes_of(array))
    except OSError as error:
        raise OSError(error.errno, f"Could not write {str(path)!r}: {error.strerror or error}") from error


def read_report(path, kind):
    """Reads what `write_report` wrote.

    Returns:
        `(arrays, settings)`.

    Raises:
        FileNotFoundError: If there is no such file.
        ArchiveError: If it is damaged, no report, one of another kind, or of a newer version.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {str(path)!r}.")
    try:
        members = _read_members(path)
        settings = json.loads(members.pop(MEMBER))
        arrays = {name.removesuffix(".npy"): _array_of(data) for name, data in members.items()}
        written, found = int(settings["format"]), str(settings["kind"])
    except KeyError as error:
        raise ArchiveError(f"{str(path)!r} was not written by `report.save`: it lacks {error}.") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, TypeError, RecursionError) as error:
        raise ArchiveError(f"{str(path)!r} is no report, or it is damaged: {error}") from error
    except NotImplementedError as error:  # compressed or encrypted in a way that we do not write
        raise ArchiveError(f"{str(path)!r} was not written by `report.save`: {error}") from error
    if written > FORMAT:
        raise ArchiveError(
            f"{str(path)!r} has format {written}. transferkit {__version__} reads formats up to {FORMAT}. Upgrade "
            "transferkit to open it."
        )
    if found != kind:
        raise ArchiveError(f"{str(path)!r} holds another kind of report. Open it by `{found}.load`, not `{kind}.load`.")
    return arrays, settings


def _read_members(path):
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
        if sum(info.file_size for info in infos) > _MOST_GROWTH * path.stat().st_size:
            raise ValueError("it says that it holds more than a file of its size can.")
        return {info.filename: archive.read(info) for info in infos}


def _bytes_of(array):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()


def _array_of(data):
    array = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    if array.dtype.kind not in "iufb":
        raise ValueError(f"it holds an array of {array.dtype}, not of numbers.")
    return array
