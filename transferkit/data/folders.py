"""Class folders: one subfolder of images for each class."""

import os
import re
from pathlib import Path

from transferkit._utils.text import plural

IMAGE_SUFFIXES = frozenset([".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".npy", ".png", ".tif", ".tiff", ".webp"])
_SPLITS = frozenset(["train", "training", "val", "valid", "validation", "test", "testing"])
_IGNORED_FOLDERS = frozenset({"__MACOSX", "__pycache__"})


def scan_class_folder(folder):
    """Finds the images of each class in `folder`.

    Hidden folders, `__MACOSX` and folders without images are left out, and so are files that are no images.
    Numeric names sort by value: 1, 2, 10. Images in subfolders of a class folder belong to the class.

    Args:
        folder: `pathlib.Path` of an existing folder.

    Raises:
        ValueError: If the subfolders are called `train`, `test` and the like.

    Returns:
        `(paths, labels, notes)`: paths as `str`, sorted by class and then by name; the folder name of each; and
        a tuple of sentences about what was left out. `paths` is empty if no subfolder holds images.
    """
    paths, labels, notes = [], [], []
    loose = sum(_is_image(entry.name) for entry in folder.iterdir() if entry.is_file())
    for subfolder in sorted((entry for entry in folder.iterdir() if entry.is_dir()), key=lambda p: natural_key(p.name)):
        if _is_ignored(subfolder.name):
            notes.append(f"Ignored folder {subfolder.name!r}: not a class.")
            continue
        found = find_images(subfolder)
        if not found:
            notes.append(f"Ignored folder {subfolder.name!r}: no images in it.")
        paths += found
        labels += [subfolder.name] * len(found)
    if labels and set(map(str.lower, labels)) <= _SPLITS:
        raise ValueError(
            f"The subfolders of {str(folder)!r} are called {' and '.join(dict.fromkeys(labels))}: they look like "
            f"parts of a data set, not like classes. Give one of them, such as {str(folder / labels[-1])!r}."
        )
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
        found += [os.path.join(parent, name) for name in files if _is_image(name)]
    return sorted(found, key=natural_key)


def natural_key(name):
    """Sorts numbers inside names by value, so that `img10` comes after `img2`. Ties are broken by the text itself."""
    parts = re.split(r"(\d+)", str(name))
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], str(name)


def _is_ignored(name):
    return name.startswith(".") or name in _IGNORED_FOLDERS


def _is_image(name):
    return not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES
