"""What the user has, as one thing: images that can be read one by one, and their labels."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from transferkit.tasks.find import MULTICLASS
from transferkit.tasks.task import Task


class Column(Sequence):
    """The images of a data set with random access, each read when it is asked for.

    Args:
        dataset: Object that returns a dict for an index.
        name: Key of the image in it.
        rows: Indices, the rows of this column; default: all.
    """

    def __init__(self, dataset, name, rows=None):
        self._dataset = dataset
        self._name = name
        self._rows = np.arange(len(dataset)) if rows is None else rows

    def __len__(self):
        return len(self._rows)

    def __getitem__(self, index):
        return self._dataset[int(self._rows[index])][self._name]

    def take(self, indices):
        """Returns the part at `indices`, in that order."""
        return Column(self._dataset, self._name, self._rows[indices])


class MappedRows(Sequence):
    """Rows of an array that is mapped from a file: only what is asked for is read into memory.

    Args:
        array: `np.memmap` `(n, height, width, channels)`.
        rows: Indices of the rows, in order.
    """

    def __init__(self, array, rows):
        self._array = array
        self._rows = rows

    @property
    def shape(self):
        """That of the array that this stands for."""
        return (len(self._rows), *self._array.shape[1:])

    @property
    def ndim(self):
        """Number of axes."""
        return self._array.ndim

    @property
    def dtype(self):
        """Type of the values."""
        return self._array.dtype

    def __len__(self):
        return len(self._rows)

    def __getitem__(self, index):
        """One row, or an array of the rows of a slice or of indices."""
        return np.asarray(self._array[self._rows[index]])

    def take(self, indices):
        """Returns the part at `indices`, in that order, from the same file."""
        return MappedRows(self._array, self._rows[indices])


@dataclass(frozen=True)
class Source:
    """Images and, where known, their labels. Nothing is read from disk until the pixels are needed.

    Args:
        images: One array `(n, height, width, channels)`, or a sequence of paths, arrays or PIL images. Parts of an
            array that is mapped from a file stay there.
        labels: Codes `(n,)` into `class_names`, int64, or `None`. Where an image can have several labels, or shares in
            several, this is one of them, to divide images by.
        targets: `(n, num_classes)` float32: 1 for each label that an image has, or its share; `None`: only `labels`.
        task: The `Task`: what kind of labels they are.
        class_names: The labels as the user gave them, one a class, in the order of the codes. `None` without labels.
        weights: `(n,)` float32 weight of each image, or `None`: all count alike.
        groups: `(n,)` what each image belongs to, such as a patient or a scene: images of one group are not on
            different sides of a split. `None`: each image is a group of its own.
        subsets: `(n,)` of `"training"`, `"validation"` and `"test"`, or `None`: how the user has divided the images.
        places: `(n,)` where each image was in what the user gave, or `None`: all are where they were.
        prints: `(n, 16)` uint8, what names each image by its content, or `None`: nobody has looked yet.
        notes: What was ignored on the way, in words, for the user to see.
        augmentation: An `ImageDataGenerator` that the images came with, or `None`.
    """

    images: np.ndarray | Sequence = field(repr=False)
    labels: np.ndarray | None = field(default=None, repr=False)
    class_names: np.ndarray | None = None
    targets: np.ndarray | None = field(default=None, repr=False)
    task: Task = MULTICLASS
    weights: np.ndarray | None = field(default=None, repr=False)
    groups: np.ndarray | None = field(default=None, repr=False)
    subsets: np.ndarray | None = field(default=None, repr=False)
    places: np.ndarray | None = field(default=None, repr=False)
    prints: np.ndarray | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()
    augmentation: Any = None

    def __len__(self):
        return len(self.images)

    @property
    def is_uniform(self):
        """Whether all images are one array, of one size."""
        return isinstance(self.images, np.ndarray | MappedRows) and self.images.ndim == 4

    @property
    def paths(self):
        """The path of each image, or `None` for images that have none."""
        if self.is_uniform or isinstance(self.images, Column):
            return [None] * len(self)
        return [str(image) if isinstance(image, str | os.PathLike) else None for image in self.images]

    def name(self, index):
        """What to call image `index` in a message."""
        # An element of a column is never a path, and would be read from disk to find that out.
        image = None if isinstance(self.images, Column) else self.images[index]
        place = index if self.places is None else self.places[index]
        return str(image) if isinstance(image, str | os.PathLike) else f"image {place}"

    @property
    def truth(self):
        """What predictions are compared with: codes `(n,)` or, of any number of labels, targets."""
        return self.task.truth(self)

    def take(self, indices):
        """Returns the part of this source at `indices`, in that order."""
        indices = np.asarray(indices)
        # Indexing a memory map by an array would read all those rows into memory.
        if isinstance(self.images, np.memmap):
            images = MappedRows(self.images, np.arange(len(self))[indices])
        elif isinstance(self.images, np.ndarray):
            images = self.images[indices]
        elif isinstance(self.images, Column | MappedRows):
            images = self.images.take(indices)
        else:
            images = [self.images[i] for i in indices]
        names = ("labels", "targets", "weights", "groups", "subsets", "prints")
        columns = {name: getattr(self, name) for name in names}
        taken = {name: None if column is None else column[indices] for name, column in columns.items()}
        # Messages name images by their place in what the user gave, however often that was divided.
        places = indices if self.places is None else self.places[indices]
        return replace(self, images=images, places=places, **taken)
