"""The command `transferkit`. It starts without Keras and TensorFlow."""

import argparse
import sys
from datetime import datetime
from pathlib import Path

from transferkit._utils.folders import default_folder
from transferkit._utils.text import human_bytes
from transferkit._version import __version__
from transferkit.cache.folder import max_bytes
from transferkit.cache.store import Store

_LONGEST_TITLE = 100


def main(argv=None):
    """Runs the command.

    Args:
        argv: List of its arguments; default: those of the process.

    Returns:
        Exit status: 0, or 2 if it could not be done, which is then said on standard error.
    """
    arguments = _build_parser().parse_args(argv)
    try:
        arguments.run(arguments)
    except (OSError, ValueError) as error:
        _print(f"transferkit: {error}", sys.stderr)
        return 2
    return 0


def _build_parser():
    parser = argparse.ArgumentParser("transferkit", description="Transfer learning of image classifiers with Keras 3.")
    parser.add_argument("--version", action="version", version=f"transferkit {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="command", required=True)
    _add_cache_command(commands)
    return parser


def _add_cache_command(commands):
    text = "Show or remove the activations of frozen networks that are kept for later runs."
    parser = commands.add_parser("cache", help=text, description=text)
    parser.add_argument("--clear", action="store_true", help="remove all of them")
    parser.add_argument("--folder", type=_folder, help="where they are; default: where transferkit keeps them")
    parser.set_defaults(run=_run_cache)


def _folder(text):
    if not text:  # `Path` would take it for the current directory
        raise argparse.ArgumentTypeError("the name of a folder is empty")
    return Path(text)


def _run_cache(arguments):
    if arguments.folder and not arguments.folder.is_dir():
        raise FileNotFoundError(f"There is no folder '{arguments.folder}'.")
    store = Store(arguments.folder or default_folder(), max_bytes())
    if arguments.clear:
        _clear(store)
    else:
        _print(_describe(store))


def _clear(store):
    freed = store.clear()
    if left := sum(table.bytes for table in store.contents()):
        raise OSError(
            f"{human_bytes(left)} in '{store.folder}' could not be removed: they are in use or belong to another user."
        )
    _print(f"Removed {human_bytes(freed)} from {store.folder}")


def _describe(store):
    tables = store.contents()
    if not tables:
        return f"Nothing is kept in {store.folder}"
    table = [("activations", "images", "size", "last used")]
    table += [
        (_shown(table.title[:_LONGEST_TITLE]), f"{table.rows:,}", human_bytes(table.bytes), _when(table.last_used))
        for table in tables
    ]
    total = human_bytes(sum(table.bytes for table in tables))
    return "\n".join([*_align(table), "", f"{total} of at most {human_bytes(store.max_bytes)}, in {store.folder}"])


def _when(timestamp):
    try:
        return datetime.fromtimestamp(timestamp).strftime("%Y-%m-%d %H:%M")
    except (OSError, OverflowError, ValueError):  # of a file with a time beyond all years
        return "unknown"


def _align(table):
    """Lines of a table: the first and last column to the left, numbers between them to the right."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        f"{title:<{widths[0]}}  {images:>{widths[1]}}  {size:>{widths[2]}}  {used}"
        for title, images, size, used in table
    ]


def _print(text, file=None):
    """Prints lines of what is for people, in which there may be names of files."""
    file = file or sys.stdout
    encoding = file.encoding or "utf-8"
    lines = "\n".join(map(_shown, text.split("\n")))
    print(lines.encode(encoding, "backslashreplace").decode(encoding), file=file)


def _shown(text):
    """Text from a file with nothing in it that gives orders to a terminal."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)
