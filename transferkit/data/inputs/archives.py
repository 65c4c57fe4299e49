"""Archives of class folders: zip and tar files."""

import atexit
import os
import posixpath
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from transferkit._utils.text import human_bytes
from transferkit.data.inputs.folders import is_image_name

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")

_DISK_SHARE = 0.5  # of the free disk that the images of an archive may take

_MOST_LINKS = 40  # that one link may lead through
_READ_BYTES = 2**20
_ZIP_END = 22  # bytes of the record at the end of a zip file, without its comment
_ZIP64 = 2**16 - 1  # where a number stands that is too large for its place

_extracted: dict[tuple, Path] = {}  # folders that this process has made


class _RefusedError(ValueError):
    """An archive can be read, but must not be used."""


@dataclass(frozen=True)
class _Image:
    """An image in an archive.

    Attributes:
        names: What it is called there: its own name, and those of links to it.
        size: In bytes.
        open: Function that opens it.
    """

    names: tuple[str, ...]
    size: int
    open: Callable


def is_archive(x):
    """Whether `x` is the path of a zip or tar file, going by its name."""
    return isinstance(x, str | os.PathLike) and str(x).lower().endswith(SUFFIXES) and os.path.isfile(x)


def extract(path):
    """Extracts the images of an archive into a temporary folder, which is deleted when Python ends.

    Only images are extracted. A link in a tar file is extracted as the image that it leads to. An archive that was
    extracted before and did not change is not extracted again. Folders around the class folders are left out.

    Args:
        path: Path of the archive.

    Returns:
        `pathlib.Path` of the folder of class folders.

    Raises:
        ValueError: If the archive is damaged, cut short, encrypted or has no images, names files outside itself, links
            to what is not in it, or would fill the disk.
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
            for image in images:
                _write(image, folder)
    except BaseException as error:
        shutil.rmtree(parent, ignore_errors=True)
        if isinstance(error, _RefusedError) or not isinstance(error, Exception):
            raise
        # Each compression has errors of its own for damaged data. Whatever they are, they mean the same here.
        reason = str(error).strip(" .") or type(error).__name__
        raise ValueError(
            f"Archive {str(path)!r} could not be read: {reason}. Copy or download it again, or pack it anew."
        ) from error
    return folder


def _write(image, folder):
    targets = [folder.joinpath(*PurePosixPath(name).parts) for name in image.names]
    for target in targets:
        target.parent.mkdir(parents=True, exist_ok=True)
    with image.open() as source, open(targets[0], "wb") as file:
        shutil.copyfileobj(source, file)
    for target in targets[1:]:
        shutil.copyfile(targets[0], target)


@contextmanager
def _opened(path):
    """Opens an archive. Yields a list of its images, in the order in which they lie in it."""
    if path.suffix.lower() == ".zip":
        with zipfile.ZipFile(path) as archive:
            _check_count(archive)
            infos = [info for info in archive.infolist() if not info.is_dir() and _is_wanted(info.filename)]
            yield [_Image((info.filename,), info.file_size, partial(archive.open, info)) for info in infos]
    else:
        with tarfile.open(path) as archive:
            images = _images_in(path, archive)
            _check_end(archive)
            yield images


def _images_in(path, archive):
    """The images of a tar file, each with all of its names: a file that was packed twice is a link the second time."""
    targets, links, names = {}, {}, {}  # members by their names, links to symbolic ones, names by members
    for info in archive:
        name = posixpath.normpath(info.name)
        if info.issym():
            links[name] = posixpath.normpath(posixpath.join(posixpath.dirname(info.name), info.linkname))
        elif info.isfile():
            targets[name] = info
        elif info.islnk():
            targets[name] = targets.get(posixpath.normpath(info.linkname))
        else:
            continue
        if _is_wanted(info.name):
            names[info.name] = name
    images = {}
    for name, place in names.items():
        info = targets.get(_followed(place, links))
        if info is None:
            raise _RefusedError(
                f"Archive {str(path)!r} was not extracted: {name!r} in it is a link to what is not in it. Pack it anew "
                "with files in place of links, as `tar --dereference` does."
            )
        images.setdefault(info.offset_data, (info, []))[1].append(name)
    return [
        # In the order of their data: to go back in a compressed file is to read it from its beginning again.
        _Image(tuple(names), info.size, partial(archive.extractfile, info))
        for _, (info, names) in sorted(images.items())
    ]


def _followed(name, links):
    """The name that symbolic links lead to; those in a circle lead to one of their own."""
    for _ in range(_MOST_LINKS):
        name = links.get(name, name)
    return name


def _check_count(archive):
    """Checks that a zip file has as many members as it says at its end: in a damaged list, one can hide others."""
    archive.fp.seek(-_ZIP_END - len(archive.comment), os.SEEK_END)
    end = archive.fp.read(_ZIP_END)
    stored, found = int.from_bytes(end[10:12], "little"), len(archive.infolist())
    if end.startswith(b"PK\x05\x06") and stored != _ZIP64 and stored != found % 2**16:
        raise zipfile.BadZipFile(f"it should have {stored:,} members and lists {found:,}")


def _check_end(archive):
    """Checks that a tar file was read to its end.

    `tarfile` takes the first header that it cannot make out for the end. And only who reads a compressed file to its
    last byte is told whether the sums in it are right.
    """
    file = archive.fileobj
    file.seek(archive.offset)
    mark = file.read(tarfile.BLOCKSIZE)
    if len(mark) < tarfile.BLOCKSIZE:
        raise tarfile.ReadError("it ends without the mark of its end, so it was cut short")
    if any(mark):
        raise tarfile.ReadError(f"the header at byte {archive.offset:,} is damaged")
    while block := file.read(_READ_BYTES):
        if any(block):
            raise tarfile.ReadError("there is more behind the mark of its end, so it is damaged, or two files in one")


def _is_wanted(name):
    return is_image_name(PurePosixPath(name.replace("\\", "/")).name)


def _check(path, images, folder):
    if not images:
        raise _RefusedError(f"Archive {str(path)!r} has no images in it.")
    for name in (name for image in images for name in image.names):
        if "\\" in name or ":" in name or name.startswith("/") or ".." in PurePosixPath(name).parts:
            raise _RefusedError(
                f"Archive {str(path)!r} was not extracted: it names a file outside itself, {name!r}. "
                "Do not trust it; if you do, extract it yourself and give the folder."
            )
    size, free = sum(image.size * len(image.names) for image in images), shutil.disk_usage(folder).free
    if size > _DISK_SHARE * free:
        raise _RefusedError(
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
