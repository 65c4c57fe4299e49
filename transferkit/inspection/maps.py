"""A map of images: those that are alike to the backbone are near each other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.util import find_spec
from typing import Any, Literal, get_args

import numpy as np
from matplotlib.axes import Axes
from sklearn.decomposition import PCA

from transferkit._utils import console
from transferkit._utils.figures import png_of
from transferkit._utils.quiet import warnings_filtered
from transferkit._utils.text import plural
from transferkit.data.inputs.convert import LabelRule
from transferkit.data.inputs.streams import Steps
from transferkit.evaluation.plots.image_map import Pictures, draw_image_map, spread_over
from transferkit.fitted import FittedClassifier

MapMethod = Literal["auto", "pca", "umap"]

_FEWEST_FOR_UMAP = 30  # fewer points have no neighbourhoods to keep
_NEIGHBOURS = 15


@dataclass(frozen=True, eq=False, repr=False)
class ImageMap:
    """A place in the plane for each image. A notebook shows it as a plot.

    Attributes:
        positions: `(n, 2)` float32. Only which images are near each other means something, not the axes.
        labels: What each image is coloured by: its label or, where there was none, what is predicted for it.
        are_predicted: Whether `labels` were predicted.
        method: `"pca"` or `"umap"`: how the places were found.
        explained: For `"pca"`, the share of the variance of the features that the axes have, in `[0, 1]`; else `None`.
        paths: Path of each image, or `None`.
        images: Function from a sequence of rows to uint8 arrays `(height, width, 3)`.
    """

    positions: np.ndarray
    labels: Sequence[Any]
    are_predicted: bool
    method: str
    explained: float | None
    paths: Sequence[str | None]
    images: Callable[[Any], list[np.ndarray]]

    def plot(self, ax: Axes | None = None, *, thumbnails: int = 100) -> Axes:
        """Draws a point for each image, coloured by its label, and some of the images in their places.

        Args:
            ax: Matplotlib axes; default: new ones.
            thumbnails: How many images are drawn at most, spread over the map; 0 for points only.

        Returns:
            The axes; `.figure` is their figure.
        """
        rows, cell = spread_over(self.positions, thumbnails)
        pictures = Pictures(rows, self.images(rows), cell)
        ax = draw_image_map(self.positions, list(map(_text, self.labels)), pictures, ax=ax)
        ax.set_title(self._title, fontsize="medium")
        return ax

    @property
    def _title(self):
        share = f", {self.explained:.0%} of the variance" if self.explained is not None else ""
        colours = ", colours as predicted" if self.are_predicted else ""
        return f"{plural(len(self.positions), 'image')} by {self.method.upper()}{share}{colours}"

    @cached_property
    def _png(self):
        return png_of(self.plot().figure)

    def _repr_png_(self):
        return self._png

    def __repr__(self):
        return f"ImageMap({self._title})"


def map_images(
    fitted: FittedClassifier,
    x: Any,
    labels: Any = None,
    method: MapMethod = "auto",
    *,
    batch_size: int = 32,
    steps: int | None = None,
) -> ImageMap:
    """Places images in the plane by their features.

    Args:
        fitted: A `FittedClassifier`.
        x: Images; see `as_source`.
        labels: Labels to colour by; default: those that `x` brings, or what is predicted.
        method: `"pca"`, `"umap"` or `"auto"`: UMAP where it is installed and there are enough images for it.
        batch_size: Images a step.
        steps: Number of batches to read from a stream. Default: all, if it has an end.

    Raises:
        ValueError: If `method` is unknown.
        ImportError: If UMAP was asked for and is not installed.
        ImageReadError: If any image cannot be read.
    """
    _check_method(method)
    source = fitted.reader.source(x, labels, label_rule=LabelRule(is_required=None), steps=Steps(steps, "steps"))
    with console.step("Computing features", len(source)) as advance:
        features, probabilities = fitted.predictor.features_and_probabilities(source, batch_size, advance)
    are_predicted = source.labels is None
    if are_predicted:
        shown = fitted.task.labels(probabilities, fitted.class_names, fitted.thresholds).tolist()
    else:
        shown = [source.task.label_of(source, row) for row in range(len(source))]
    positions, used, explained = project(features, method)
    images = partial(fitted.reader.thumbnails, source)
    return ImageMap(positions, shown, are_predicted, used, explained, source.paths, images)


def project(features: np.ndarray, method: MapMethod = "auto") -> tuple[np.ndarray, str, float | None]:
    """Places rows of features in the plane.

    Args:
        features: `(n, num_features)`.
        method: `"pca"`, `"umap"` or `"auto"`.

    Returns:
        `(positions, method, explained)`: float32 `(n, 2)`, the method that was used, and for `"pca"` the share of the
        variance that two axes have.
    """
    if method == "umap" or (method == "auto" and has_umap() and len(features) >= _FEWEST_FOR_UMAP):
        return _umap(features), "umap", None
    positions, explained = _pca(features)
    return positions, "pca", explained


def has_umap() -> bool:
    """Whether UMAP is installed here."""
    return find_spec("umap") is not None


def _check_method(method):
    if method not in get_args(MapMethod):
        raise ValueError(f"`method` must be 'auto', 'pca' or 'umap'. Received: method={method!r}.")
    if method == "umap" and not has_umap():
        raise ImportError(
            "UMAP is not installed here. Install it with: pip install \"transferkit[umap]\", or use `method='pca'`."
        )


def _pca(features):
    """Returns the first two principal components, and their share of the variance."""
    num_axes = min(2, *features.shape)
    pca = PCA(num_axes, random_state=0)
    with np.errstate(invalid="ignore"):  # one image, or equal ones, have no variance
        places = pca.fit_transform(features)
    explained = float(np.nan_to_num(pca.explained_variance_ratio_, nan=1.0).sum()) if len(features) > 1 else 1.0
    return np.pad(places, ((0, 0), (0, 2 - num_axes))).astype("float32"), min(1.0, explained)


def _umap(features):
    """UMAP (McInnes, Healy & Melville, 2018) by the angle between features, the same in every run."""
    if len(features) < _FEWEST_FOR_UMAP:
        raise ValueError(
            f"UMAP needs at least {_FEWEST_FOR_UMAP} images. Received: {len(features)}. Use `method='pca'`."
        )
    from umap import UMAP

    with warnings_filtered(("ignore", UserWarning)):  # a seed keeps it from using several threads
        return UMAP(n_neighbors=_NEIGHBOURS, metric="cosine", random_state=0).fit_transform(features).astype("float32")


def _text(label):
    return (", ".join(map(str, label)) or "(none)") if isinstance(label, tuple) else str(label)
