"""The one place that tells people what is going on: progress bars on a terminal, one line a step elsewhere.

Whoever has something to say calls `note` or `step` of this module; the method that a user has called says by
`speaking_to` how much of it is heard. Nobody in between hands a console on.
"""

import io
import logging
import sys
import time
from contextlib import contextmanager, nullcontext, redirect_stdout
from contextvars import ContextVar

from rich.console import Console as RichConsole
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from transferkit._utils.notebook import NotebookBar
from transferkit._utils.text import plural

logger = logging.getLogger("transferkit")


class Console:
    """Shows steps and notes to a person.

    Args:
        verbose: `"auto"` or `1`: progress bars with the time left on a terminal or in a notebook, one line a step
            elsewhere. `2`: one line a step everywhere. `0`: nothing at all; notes go to the `transferkit` logger.
        patience: Steps that take fewer seconds leave no line.
    """

    def __init__(self, verbose="auto", patience=1.0):
        if verbose not in ("auto", 0, 1, 2):
            raise ValueError(f"`verbose` must be 'auto', 0, 1 or 2. Received: verbose={verbose!r}.")
        self.is_silent = verbose == 0
        self._patience = patience
        self._rich = RichConsole(file=sys.stdout, highlight=False)
        self._has_bars = verbose in ("auto", 1) and (self._rich.is_terminal or self._rich.is_jupyter)

    def note(self, text):
        """Says something worth knowing that is not an error."""
        if self.is_silent:
            logger.info(text)
        else:
            print(_printable(text), file=sys.stdout, flush=True)

    def silence(self):
        """Keeps what others print from standard output, in silence only."""
        return redirect_stdout(io.StringIO()) if self.is_silent else nullcontext()

    @contextmanager
    def step(self, title, total, unit="image"):
        """Shows the progress of one step of `total` units. Steps that took less than `patience` leave no line.

        The line tells how many units were done, which may be fewer than were planned.

        Yields:
            A function to call with the number of units done since its last call.
        """
        start, done = time.perf_counter(), 0
        with self._bar(title, total) as (move, leave):

            def advance(count):
                nonlocal done
                done += count
                move(count)

            yield advance
        seconds = time.perf_counter() - start
        if seconds >= self._patience:
            rate = f" ({done / seconds:,.0f} a second)" if done >= 10 * seconds else ""
            leave(f"{title}: {plural(done, unit)} in {_duration(seconds)}{rate}")

    @contextmanager
    def _bar(self, title, total):
        """Yields what moves the bar, if there is one, and what leaves a line in its place."""
        if self.is_silent or not self._has_bars:
            yield lambda count: None, self.note
            return
        if self._rich.is_jupyter:
            bar = NotebookBar(title, total, patience=self._patience)
            yield bar.advance, lambda text: bar.replace(text) or self.note(text)
            return
        what = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
        when = TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn()
        with Progress(*what, *when, console=self._rich, transient=True) as progress:
            task = progress.add_task(title, total=total)
            yield lambda count: progress.advance(task, count), self.note


# Nobody listens until somebody says so: what is built by hand in a loop of one's own says nothing.
_NOBODY = Console(0)
_listening: ContextVar[Console] = ContextVar("transferkit_console", default=_NOBODY)


@contextmanager
def speaking_to(console):
    """Lets all that is said in this block be heard by one `Console`, whoever says it."""
    token = _listening.set(console)
    try:
        yield console
    finally:
        _listening.reset(token)


def note(text):
    """Says something worth knowing that is not an error."""
    _listening.get().note(text)


def step(title, total, unit="image"):
    """Shows the progress of one step; see `Console.step`."""
    return _listening.get().step(title, total, unit)


def silence():
    """Keeps what others print from standard output where nothing is to be heard."""
    return _listening.get().silence()


def is_silent():
    """Whether nothing is to be heard."""
    return _listening.get().is_silent


def _printable(text):
    """Text without what standard output cannot write, such as names of files that are not UTF-8."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _duration(seconds):
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)} min {seconds % 60:.0f} s"
