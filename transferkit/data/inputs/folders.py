"""Class folders: one subfolder of images for each class."""

import os
from pathlib import Path

from transferkit._utils.text import natural_key, plural
from transferkit.data.inputs.given import PARTS, Given

IMAGE_SUFFIXES = frozenset([".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".npy", ".png", ".tif", ".tiff", ".webp"])
_IGNORED_FOLDERS = frozenset({"__MACOSX", "__pycache__"})


def read_class_folder(folder):
    """Finds the images of each class in `folder`.

    Hidden folders, `__MACOSX` and folders without images are left out, and so are files that are no images.
    Numeric names sort by value: 1, 2, 10. Images in subfolders of a class folder belong to the class.

    Where all subfolders are called `train`, `validation`, `test` and the like (see `PARTS`), each of them is a class
    folder of its own, with a part of the data.

    Args:
        folder: `pathlib.Path` of an existing folder.

    Returns:
        A `Given` with paths as `str`, sorted by class and then by name, and the folder name of each as its label. It
        has no images if no subfolder holds any.
    """
    paths, labels, notes = _scan(folder)
    if not labels or not {name.lower() for name in labels} <= PARTS.keys():
        return Given(paths, labels, is_ordered=True, notes=notes)
    return _read_parts(folder, list(dict.fromkeys(labels)))


def _read_parts(folder, names):
    paths, labels, parts = [], [], []
    for name in names:
        found, their_labels, _ = _scan(folder / name)
        paths += found
        labels += their_labels
        parts += [PARTS[name.lower()]] * len(found)
    order = sorted(range(len(paths)), key=lambda i: natural_key(labels[i]))  # classes in the order of their names
    notes = (f"Parts of the data, by the names of their folders: {', '.join(names)}.",)
    paths, labels, parts = ([column[i] for i in order] for column in (paths, labels, parts))
    return Given(paths, labels, parts=parts, is_ordered=True, notes=notes)


def _scan(folder):
    """Returns paths, labels and notes of a class folder."""
    paths, labels, notes = [], [], []
    loose = sum(is_image_name(entry.name) for entry in folder.iterdir() if entry.is_file())
    for subfolder in sorted((entry for entry in folder.iterdir() if entry.is_dir()), key=lambda p: natural_key(p.name)):
        if _is_ignored(subfolder.name):
            notes.append(f"Ignored folder {subfolder.name!r}: not a class.")
            continue
        found = find_images(subfolder)
        if not found:
            notes.append(f"Ignored folder {subfolder.name!r}: no images in it.")
        paths += found
        labels += [subfolder.name] * len(found)
    if loose and paths:
        notes.append(f"Ignored {plural(loose, 'image')} directly in {str(folder)!r}: in no class folder.")
    return paths, labels, tuple(notes)


def find_images(folder):
    """Returns the paths of all image files below `folder`, as `str`, in natural order. Hidden ones are left out."""
    found, visited = [], set()
    for parent, subfolders, files in os.walk(folder, followlinks=True):
        if (place := os.path.realpath(parent)) in visited:  # a link that leads back up
            subfolders.clear()
            continue
        visited.add(place)
        subfolders[:] = [name for name in subfolders if not _is_ignored(name)]
        found += [os.path.join(parent, name) for name in files if is_image_name(name)]
    return sorted(found, key=natural_key)


def _is_ignored(name):
    return name.startswith(".") or name in _IGNORED_FOLDERS


def is_image_name(name):
    """Whether a file is an image, going by its name. Hidden files are none."""
    return not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES
