"""Looking at images before anything is computed from them."""

from typing import Any, Literal

import numpy as np

from transferkit._utils.console import Console, speaking_to
from transferkit.data.decoder import Decoder
from transferkit.data.inputs.convert import LabelRule, as_source
from transferkit.data.inputs.streams import Steps, is_stream
from transferkit.data.quality.findings import Inspected, report_on
from transferkit.data.quality.inspection import inspect_in_steps
from transferkit.data.quality.report import DataReport
from transferkit.data.quality.similarity import PIP_LINE, has_imagehash
from transferkit.data.resizing import ImageFormat, as_image_format
from transferkit.data.source import Source

_SUBSETS = ("training", "validation", "test")
_NOT_LOOKED_FOR = f"near-duplicates were not looked for: ImageHash is missing. `{PIP_LINE}` brings it."


def check_data(
    x: Any,
    y: Any = None,
    *,
    validation_data: Any = None,
    test_data: Any = None,
    image_size: int | tuple[int, int] | ImageFormat | None = None,
    near_duplicates: Literal["auto"] | bool = "auto",
    steps: int | None = None,
    verbose: Literal["auto", 0, 1, 2] = "auto",
) -> DataReport:
    """Looks for what is wrong with images and labels, before anything is trained. `fit` does so, too, and says less.

    It reads every image once and finds: images that cannot be read; exact and near-duplicates, within a subset and
    across subsets; duplicates with different labels; classes with fewer than 10 training images; images with a side
    shorter than half of the model's input; classes that are not in all subsets. No file is changed or deleted.

    Near-duplicates are images that were made brighter or darker, compressed again, resized, or cropped by a few
    percent. They are found by ImageHash and a comparison of thumbnails (`pip install "transferkit[check]"`).

    Args:
        x: Training images: class folder, folder, paths, or images; see `transferkit.data.inputs.convert.as_source`.
        y: Their labels `(n,)`; not for a class folder. Without labels, only the images are checked.
        validation_data: Class folder, `(x, y)`, or images, that `fit` chooses on.
        test_data: The same for those that `evaluate` gets.
        image_size: Size of the model's input, an integer or `(height, width)`, in pixels, or an `ImageFormat`, whose
            `channels` images must have. Default: RGB images of any size.
        near_duplicates: Whether to look for near-duplicates; `"auto"`: if ImageHash is installed.
        steps: Number of batches to read from a stream, of each subset that is one. Default: all, if it has an end.
        verbose: `"auto"` or 1: a progress bar on a terminal; 2: one line a step; 0: nothing.

    Returns:
        A `DataReport`. `print(report)` shows it.

    Raises:
        ValueError, TypeError, FileNotFoundError: If the arguments are not usable, or there are no images.
        ImportError: If `near_duplicates=True` and ImageHash is not installed.

    Example:
        >>> import numpy as np

        >>> from transferkit import check_data
        >>> images = np.random.default_rng(0).integers(0, 255, (30, 32, 32, 3), dtype="uint8")
        >>> images[7] = images[2]
        >>> report = check_data(images, ["cat", "dog"] * 15, near_duplicates=False, verbose=0)
        >>> print(report)
        Checked 30 images of training.
        With different labels: 2 images in 1 group
          image 2 (training, cat), image 7 (training, dog)
        Exact duplicates: 2 images in 1 group
          image 2 (training, cat), image 7 (training, dog)
        >>> (group,) = report.exact_duplicates
        >>> group == report.label_conflicts[0]
        True
    """
    near, notes = _looks_for_near(near_duplicates)
    image_format = as_image_format(image_size)
    size = None if image_format.size is None else image_format.image_size
    given: dict[str, Any] = {"training": (x, y)}
    for name, data in (("validation", validation_data), ("test", test_data)):
        if data is not None:
            given[name] = data if isinstance(data, tuple | list) and len(data) == 2 else (data, None)
    decoder = Decoder(image_format.channels)
    sources = _divided(_sources(given, decoder, steps))
    with speaking_to(Console(verbose)):
        inspected = {
            name: Inspected(source, inspect_in_steps(source, decoder, has_thumbnails=near))
            for name, source in sources.items()
        }
    return report_on(inspected, size, notes)


def _looks_for_near(near_duplicates: Literal["auto"] | bool) -> tuple[bool, tuple[str, ...]]:
    """Returns whether near-duplicates are looked for, and notes."""
    if near_duplicates not in ("auto", True, False):
        raise ValueError(
            f"`near_duplicates` must be 'auto', True or False. Received: near_duplicates={near_duplicates!r}."
        )
    if near_duplicates is True and not has_imagehash():
        raise ImportError(f"`near_duplicates=True` needs ImageHash. Install it by `{PIP_LINE}`.")
    if near_duplicates == "auto" and not has_imagehash():
        return False, (_NOT_LOOKED_FOR,)
    return bool(near_duplicates), ()


def _divided(sources: dict[str, Source]) -> dict[str, Source]:
    """Takes training images apart that the user has divided already, unless there are other subsets."""
    source = sources["training"]
    if source.subsets is None or len(sources) > 1:
        return sources
    return {name: source.take(np.flatnonzero(source.subsets == name)) for name in _SUBSETS if name in source.subsets}


def _sources(given: dict[str, Any], decoder: Decoder, steps: int | None) -> dict[str, Source]:
    """Reads each subset, with labels where there are any, of the same kind in all of them."""
    sources, task = {}, "auto"
    for name, (x, y) in given.items():
        rule = LabelRule(task=task, is_required=None if y is None else True)
        own_steps = Steps(steps if is_stream(x) else None, "steps")
        sources[name] = as_source(x, y, label_rule=rule, decoder=decoder, steps=own_steps)
        task = task if sources[name].labels is None else sources[name].task.name
    return sources
