"""Heat maps: from features and their gradients to the cells of a map, to all pixels of an image, to colours on it."""

import matplotlib
import numpy as np
from PIL import Image


def grad_cam(features, gradients):
    """Computes the maps of Grad-CAM (Selvaraju et al., ICCV 2017, arXiv:1610.02391).

    Each channel counts by the mean of its gradient, and what speaks against the class is left out.

    Args:
        features: `(batch, rows, columns, channels)`.
        gradients: The gradient of the logit of a class with respect to them, of the same shape.

    Returns:
        float32 `(batch, rows, columns)`, at least 0.
    """
    weights = gradients.mean(axis=(1, 2), dtype="float32")
    return np.maximum(np.einsum("nrck,nk->nrc", features.astype("float32"), weights), 0)


def spread(grid, size, frame):
    """Spreads a map over the image that it is of, bilinearly.

    Args:
        grid: `(rows, columns)`: the map of what the network has seen.
        size: `(height, width)` of the image, in pixels.
        frame: What of the image the network has seen, from `ImageFormat.frame`.

    Returns:
        float32 `(height, width)`. Pixels outside the frame are 0.
    """
    top, left, height, width = frame
    down = _interpolation(grid.shape[0], size[0], top, height)
    across = _interpolation(grid.shape[1], size[1], left, width)
    return (down @ grid @ across.T).astype("float32")


def _interpolation(num_cells, length, start, framed):
    """Matrix `(length, num_cells)` from the cells along one axis to pixels, of which `framed` from `start` on count."""
    places = np.arange(length) + 0.5 - start
    cells = places * num_cells / framed - 0.5  # the middle of cell 0 is at 0
    matrix = np.stack([np.interp(cells, np.arange(num_cells), unit) for unit in np.eye(num_cells)], axis=1)
    return matrix * ((places > 0) & (places < framed))[:, np.newaxis]


def blend(image, heat, strength, colours):
    """Lays a heat map over an image, which is in gray so that its colours are not taken for heat.

    Args:
        image: uint8 `(height, width, 3)`.
        heat: `(height, width)` in `[0, 1]`.
        strength: Share of the colour where the heat is 1, in `[0, 1]`.
        colours: Name of a colour map of Matplotlib.

    Returns:
        uint8 `(height, width, 3)`. Where the heat is 0, it is the image in gray.

    Raises:
        ValueError: If there is no such colour map, or the strength is not in `[0, 1]`.
    """
    if colours not in matplotlib.colormaps:
        raise ValueError(
            f"Unknown colour map. Received: colours={colours!r}. Expected one that Matplotlib knows, such as 'turbo'."
        )
    if not 0 <= strength <= 1:
        raise ValueError(f"`strength` must be in [0, 1]. Received: strength={strength!r}.")
    gray = np.asarray(Image.fromarray(image).convert("L"), "float32")[..., np.newaxis]
    colour = 255 * matplotlib.colormaps[colours](heat)[..., :3]
    share = strength * heat[..., np.newaxis]
    return np.rint((1 - share) * gray + share * colour).astype("uint8")
