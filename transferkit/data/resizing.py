"""Bringing images into one form in the input stream: the result of the model's preprocessing, faster."""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, Self, get_args

import numpy as np
from PIL import ImageColor
from scipy import sparse

from transferkit._utils.numbers import is_whole
from transferkit.data.decoder import Decoder

ResizeMode = Literal["stretch", "crop", "pad"]
RESIZE_MODES = get_args(ResizeMode)


@dataclass(frozen=True)
class ImageFormat:
    """The form that all images of a classifier are brought into.

    Args:
        size: Size that images are resized to, in pixels: an integer, `(height, width)`, or `None`: the size that the
            backbone was trained at.
        resize: What happens to images of another aspect ratio. `"stretch"`: they are distorted, and nothing of them is
            lost. `"crop"`: the largest part in their middle that has the right ratio is kept. `"pad"`: `background` is
            added on two sides.
        background: Colour behind transparent parts of an image and, for `resize="pad"`, beside it: a name that Pillow
            knows, or `"#rrggbb"`.
        channels: Number of channels of the images. 3: RGB, which gray images become, too. 1: gray images alone. Other
            numbers: arrays with that number of channels, `.npy` or TIFF files, for which the first convolution of the
            backbone is adapted; 16 bits are divided by 257.
        interpolation: `"bicubic"` or `"bilinear"`, always with antialiasing.

    Example:
        >>> from transferkit import ImageFormat, TransferClassifier
        >>> classifier = TransferClassifier(image_size=ImageFormat(160, resize="crop"))
    """

    size: int | tuple[int, int] | None = None
    resize: ResizeMode = "stretch"
    background: str = "white"
    channels: int = 3
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"

    def __post_init__(self):
        if self.size is not None:
            as_sides(self.size, "size")
        if isinstance(self.size, list):  # as JSON has it
            object.__setattr__(self, "size", tuple(self.size))
        if self.resize not in RESIZE_MODES:
            known = ", ".join(map(repr, RESIZE_MODES))
            raise ValueError(f"`resize` must be one of {known}. Received: resize={self.resize!r}.")
        if not is_whole(self.channels) or self.channels < 1:
            raise ValueError(f"`channels` must be an integer from 1. Received: channels={self.channels!r}.")
        if self.interpolation not in _KERNELS:
            known = ", ".join(map(repr, _KERNELS))
            raise ValueError(f"`interpolation` must be one of {known}. Received: interpolation={self.interpolation!r}.")
        _check_colour(self.background)

    @property
    def image_size(self) -> tuple[int, int]:
        """`(height, width)` in pixels."""
        if self.size is None:
            raise ValueError("This ImageFormat has no size yet: `for_backbone` gives it that of a backbone.")
        return as_sides(self.size, "size")

    def for_backbone(self, image_size: tuple[int, int]) -> Self:
        """Returns the format with a size and plain integers: its own or, where it has none, that of a backbone."""
        size = as_sides(image_size if self.size is None else self.size, "size")
        return replace(self, size=size, channels=int(self.channels))

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(height, width, channels)`."""
        return (*self.image_size, self.channels)

    @property
    def memory_dtypes(self) -> tuple[str, ...]:
        """What images may be kept as in memory, best first. Multi-spectral ones often use a small part of the range."""
        return ("float32", "uint8") if self.channels in (1, 3) else ("float32",)

    @property
    def background_levels(self) -> tuple[int, ...]:
        """The background in each channel, integers in `[0, 255]`; its luma where channels are not RGB."""
        if self.channels == 3:
            return ImageColor.getrgb(self.background)[:3]
        return (_luma(self.background),) * self.channels

    @property
    def decoder(self) -> Decoder:
        """The `Decoder` of such images: on their background, with their channels."""
        return Decoder(self.channels, self.background_levels)

    def frame(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Returns what of an image is resized: `(top, left, height, width)`, in pixels of the image.

        It goes beyond the image, the same on both sides, where background is added. The numbers are those of
        `keras.ops.image.resize`, down to what float32 makes of them; so the ratio is right to within two pixels.

        Args:
            size: `(height, width)` of the image.
        """
        if self.resize == "stretch":
            return 0, 0, *size
        (height, width), (new_height, new_width) = size, self.image_size
        same_width, same_height = _scaled(width, new_height, new_width), _scaled(height, new_width, new_height)
        if self.resize == "crop":
            new = max(min(height, same_width), 1), max(min(width, same_height), 1)
            return (height - new[0]) // 2, (width - new[1]) // 2, *new
        top, left = (max(height, same_width) - height) // 2, (max(width, same_height) - width) // 2
        return -top, -left, height + 2 * top, width + 2 * left


def _luma(colour):
    return ImageColor.getcolor("#{:02x}{:02x}{:02x}".format(*ImageColor.getrgb(colour)[:3]), "L")


def as_image_format(image_size):
    """Returns the `ImageFormat` that the argument `image_size` of a classifier stands for.

    Raises:
        ValueError: Unless it is one, a size, or `None`.
    """
    if isinstance(image_size, ImageFormat):
        return image_size
    return ImageFormat(None if image_size is None else as_sides(image_size))


def as_sides(size, name="image_size"):
    """Returns `(height, width)` of a size, an integer or a pair.

    Raises:
        ValueError: If it is neither, or not positive.
    """
    sides = (size, size) if is_whole(size) else size
    is_pair = isinstance(sides, tuple | list) and len(sides) == 2
    if not is_pair or not all(is_whole(side) and side > 0 for side in sides):
        raise ValueError(f"`{name}` must be an integer or (height, width). Received: {name}={size!r}.")
    return tuple(int(side) for side in sides)


def _check_colour(background):
    try:
        ImageColor.getrgb(background)
    except (ValueError, AttributeError, TypeError):
        raise ValueError(
            f"`background` must be a colour that Pillow knows, such as 'white' or '#808080'. "
            f"Received: background={background!r}."
        ) from None


def _scaled(length, numerator, denominator):
    # In float32 and cut to whole pixels, as `keras.ops.image.resize` computes it.
    return int(np.float32(length * numerator) / np.float32(denominator))


def resize_image(image, image_format):
    """Resizes an image with antialiasing, one axis after the other, each by a product with a sparse matrix.

    Gives what `tf.image.resize(image, image_size, interpolation, antialias=True)` gives, on x86 bit for bit, in a
    fifth of the processor time: its inner loop runs over the channels, of which an image has three, and here over a
    whole row of pixels; and it shares each image among threads, of which the stream has enough already.

    Args:
        image: Array `(height, width, channels)`, uint8 or float32.
        image_format: The `ImageFormat`.

    Returns:
        float32 array `(*image_size, channels)`.
    """
    image, image_size = _framed(image, image_format), image_format.image_size
    height, width, channels = image.shape
    rows = image.reshape(height, width * channels).astype("float32", copy=False)
    rows = _weights(height, image_size[0], image_format.interpolation) @ rows
    columns = _weights(width, image_size[1], image_format.interpolation, channels) @ rows.T
    return columns.T.reshape(*image_size, channels)


def _framed(image, image_format):
    """Cuts an image to its frame, or puts it on the background."""
    top, left, height, width = image_format.frame(image.shape[:2])
    if top >= 0 and left >= 0:
        return image[top : top + height, left : left + width]
    canvas = np.full((height, width, image.shape[2]), image_format.background_levels, image.dtype)
    canvas[-top : height + top, -left : width + left] = image
    return canvas


def resize_images(images, image_format):
    """Resizes a batch of images `(batch, height, width, channels)` as `resize_image` does."""
    if images.shape[1:3] == tuple(image_format.image_size):
        return images.astype("float32", copy=False)
    return np.stack([resize_image(image, image_format) for image in images])


@lru_cache(maxsize=512)
def _weights(length, size, interpolation, interleaved=1):
    """Makes the matrix that resizes an axis of some interleaved channels from `length` to `size` pixels.

    All in float32 and in the order of TensorFlow's `ScaleAndTranslate`, so that the last bit is the same.
    """
    radius, kernel = _KERNELS[interpolation]
    one = np.float32(1)
    step = one / (np.float32(size) / np.float32(length))  # pixels of the image for one of the result
    stretch = max(step, one)  # antialiasing: the kernel covers all pixels that become one
    centers = (np.arange(size, dtype="float32")[:, np.newaxis] + one / 2) * step
    first, last = np.ceil(centers - radius * stretch - 0.5), np.floor(centers + radius * stretch - 0.5)
    pixels = first + np.arange((last - first).max() + 1, dtype="float32")
    inside = (pixels >= 0) & (pixels <= last) & (pixels < length)
    weights = kernel(abs((pixels + one / 2 - centers) * (one / stretch))) * inside
    # A running sum adds from left to right, as TensorFlow does; `sum` adds in pairs, which differs in the last bit.
    weights *= one / weights.cumsum(axis=1)[:, -1:]
    entries = weights[inside], (np.nonzero(inside)[0], pixels[inside].astype(int))
    matrix = sparse.csr_array(entries, shape=(size, length))
    return sparse.kron(matrix, sparse.eye_array(interleaved, dtype="float32"), "csr")


def _triangle(x):
    return np.maximum(1 - x, 0)


def _keys_cubic(x):
    """The kernel with a = -0.5 of Keys, "Cubic convolution interpolation for digital image processing" (1981)."""
    near, far = ((1.5 * x - 2.5) * x) * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0))


_KERNELS = {"bilinear": (1, _triangle), "bicubic": (2, _keys_cubic)}
