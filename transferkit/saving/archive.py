"""One `.keras` file: the model, which plain Keras opens, and two members beside it, which Keras ignores.

`transferkit.json` holds settings, `transferkit.npz` arrays, if there are any.
"""

import json
import zipfile
from io import BytesIO
from pathlib import Path

import keras
import numpy as np

from transferkit._utils.files import replacing
from transferkit._utils.versions import describe_versions, package_versions
from transferkit._version import __version__
from transferkit.exceptions import ArchiveError

MEMBER = "transferkit.json"
ARRAYS = "transferkit.npz"
FORMAT = 3
_OLDEST = 2


def write_archive(path, model, settings, arrays=None):
    """Writes a model and its settings into one file, all or nothing.

    Args:
        path: Where to; ends in `.keras`. A file that is there is replaced, once the new one is complete; its
            permissions stay.
        model: The `keras.Model`.
        settings: Dict that JSON can hold.
        arrays: Dict of arrays of numbers, or `None`.

    Raises:
        ValueError: If `path` does not end in `.keras`.
        FileNotFoundError: If its folder does not exist.
    """
    path = Path(path)
    if path.suffix != ".keras":
        raise ValueError(f"The file name must end in '.keras'. Received: {str(path)!r}.")
    if path.is_dir():
        raise IsADirectoryError(f"{str(path)!r} is a folder. Give the name of a file.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"The folder {str(path.parent)!r} does not exist. Make it first.")
    text = json.dumps({"format": FORMAT, "versions": package_versions(), **settings}, indent=1, ensure_ascii=False)
    # Names of files and classes need not be UTF-8. Python holds such bytes as lone surrogates, which UTF-8 cannot hold
    # but JSON can, escaped, and they are written as JSON escapes them.
    data = text.encode("utf-8", errors="backslashreplace")
    try:
        with replacing(path) as temporary:
            model.save(temporary)
            with zipfile.ZipFile(temporary, "a", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr(MEMBER, data)
                if arrays:
                    archive.writestr(ARRAYS, _packed(arrays))
    except OSError as error:
        raise OSError(error.errno, f"Could not write {str(path)!r}: {error.strerror or error}") from error


def _packed(arrays):
    file = BytesIO()
    np.savez(file, **arrays)  # numbers only, so nothing is pickled
    return file.getvalue()


def read_archive(path):
    """Reads what `write_archive` wrote.

    Returns:
        `(model, settings, arrays)`: the last is a dict, empty if none were written.

    Raises:
        FileNotFoundError: If there is no such file.
        ArchiveError: If it is damaged, no archive of ours, or of a newer version.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {str(path)!r}.")
    settings, arrays = _read_members(path)
    try:
        model = keras.saving.load_model(path, safe_mode=True)
    except Exception as error:  # Keras raises many kinds for a model it cannot rebuild
        raise ArchiveError(
            f"Keras {keras.__version__} could not rebuild the model in {str(path)!r}, which was written with "
            f"{_describe_versions(settings)}: {error}"
        ) from error
    return model, settings, arrays


def _read_members(path):
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            members = archive.namelist()
            text = archive.read(MEMBER) if MEMBER in members and not damaged else None
            packed = archive.read(ARRAYS) if ARRAYS in members and not damaged else None
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise ArchiveError(f"{str(path)!r} is not a .keras file, or it is truncated: {error}") from error
    if damaged:
        raise ArchiveError(f"{str(path)!r} is damaged: its member {damaged!r} does not match its checksum.")
    if text is None:
        raise ArchiveError(
            f"{str(path)!r} was not written by `TransferClassifier.save`: it has no {MEMBER}. "
            "If it is a plain Keras model, open it with `keras.saving.load_model`."
        )
    return _parse_settings(text, path), {} if packed is None else _unpacked(packed, path)


def _unpacked(packed, path):
    try:
        with np.load(BytesIO(packed), allow_pickle=False) as arrays:
            return dict(arrays)
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise ArchiveError(f"{str(path)!r} is damaged: its {ARRAYS} cannot be read: {error}") from error


def _parse_settings(text, path):
    try:
        settings = json.loads(text)
        written = int(settings["format"])
    except (ValueError, KeyError, TypeError) as error:
        raise ArchiveError(f"{str(path)!r} is damaged: its {MEMBER} cannot be read: {error}") from error
    if written > FORMAT:
        raise ArchiveError(
            f"{str(path)!r} has format {written}, written with {_describe_versions(settings)}. "
            f"transferkit {__version__} reads formats up to {FORMAT}. Upgrade transferkit to open it."
        )
    if written < _OLDEST:
        raise ArchiveError(
            f"{str(path)!r} has format {written}, which was never released. Expected format {_OLDEST} to {FORMAT}. "
            "The model in it opens with `keras.saving.load_model`; fit and save the classifier again for the rest."
        )
    return settings


def _describe_versions(settings):
    return describe_versions(settings.get("versions", {}))
