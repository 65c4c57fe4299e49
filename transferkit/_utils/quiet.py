"""Keeping warnings that have nothing to say to our users from them, in all threads."""

import warnings
from collections import Counter
from contextlib import contextmanager
from threading import Lock

_MARK = "(?#transferkit)"  # a comment in the pattern: no filter of anybody else is equal to one of ours

_lock = Lock()
_users: Counter = Counter()  # of each group of filters
_lists: list[list] = []  # that ours were put into: `warnings.catch_warnings` elsewhere exchanges the list for a while


@contextmanager
def warnings_filtered(*filters):
    """Puts filters of warnings before those of the process, for all of its threads, while the block runs.

    `warnings.catch_warnings` would exchange the whole list and put the old one back. Of two threads in it at once, the
    one that leaves last puts back the filters of the other, for good. Here each only adds and removes what is its own.

    Args:
        filters: Tuples of an action, a class of warnings and, if that is not all, a pattern for the beginning of their
            text. The first one that fits decides.
    """
    # Python 3.14 can give each thread filters of its own, but a usual build does so with `-X context_aware_warnings`
    # only. This may go when that is the default of the oldest Python that we support.
    with _lock:
        _users[filters] += 1
        for action, category, *pattern in reversed(filters):
            warnings.filterwarnings(action, _MARK + "".join(pattern), category)
        if not any(known is warnings.filters for known in _lists):
            _lists.append(warnings.filters)
    try:
        yield
    finally:
        with _lock:
            _users[filters] -= 1
            if not _users[filters]:
                del _users[filters]
                _remove(_marked(filters))
            if not _users:
                _lists.clear()


def _marked(filters):
    return {(action, _MARK + "".join(pattern), category) for action, category, *pattern in filters}


def _remove(ours):
    for known in [*_lists, warnings.filters]:
        known[:] = [item for item in known if not (item[1] and (item[0], item[1].pattern, item[2]) in ours)]
