"""What in an image speaks for a class: Grad-CAM."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, overload

import keras
import numpy as np
from keras import ops
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from transferkit._utils import console
from transferkit._utils.figures import ShownFigure, png_of
from transferkit._utils.tensorflow import with_gradient
from transferkit._utils.text import listing, plural
from transferkit.backbones.stages import Stage, cut_tensor, exact_cuts, split_model
from transferkit.data.inputs.streams import Steps
from transferkit.data.labels.codes import encode_labels, label_array
from transferkit.data.resizing import ImageFormat
from transferkit.data.source import Source
from transferkit.exceptions import ImageReadError
from transferkit.fitted import FittedClassifier
from transferkit.frozen.compiling import compile_front
from transferkit.frozen.forward import iterate_model
from transferkit.inspection.heat_maps import blend, grad_cam, spread
from transferkit.inspection.images import as_rgb, draw_grid
from transferkit.models.assembly import components_of
from transferkit.models.heads import build_logits

_MOST_DRAWN = 8
_ALONE, _IN_A_ROW = 3.0, 2.0  # inches
_MOST_PROBABLE = -1


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """Which parts of one image speak for a class. A notebook shows it as a picture.

    Attributes:
        label: The class that the map is of.
        probability: What the classifier gives it, in `[0, 1]`.
        grid: The map as the network has it, float32 `(rows, columns)`, at least 0.
        source: The `Source` of this one image, which is read when it is asked for.
        image_format: The `ImageFormat` of the classifier.
    """

    label: Any
    probability: float
    grid: np.ndarray
    source: Source
    image_format: ImageFormat

    @property
    def name(self) -> str:
        """Path of the image or, where it has none, its number."""
        return self.source.name(0)

    @property
    def title(self) -> str:
        """The class and its probability."""
        return f"{self.label} {self.probability:.2f}" + (", but nothing speaks for it" if self.is_empty else "")

    @property
    def is_empty(self) -> bool:
        """Whether nothing in the image speaks for the class, so that the heat map is 0 everywhere."""
        return not self.grid.any()

    @property
    def image(self) -> np.ndarray:
        """The image at its own size, uint8 `(height, width, 3)`; where it is not RGB, the mean of its channels."""
        return as_rgb(self.image_format.decoder.decode(self.source.images[0]))

    @property
    def heat_map(self) -> np.ndarray:
        """The map over the whole image, float32 `(height, width)` in `[0, 1]`.

        1 is where the network finds most, which may be in the background that `resize="pad"` adds. What
        `resize="crop"` cuts off is 0: the network does not see it.
        """
        return self._heat_over(self.image)

    def overlay(self, *, strength: float = 0.7, colours: str = "turbo") -> np.ndarray:
        """Lays the heat map over the image, which is in gray.

        Args:
            strength: Share of the colour where the heat is 1, in `[0, 1]`. Where it is 0, only the image is seen.
            colours: Name of a colour map of Matplotlib.

        Returns:
            uint8 `(height, width, 3)`.
        """
        image = self.image
        return blend(image, self._heat_over(image), strength, colours)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draws the overlay, with class and probability above it. Returns the axes: `ax`, or those of a new figure."""
        ax = ShownFigure(layout="constrained").subplots() if ax is None else ax
        ax.imshow(self.overlay())
        ax.set_axis_off()
        ax.set_title(self.title)
        return ax

    def __repr__(self) -> str:
        return f"Explanation({self.name}: {self.title})"

    def _repr_png_(self) -> bytes:
        return png_of(draw_grid([[self.image, self.overlay()]], ["", self.title], _ALONE))

    def _heat_over(self, image: np.ndarray) -> np.ndarray:
        size = image.shape[0], image.shape[1]
        return spread(self.grid / (self.grid.max() or 1), size, self.image_format.frame(size))


@dataclass(frozen=True, eq=False, repr=False)
class Explanations(Sequence[Explanation]):
    """Which parts of images speak for a class: an `Explanation` for each, in the order of the images.

    A notebook shows the first of them. There may be many thousands: what is kept are the small maps of the network, and
    images only where they were in memory already.

    Attributes:
        labels: The class that each map is of, `(n,)`.
        probabilities: What the classifier gives these classes, `(n,)` float32.
        grids: The maps as the network has them, float32 `(n, rows, columns)`, at least 0.
        source: The `Source` of the images, which are read when they are asked for.
        image_format: The `ImageFormat` of the classifier.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    grids: np.ndarray
    source: Source
    image_format: ImageFormat

    def __len__(self) -> int:
        return len(self.labels)

    @overload
    def __getitem__(self, index: int) -> Explanation: ...

    @overload
    def __getitem__(self, index: slice) -> "Explanations": ...

    def __getitem__(self, index: int | slice) -> "Explanation | Explanations":
        rows = np.arange(len(self))[index]
        if isinstance(index, slice):
            parts = self.labels[rows], self.probabilities[rows], self.grids[rows]
            return Explanations(*parts, self.source.take(rows), self.image_format)
        label, probability = self.labels.tolist()[rows], float(self.probabilities[rows])
        return Explanation(label, probability, self.grids[rows], self.source.take([rows]), self.image_format)

    def plot(self, most: int = _MOST_DRAWN) -> Figure:
        """Draws the first images, and below each the same with its heat map.

        Args:
            most: Number of images at most.

        Returns:
            A `matplotlib.figure.Figure`, which notebooks show as the value of a cell and `figure.savefig(path)` writes.
        """
        drawn = list(self[:most])
        rows = [each.image for each in drawn], [each.overlay() for each in drawn]
        return draw_grid(rows, [each.title for each in drawn], _IN_A_ROW)

    def __repr__(self) -> str:
        return f"Explanations of {plural(len(self), 'image')}: {listing((each.title for each in self[:10]), 10)}"

    def _repr_png_(self) -> bytes:
        return self[0]._repr_png_() if len(self) == 1 else png_of(self.plot())


def explain(
    fitted: FittedClassifier,
    x: Any,
    *,
    classes: Any = None,
    stage: str | None = None,
    batch_size: int = 32,
    steps: int | None = None,
) -> Explanations:
    """Finds which parts of images speak for a class, by Grad-CAM (Selvaraju et al., ICCV 2017, arXiv:1610.02391).

    Args:
        fitted: A `FittedClassifier`.
        x: Images; see `as_source`.
        classes: The class to explain, or one for each image. Default: the most probable one of each.
        stage: Stage of the backbone at whose end the map is taken. Default: the last one, which the head sees.
        batch_size: Images a step.
        steps: Number of batches to read from a stream. Default: all, if it has an end.

    Returns:
        `Explanations`.

    Raises:
        ImageReadError: If any image cannot be read.
        ValueError: If there is no such stage or class, or no map there.
    """
    front, back = _split(fitted, stage)
    source = fitted.reader.source(x, steps=Steps(steps, "steps"))
    asked = _codes_of(classes, fitted.class_names, len(source))
    find = with_gradient(_scoring(fitted, back))
    found: list[tuple[np.ndarray, ...]] = []
    with console.step("Explaining", len(source)) as advance:
        start = 0
        for features in _features(fitted, front, source, batch_size):
            rows = slice(start, start := start + len(features))
            gradients, codes, probabilities = find(features, asked[rows])
            found.append((grad_cam(features, gradients), codes, probabilities))
            advance(len(features))
    grids, codes, probabilities = map(np.concatenate, zip(*found, strict=True))
    _tell_of_empty(grids)
    return Explanations(fitted.class_names[codes], probabilities, grids, source, fitted.image_format)


def _scoring(fitted: FittedClassifier, back: keras.Model | None) -> Callable:
    """Function of features and codes to the score of each code's class, the codes and their probabilities."""
    _, _, head = components_of(fitted.model)
    logits_of, activation = build_logits(head), head.get_layer("probabilities").activation
    is_relative = fitted.task.activation == "softmax"

    def score(features, asked):
        logits = logits_of(features if back is None else back(features, training=False), training=False)
        codes = ops.where(asked == _MOST_PROBABLE, ops.argmax(logits, axis=-1), asked)
        # Not the probability, which saturates. And since a softmax is the same when all logits grow alike, what counts
        # is how far one is above their mean. Those of the logistic head have the mean 0.
        scores = logits - ops.mean(logits, axis=-1, keepdims=True) if is_relative else logits

        def chosen(values):
            return ops.squeeze(ops.take_along_axis(values, codes[:, None], axis=1), axis=1)

        return chosen(scores), codes, chosen(activation(logits))

    return score


def _features(fitted: FittedClassifier, front: keras.Model, source: Source, batch_size: int) -> Iterator[np.ndarray]:
    """Computes the maps of all images in batches, as in prediction."""
    preprocessing, _, _ = components_of(fitted.model)
    stream = fitted.reader.stream_readable(source, batch_size)

    def compute(batch):
        return front(preprocessing(batch, training=False), training=False)

    # Compiling takes longer than computing less than a batch.
    is_many = len(source) >= batch_size
    model = compile_front((preprocessing, front), batch_size=batch_size) if is_many else compute
    # After the first image that cannot be read, the others are only read, so that the error can name all of them.
    yield from iterate_model(model, (images for _, images in stream if not stream.failures))
    if stream.failures:
        raise ImageReadError(stream.failures, len(source))


def _codes_of(classes: Any, class_names: np.ndarray, count: int) -> np.ndarray:
    """Code of the class that is asked for of each image, `(count,)`."""
    if classes is None:
        return np.full(count, _MOST_PROBABLE)
    if np.ndim(classes) == 0 and not isinstance(classes, set | frozenset | dict):
        classes = [classes] * count
    if len(classes) != count:
        raise ValueError(
            f"`classes` must be one class, or one for each image. Received: {len(classes)} classes and "
            f"{plural(count, 'image')}. To see several classes of one image, give the image as many times."
        )
    return encode_labels(label_array(classes), class_names)[0]


def _tell_of_empty(grids: np.ndarray) -> None:
    count = np.count_nonzero(~grids.any(axis=(1, 2)))
    if count:
        images = plural(len(grids), "image")
        console.note(f"In {count:,} of {images}, nothing speaks for the class: the heat map is 0 everywhere.")


# ---- where the map is taken ----


def _split(fitted: FittedClassifier, stage: str | None) -> tuple[keras.Model, keras.Model | None]:
    """Cuts the backbone where the map is taken. Returns what is before it, and what is between it and the head."""
    _, network, _ = components_of(fitted.model)
    stages = fitted.backbone.stages
    if stage in (None, stages[-1].name):
        _check_map(network.output_shape[1:], stage, network, stages)
        return network, None
    names = [each.name for each in stages]
    if stage not in names:
        raise ValueError(
            f"Unknown stage. Received: stage={stage!r}. The stages of this backbone are: {', '.join(names)}."
        )
    following = stages[names.index(stage) + 1]
    if following.name not in exact_cuts(network, stages):
        raise ValueError(
            f"There is no map after stage {stage!r} that all that follows is computed from. "
            f"{_advice(network, stages)}Received: stage={stage!r}."
        )
    front, back = split_model(network, stages, following.name)
    _check_map(front.output_shape[1:], stage, network, stages)
    return front, back


def _check_map(shape: tuple[int | None, ...], stage: str | None, network: keras.Model, stages: Sequence[Stage]) -> None:
    if not _is_map(shape):
        raise ValueError(
            f"An explanation needs a map of features with several places. Here it has the shape {shape}, where nothing "
            f"can be told apart by its place. {_advice(network, stages)}Received: stage={stage!r}."
        )


def _is_map(shape: tuple[int | None, ...]) -> bool:
    return len(shape) == 3 and shape[:2] != (1, 1)


def _advice(network: keras.Model, stages: Sequence[Stage]) -> str:
    """What to do where there is no map."""
    cuts = exact_cuts(network, stages)
    shapes = {
        stage.name: cut_tensor(network, following).shape[1:]
        for stage, following in pairwise(stages)
        if following.name in cuts
    }
    shapes[stages[-1].name] = network.output_shape[1:]
    maps = [f"{name!r} ({shape[0]} x {shape[1]})" for name, shape in shapes.items() if _is_map(shape)]
    if maps:
        return f"These stages end in one: {listing(maps, 20)}; give one of them as `stage`, the later the better. "
    return (
        "No stage of this backbone ends in one. Train on larger images or, if the backbone is a model of your own, on "
        "one that ends before its pooling: the head pools by itself. "
    )
