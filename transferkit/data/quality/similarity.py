"""Images that look the same: brighter, compressed again, cropped a little.

Each step looks closer at fewer pairs. A thumbnail's low frequencies, which a small crop hardly moves, give candidates;
the second looks are a fit of one thumbnail to the other, with a small shift and zoom allowed, and the perceptual hash
of ImageHash. Thresholds were chosen on 10,000 images of CIFAR-10 and 5,000 changed versions, of other draws than
those in `benchmarks/quality.py`.
"""

from importlib.util import find_spec

import numpy as np
from PIL import Image
from scipy.fft import dct

_FREQUENCIES = 6  # along each side
_LEAST_CONTRAST = 2.0  # standard deviation in gray levels; flatter images have nothing to compare
_CANDIDATE = 0.88  # least correlation of low frequencies
_COARSE = 0.88  # least correlation at half the size of thumbnails
_ALIKE = 0.9  # least correlation in the end, ...
_MOST_BITS = 8  # ... for which this number of the 64 bits of two hashes may differ, ...
_BITS_FOR_MORE = 120  # ... and this many more for a correlation that is higher by 1
_MOST_SHIFT = 3.0  # pixels of a thumbnail: a tenth of its side
_NEIGHBOURS = 8  # candidates followed for each image, the nearest
_BLOCK = 1024  # rows compared at a time
_BUCKET = 512  # images for each anchor
_ANCHORS = 3  # buckets that each image is in
_COMPARED_AT_ONCE = 16384  # as many images are compared with each other without buckets

PIP_LINE = 'pip install "transferkit[check]"'


def has_imagehash():
    """Whether near-duplicates can be looked for here."""
    return find_spec("imagehash") is not None


def similar_pairs(thumbnails):
    """Finds pairs of images that look the same.

    Up to 16,384 images are all compared with each other, at a matrix product's speed. Of more, those are that share one
    of the three nearest of `n / 512` anchors, which are images drawn at random; so the work hardly grows faster than
    the number of images.

    Args:
        thumbnails: `(n, side, side)` uint8 gray levels, `side` even.

    Returns:
        `(m, 2)` int64 indices, the smaller first. Images with more than eight others like them are paired with the
        nearest of those.

    Raises:
        ImportError: If ImageHash is not installed.
    """
    pairs = _candidates(_low_frequencies(thumbnails))
    pairs = pairs[_fit(thumbnails, pairs, 2) >= _COARSE]
    closeness = _fit(thumbnails, pairs, 1)
    pairs, closeness = pairs[closeness >= _ALIKE], closeness[closeness >= _ALIKE]
    return pairs[_hash_distances(thumbnails, pairs) <= _MOST_BITS + _BITS_FOR_MORE * (closeness - _ALIKE)]


def _low_frequencies(thumbnails):
    """Low frequencies of thumbnails without their mean, `(n, 35)` float32 of norm 1; of flat images, zeros."""
    side = thumbnails.shape[-1]
    waves = dct(np.eye(side, dtype=np.float32), axis=0, norm="ortho")[:_FREQUENCIES]
    values = np.empty((len(thumbnails), _FREQUENCIES**2 - 1), np.float32)
    for start in range(0, len(values), _BLOCK):
        block = thumbnails[start : start + _BLOCK].astype(np.float32)
        values[start : start + _BLOCK] = (waves @ block @ waves.T).reshape(len(block), -1)[:, 1:]
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    return np.where(norms >= _LEAST_CONTRAST * side, values / np.maximum(norms, 1), 0)


def _candidates(vectors):
    """Pairs of unit vectors whose product is at least `_CANDIDATE`: `(m, 2)` int64, the smaller index first."""
    found = [np.empty((0, 2), np.int64)]
    for members in _buckets(vectors):
        for start in range(0, len(members), _BLOCK):
            found.append(_near_in_block(vectors, members[start : start + _BLOCK], members[start:]))
    pairs = np.concatenate(found)
    codes = np.unique(pairs[:, 0] * len(vectors) + pairs[:, 1])
    return np.stack(np.divmod(codes, max(1, len(vectors))), axis=1)


def _near_in_block(vectors, rows, others):
    """Pairs of one of `rows` with a later one of `others`, which begin with them; for each row, its nearest."""
    products = vectors[rows] @ vectors[others].T
    products[:, : len(rows)] = np.triu(products[:, : len(rows)], 1)  # `others` begins with `rows`
    first, second = np.divmod(np.flatnonzero(products.ravel() >= _CANDIDATE), len(others))
    crowded = np.flatnonzero(np.bincount(first, minlength=len(rows)) > _NEIGHBOURS)
    if len(crowded):
        nearest = np.argpartition(-products[crowded], _NEIGHBOURS, axis=1)[:, :_NEIGHBOURS]
        others_of = ~np.isin(first, crowded)
        first = np.concatenate([first[others_of], np.repeat(crowded, _NEIGHBOURS)])
        second = np.concatenate([second[others_of], nearest.ravel()])
    return np.stack([rows[first], others[second]], axis=1)


def _buckets(vectors):
    """Sorted index arrays; vectors that are near each other share at least one of them, but for rare cases."""
    count = len(vectors)
    if count <= _COMPARED_AT_ONCE:
        return [np.arange(count)]
    anchors = vectors[np.random.default_rng(0).choice(count, count // _BUCKET, replace=False)]
    blocks = (vectors[start : start + _BLOCK] @ anchors.T for start in range(0, count, _BLOCK))
    nearest = np.concatenate([np.argpartition(-block, _ANCHORS, axis=1)[:, :_ANCHORS] for block in blocks]).ravel()
    order = np.argsort(nearest, kind="stable")
    return np.split(order // _ANCHORS, np.flatnonzero(np.diff(nearest[order])) + 1)


def _fit(thumbnails, pairs, factor):
    """How well one image of each pair can be made of the other one, the worse of both directions: `(m,)` in [0, 1].

    Args:
        thumbnails: `(n, side, side)` uint8.
        pairs: `(m, 2)` indices.
        factor: By how much thumbnails are made smaller first.
    """
    result = np.empty(len(pairs), np.float32)
    for start in range(0, len(pairs), _BLOCK // 4):
        block = pairs[start : start + _BLOCK // 4]
        first, second = (_smoothed(thumbnails[block[:, side]], factor) for side in (0, 1))
        result[start : start + len(block)] = np.minimum(
            _correlation(first, second, factor), _correlation(second, first, factor)
        )
    return result


def _smoothed(thumbnails, factor):
    """Means of squares of `factor` pixels or, if that is 1, a small blur, which lets shifts be seen as slopes."""
    images = thumbnails.astype(np.float32)
    if factor > 1:
        count, side, _ = images.shape
        return images.reshape(count, side // factor, factor, side // factor, factor).mean(axis=(2, 4))
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows = (padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]) / 4
    return (rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]) / 4


def _correlation(sources, targets, factor):
    """Correlation of targets with what becomes of sources by gain, offset, a shift and a zoom, both to first order."""
    count, side, _ = sources.shape
    down, across = np.gradient(sources, axis=(1, 2))
    place = np.linspace(-1, 1, side, dtype=np.float32)
    changes = [sources, across, down, across * place, down * place[:, None]]
    basis = np.stack([change.reshape(count, -1) for change in changes], axis=1)
    basis -= basis.mean(axis=2, keepdims=True)
    wanted = targets.reshape(count, -1)
    wanted = wanted - wanted.mean(axis=1, keepdims=True)
    gram = (basis @ basis.transpose(0, 2, 1)).astype(np.float64)
    moments = (basis @ wanted[:, :, None]).astype(np.float64)
    weights = np.linalg.solve(gram + 1e-3 * np.eye(len(changes)), moments)
    explained = (weights * moments).sum(axis=(1, 2)) / np.maximum((wanted**2).sum(axis=1), 1e-6)
    gain, moves = weights[:, 0, 0], np.abs(weights[:, 1:, 0]).max(axis=1)
    is_small_move = (gain > 0) & (moves * factor <= _MOST_SHIFT * gain)
    return np.where(is_small_move, np.sqrt(np.clip(explained, 0, 1)), 0)


def _hash_distances(thumbnails, pairs):
    """Number of bits in which the perceptual hashes of pairs differ, of 64: `(m,)`."""
    from imagehash import phash

    if len(pairs) == 0:
        return np.zeros(0, np.int64)
    rows, places = np.unique(pairs, return_inverse=True)
    bits = np.array([phash(Image.fromarray(thumbnails[row])).hash.ravel() for row in rows])
    first, second = places.reshape(-1, 2).T
    return (bits[first] != bits[second]).sum(axis=1)
