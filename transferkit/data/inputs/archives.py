"""Archives of class folders: zip and tar files."""

import atexit
import os
import shutil
import tarfile
import tempfile
import zipfile
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath

from transferkit._utils.text import human_bytes
from transferkit.data.inputs.folders import is_image_name

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")

_DISK_SHARE = 0.5  # of the free disk that the images of an archive may take

_extracted: dict[tuple, Path] = {}  # folders that this process has made


def is_archive(x):
    """Whether `x` is the path of a zip or tar file, going by its name."""
    return isinstance(x, str | os.PathLike) and str(x).lower().endswith(SUFFIXES) and os.path.isfile(x)


def extract(path):
    """Extracts the images of an archive into a temporary folder, which is deleted when Python ends.

    Only images are extracted; links and other special files are not. An archive that was extracted before and did not
    change is not extracted again. Folders around the class folders are left out.

    Args:
        path: Path of the archive.

    Returns:
        `pathlib.Path` of the folder of class folders.

    Raises:
        ValueError: If the archive is damaged, encrypted or has no images, names files outside itself, or would fill the
            disk.
    """
    path = Path(path)
    status = path.stat()
    key = (str(path.resolve()), status.st_mtime_ns, status.st_size)
    if key not in _extracted or not _extracted[key].is_dir():
        _extracted[key] = _extract(path)
    return _innermost(_extracted[key])


def _extract(path):
    parent = tempfile.mkdtemp(prefix="transferkit-")
    atexit.register(shutil.rmtree, parent, ignore_errors=True)
    folder = Path(parent, path.name)  # so that messages name the archive
    folder.mkdir()
    try:
        with _opened(path) as images:
            _check(path, images, folder)
            for name, _, open_member in images:
                target = folder.joinpath(*PurePosixPath(name).parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                with open_member() as source, open(target, "wb") as file:
                    shutil.copyfileobj(source, file)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, RuntimeError, NotImplementedError, OSError) as error:
        shutil.rmtree(parent, ignore_errors=True)
        raise ValueError(f"Archive {str(path)!r} could not be read: {error}.") from error
    except ValueError:
        shutil.rmtree(parent, ignore_errors=True)
        raise
    return folder


@contextmanager
def _opened(path):
    """Opens an archive. Yields a list of `(name, size, function that opens it)`, one for each image in it."""
    if path.suffix.lower() == ".zip":
        with zipfile.ZipFile(path) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir() and _is_wanted(info.filename)]
            yield [(info.filename, info.file_size, partial(archive.open, info)) for info in infos]
    else:
        with tarfile.open(path) as archive:
            infos = [info for info in archive if info.isfile() and _is_wanted(info.name)]
            yield [(info.name, info.size, partial(archive.extractfile, info)) for info in infos]


def _is_wanted(name):
    return is_image_name(PurePosixPath(name.replace("\\", "/")).name)


def _check(path, images, folder):
    if not images:
        raise ValueError(f"Archive {str(path)!r} has no images in it.")
    for name, *_ in images:
        if "\\" in name or ":" in name or name.startswith("/") or ".." in PurePosixPath(name).parts:
            raise ValueError(
                f"Archive {str(path)!r} was not extracted: it names a file outside itself, {name!r}. "
                "Do not trust it; if you do, extract it yourself and give the folder."
            )
    size, free = sum(size for _, size, _ in images), shutil.disk_usage(folder).free
    if size > _DISK_SHARE * free:
        raise ValueError(
            f"Archive {str(path)!r} was not extracted: its images take {human_bytes(size)}, and only "
            f"{human_bytes(free)} are free in {tempfile.gettempdir()!r}. Extract it elsewhere and give the folder."
        )


def _innermost(folder):
    """Goes down while there is nothing but one folder that holds folders."""
    while len(entries := list(folder.iterdir())) == 1 and _has_folders(entries[0]):
        folder = entries[0]
    return folder


def _has_folders(path):
    return path.is_dir() and any(entry.is_dir() for entry in path.iterdir())
