"""HTML in which whatever is text is escaped, whoever wrote it."""

import re
from html import escape

_VOID = frozenset(("img", "meta", "link", "br", "hr"))
# Control characters, which HTML cannot hold, marks that turn the order of the text around them, halves of characters.
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


class Markup(str):
    """HTML, as opposed to text, which has to be escaped to become HTML."""


def markup_of(part):
    """Returns HTML as it is, a sequence of parts as its parts, nothing for `None`, and all else as escaped text."""
    if part is None:
        return Markup("")
    if isinstance(part, Markup):
        return part
    if isinstance(part, list | tuple):
        return Markup("".join(map(markup_of, part)))
    return Markup(escape(printable(part)))


def printable(text):
    """Text in which `�` stands for what no page can show."""
    return _UNFIT.sub("\ufffd", str(text))


def tag(name, /, *parts, **attributes):
    """Returns an HTML element.

    Args:
        name: Its name, such as `"p"`.
        *parts: What is in it; see `markup_of`.
        **attributes: Its attributes. `class_` is `class`, other underscores are hyphens. Those that are `None` or
            `False` are left out, those that are `True` have no value.
    """
    shown = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items()}
    written = "".join(
        f" {key}" if value is True else f' {key}="{escape(printable(value))}"'
        for key, value in shown.items()
        if value is not None and value is not False
    )
    end = "" if name in _VOID else f"{markup_of(parts)}</{name}>"
    return Markup(f"<{name}{written}>{end}")


def named(text):
    """A name of the user's, whose direction of writing does not change what stands around it."""
    return tag("bdi", text)
