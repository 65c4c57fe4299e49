"""Which images are the same: groups of them, exact and near."""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from transferkit.data.quality.similarity import similar_pairs

_MOST_TOGETHER = 0.1  # share of all images
_FEW = 10


def exact_groups(prints):
    """Numbers the contents of images: `(n,)` int64, equal for equal rows of `prints`, `(n, 16)` uint8."""
    rows = np.ascontiguousarray(prints)
    return np.unique(rows.view(f"V{rows.shape[1]}").ravel(), return_inverse=True)[1].astype(np.int64)


def duplicate_groups(prints, thumbnails=None, groups=None):
    """Numbers groups of images that belong together, so that a split can keep each on one side.

    Args:
        prints: `(n, 16)` uint8, from `inspect_images`.
        thumbnails: `(n, 32, 32)` uint8 to find near-duplicates by as well, or `None`.
        groups: `(n,)` groups that the user gave, or `None`. What shares one of them is in one group of the result, too.

    Returns:
        `(n,)` int64, from 0. What is a duplicate of a duplicate is in the same group.

    Raises:
        ImportError: If there are thumbnails, but ImageHash is not installed.
    """
    exact = exact_groups(prints)
    kinds, firsts = np.unique(exact, return_index=True)
    edges = [np.empty((0, 2), np.int64)]
    if thumbnails is not None:
        # One image of each content is enough to compare.
        edges.append(exact[firsts][similar_pairs(thumbnails[firsts])])
    count = len(kinds)
    if groups is not None:  # one more node for each of them
        codes = np.unique(np.asarray(groups), return_inverse=True)[1]
        edges.append(np.stack([exact, len(kinds) + codes], axis=1))
        count += int(codes.max(initial=-1)) + 1
    first, second = np.concatenate(edges).T
    graph = coo_array((np.ones(len(first), bool), (first, second)), shape=(count, count))
    components = connected_components(graph, directed=False)[1]
    return np.unique(components[exact], return_inverse=True)[1].astype(np.int64)


def members_of(groups, is_wanted=True):
    """Lists the members of groups of two or more.

    Args:
        groups: `(n,)` int64 from 0.
        is_wanted: `(n,)` bool, the same for all members of a group, to list some of them only.

    Returns:
        List of sorted index arrays, in the order of their first members.
    """
    rows = np.flatnonzero((np.bincount(groups) > 1)[groups] & is_wanted)
    rows = rows[np.argsort(groups[rows], kind="stable")]
    found = np.split(rows, np.flatnonzero(np.diff(groups[rows])) + 1) if len(rows) else []
    return sorted(found, key=lambda members: members[0])


def without_large_groups(groups):
    """Dissolves groups of more than ten images and a tenth of all: such images are of one kind rather than the same.

    Args:
        groups: `(n,)` int64 from 0.

    Returns:
        The same, or `None` if no group of two or more is left.
    """
    is_large = np.bincount(groups)[groups] > max(_FEW, _MOST_TOGETHER * len(groups))
    kept = np.where(is_large, groups.max(initial=0) + 1 + np.arange(len(groups)), groups)
    return kept if len(np.unique(kept)) < len(kept) else None


def join_groups(groups, others):
    """Joins two ways of grouping the same images: what shares a group in one of them does in the result.

    Args:
        groups: `(n,)` integers.
        others: `(n,)` integers, or `None` for none.
    """
    if others is None:
        return groups
    first, second = (np.unique(values, return_inverse=True)[1] for values in (groups, others))
    count = first.max() + 1
    graph = coo_array((np.ones(len(first), bool), (first, count + second)), shape=(2 * len(first) + 1,) * 2)
    return connected_components(graph, directed=False)[1][first]
