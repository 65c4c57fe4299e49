"""Progress below a notebook cell. IPython is imported only where it runs."""

import time

_WIDTH = 30  # characters of a full bar
_BETWEEN_UPDATES = 0.2  # seconds


class NotebookBar:
    """A progress bar below a notebook cell that turns into one line of text in the end.

    It is one output that is updated, so that neither a widget nor an empty block stays behind. Steps that end within
    `patience` seconds never show it, since an output that is there cannot be taken away again.

    Args:
        title: What is done.
        total: Number of units.
        patience: Seconds before the bar appears.
    """

    def __init__(self, title, total, patience):
        self._title, self._total = title, total
        self._count = 0
        self._start = time.perf_counter()
        self._next = self._start + patience
        self._output = None

    def advance(self, count):
        """Adds to the number of units done."""
        self._count += count
        now = time.perf_counter()
        if now >= self._next:
            self._show(self._text(now - self._start))
            self._next = now + _BETWEEN_UPDATES

    def replace(self, text):
        """Puts a text where the bar is. Returns whether there was one."""
        if self._output is None:
            return False
        self._show(text)
        return True

    def _show(self, text):
        from IPython.display import display

        content = {"text/plain": text}
        if self._output is None:
            self._output = display(content, raw=True, display_id=True)
        else:
            self._output.update(content, raw=True)

    def _text(self, seconds):
        share = min(1.0, self._count / max(1, self._total))
        full = round(_WIDTH * share)
        left = f", {_clock(seconds * (1 - share) / share)} left" if share else ""
        bar = "━" * full + "─" * (_WIDTH - full)
        return f"{self._title} {bar} {self._count:,}/{self._total:,}, {_clock(seconds)}{left}"


def _clock(seconds):
    return f"{seconds // 3600:.0f}:{seconds // 60 % 60:02.0f}:{seconds % 60:02.0f}"
