"""How a machine computes: never part of a saved classifier."""

import os
from dataclasses import dataclass
from typing import Any, Literal, get_args

from transferkit.frozen.compiling import Engine
from transferkit.frozen.precision import PRECISIONS, Precision

_ENGINES = ("auto", *get_args(Engine))
_CACHES = ("auto", "memory", "disk", False)


@dataclass(frozen=True)
class Compute:
    """How this machine computes what a classifier asks for. Results are the same, up to rounding.

    Args:
        precision: What the backbone computes in during `fit`: `"float32"`, `"bfloat16"`, `"float16"`, or `"auto"`:
            what a short measurement finds to be the fastest, where there is enough to do. Head, loss and weights are
            float32 always, and so are predictions.
        engine: What runs the frozen part of the backbone during `fit`: `"keras"`, `"openvino"` (an extra, for CPUs), or
            `"auto"`: the faster one of those that are installed.
        cache: Where the output of the frozen part is kept, which is computed once for each image: `"memory"`, until
            the end of `fit`; `"disk"`, for later runs on the same images as well, in little memory; `"auto"`: chosen
            from what there is to keep, and explained; `False`: nowhere, it is computed in every epoch. What predictions
            compute is kept in memory, in a bounded number of bytes, unless this is `False`.
        cache_dir: Folder for `"disk"`. Default: `$TRANSFERKIT_CACHE_DIR`, otherwise the user's cache folder.
        strategy: A `tf.distribute.Strategy` for training on several devices, or `None`.

    Example:
        >>> from transferkit import Compute, TransferClassifier
        >>> classifier = TransferClassifier(compute=Compute(cache="disk", precision="float32"))
    """

    precision: Literal["auto"] | Precision = "auto"
    engine: Literal["auto"] | Engine = "auto"
    cache: Literal["auto", "memory", "disk", False] = "auto"
    cache_dir: str | os.PathLike | None = None
    strategy: Any = None

    def __post_init__(self) -> None:
        if self.precision not in ("auto", *PRECISIONS):
            known = ", ".join(map(repr, PRECISIONS))
            raise ValueError(f"`precision` must be 'auto', {known}. Received: precision={self.precision!r}.")
        if self.engine not in _ENGINES:
            known = ", ".join(map(repr, _ENGINES))
            raise ValueError(f"`engine` must be one of {known}. Received: engine={self.engine!r}.")
        # By identity: 0 is equal to False.
        if not any(self.cache is known or (isinstance(self.cache, str) and self.cache == known) for known in _CACHES):
            raise ValueError(f"`cache` must be 'auto', 'memory', 'disk' or False. Received: cache={self.cache!r}.")
        if self.strategy is not None and not hasattr(self.strategy, "scope"):
            raise TypeError(f"`strategy` must be a tf.distribute.Strategy. Received: strategy={self.strategy!r}.")
