"""Class folders: one subfolder of images for each class."""

import os
import re
from pathlib import Path

from transferkit._utils.text import listing, natural_key, plural
from transferkit.data.inputs.raw_data import SUBSETS, RawData

IMAGE_SUFFIXES = frozenset([".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".npy", ".png", ".tif", ".tiff", ".webp"])
_IGNORED_FOLDERS = frozenset({"__MACOSX", "__pycache__"})
_WORDS = re.compile(r"[^\W\d_]+|\d+")


def read_class_folder(folder):
    """Finds the images of each class in `folder`.

    Hidden folders, `__MACOSX` and folders without images are left out, and so are files that are no images.
    Numeric names sort by value: 1, 2, 10. Images in subfolders of a class folder belong to the class. Links to folders
    are followed, unless they lead back into the data or to a folder that holds it.

    Where all subfolders are called `train`, `validation`, `test` and the like (see `SUBSETS`), or `seg_train`
    and `seg_test`, each of them is a class folder of its own, with a subset of the data.

    Args:
        folder: `pathlib.Path` of an existing folder.

    Returns:
        A `RawData` with paths as `str`, sorted by class and then by name, and the folder name of each as its label. It
        has no images if no subfolder holds any.

    Raises:
        ValueError: If folders of subsets stand beside others.
    """
    folder = _unwrapped(folder)
    paths, labels, notes = _scan(folder, folder)
    names = list(dict.fromkeys(labels))
    subsets = _subsets_among(names)
    if not subsets:
        return RawData(paths, labels, is_ordered=True, notes=(*notes, *_notes_on_likely_subsets(names)))
    if others := [name for name in names if name not in subsets]:
        raise ValueError(
            f"Folder {str(folder)!r} has parts of the data ({listing(subsets)}) beside other folders with images "
            f"({listing(others)}). Expected parts only, or classes only. Take the other folders out of it, or give the "
            f"parts one by one: `fit({str(folder / next(iter(subsets)))!r}, validation_data=...)`. If all of them are "
            "classes, give a list of paths as `x` and labels as `y`."
        )
    return _read_subsets(folder, subsets, notes)


def _unwrapped(folder):
    """Goes down where a folder holds nothing but a folder of the same name that holds folders: `seg_test/seg_test`."""
    while True:
        entries = [entry for entry in folder.iterdir() if not _is_ignored(entry.name)]
        inner = folder / folder.name
        if entries != [inner] or inner.is_symlink() or not inner.is_dir():
            return folder
        if not any(entry.is_dir() for entry in inner.iterdir()):
            return folder
        folder = inner


def _subsets_among(names):
    """Finds folders that are subsets of the data: a dict from their names to what they are.

    All are, or the names of some say different subsets and are the same but for that, such as `seg_train` and
    `seg_test`. `train` alone, or `bullet_train` and `freight_train`, may be classes.
    """
    told = {name: said for name in names if (said := _subset_and_rest(name))}
    is_plain = all(rest == () for _, rest in told.values())
    if len(told) == len(names) and (is_plain or len({subset for subset, _ in told.values()}) > 1):
        return {name: subset for name, (subset, _) in told.items()}
    for _, rest in told.values():
        alike = {name: subset for name, (subset, other) in told.items() if other == rest}
        if len(set(alike.values())) > 1:
            return alike
    return {}


def _subset_and_rest(name):
    """What subset a name says, and its other words: `("training", ("seg",))`. `None` if it says none, or several."""
    words = _WORDS.findall(name.lower())
    said = [word for word in words if word in SUBSETS]
    return (SUBSETS[said[0]], tuple(word for word in words if word != said[0])) if len(said) == 1 else None


def _notes_on_likely_subsets(names):
    return [
        f"Folder {name!r} was taken as a class, like those beside it. If it is a part of the data, give it alone."
        for name in names
        if name.lower() in SUBSETS
    ]


def _read_subsets(folder, names, notes):
    paths, labels, subsets = [], [], []
    for name, subset in names.items():
        found, their_labels, their_notes = _scan(_unwrapped(folder / name), folder)
        paths += found
        labels += their_labels
        subsets += [subset] * len(found)
        notes += their_notes
    order = sorted(range(len(paths)), key=lambda i: natural_key(labels[i]))  # classes in the order of their names
    notes = (f"Parts of the data, by the names of their folders: {', '.join(names)}.", *notes)
    paths, labels, subsets = ([column[i] for i in order] for column in (paths, labels, subsets))
    return RawData(paths, labels, subsets=subsets, is_ordered=True, notes=notes)


def _scan(folder, root):
    """Returns paths, labels and notes of a class folder. `root` is the folder of the whole data."""
    paths, labels, notes = [], [], []
    entries = sorted(folder.iterdir(), key=lambda entry: natural_key(entry.name))
    loose = sum(is_image_name(entry.name) for entry in entries if not entry.is_dir())
    homes = [os.path.realpath(place) for place in (root, *(entry for entry in entries if entry.is_dir()))]
    for subfolder in (entry for entry in entries if entry.is_dir()):
        if _is_ignored(subfolder.name):
            notes.append(f"Ignored folder {subfolder.name!r}: not a class.")
            continue
        if _leads_up(subfolder, folder):
            notes.append(f"Ignored folder {subfolder.name!r}: a link to a folder that holds all classes.")
            continue
        found, not_followed = _walk(subfolder, homes)
        notes += [f"Did not follow the link {link!r}: it leads out of its class." for link in not_followed]
        if not found:
            notes.append(f"Ignored folder {subfolder.name!r}: no images in it.")
        paths += found
        labels += [subfolder.name] * len(found)
    notes += [f"Ignored the link {str(entry)!r}: it leads nowhere." for entry in entries if _is_lost_folder(entry)]
    if loose:
        notes.append(f"Ignored {plural(loose, 'image')} directly in {str(folder)!r}: in no class folder.")
    return paths, labels, tuple(notes)


def _is_lost_folder(entry):
    return entry.is_symlink() and not entry.exists() and not entry.suffix


def find_images(folder):
    """Returns the paths of all image files below `folder`, as `str`, in natural order. Hidden ones are left out.

    Links to folders are followed, unless they lead back into `folder` or to one that holds it. What is called like an
    image and is no file, such as a link that leads nowhere, counts: it is up to the reader to say so.
    """
    return _walk(folder, [os.path.realpath(folder)])[0]


def _walk(folder, homes):
    """Returns paths of images below `folder`, and links that were not followed: into `homes` or up from where they lie.

    Args:
        folder: The folder.
        homes: Real paths of folders that are walked through anyway.
    """
    found, not_followed, visited = [], [], set()
    for parent, subfolders, files in os.walk(folder, followlinks=True):
        if (place := os.path.realpath(parent)) in visited:  # two links lead there
            subfolders.clear()
            continue
        visited.add(place)
        wanted = [name for name in subfolders if not _is_ignored(name)]
        back = [name for name in wanted if _leads_back(os.path.join(parent, name), homes) or _leads_up(name, parent)]
        # In place, since `os.walk` goes into what is left in this list.
        subfolders[:] = [name for name in wanted if name not in back]
        not_followed += [os.path.join(parent, name) for name in back]
        found += [os.path.join(parent, name) for name in files if is_image_name(name)]
    return sorted(found, key=natural_key), sorted(not_followed, key=natural_key)


def _leads_back(path, homes):
    """Whether a path is a link into one of `homes`, or to a folder that holds one."""
    return os.path.islink(path) and any(_holds(home, path) or _holds(path, home) for home in homes)


def _leads_up(name, parent):
    """Whether an entry of a folder is a link to the folder itself or to one that holds it."""
    path = os.path.join(parent, name)
    return os.path.islink(path) and _holds(path, parent)


def _holds(folder, path):
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _is_ignored(name):
    return name.startswith(".") or name in _IGNORED_FOLDERS


def is_image_name(name):
    """Whether a file is an image, going by its name. Hidden files are none."""
    return not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES
