"""Words for messages, and the order of names."""

import re


def plural(count, noun):
    """Counts a noun: `1 image`, `1,204 images`, `3 classes`."""
    if count == 1:
        return f"1 {noun}"
    return f"{count:,} {noun}es" if noun.endswith("s") else f"{count:,} {noun}s"


def listing(items, most=10):
    """Joins items by commas, the first `most` of them."""
    items = [str(item) for item in items]
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more


def bullets(lines, most=20):
    """Puts each line on a line of its own, indented, the first `most` of them."""
    lines = list(lines)
    more = [f"… and {len(lines) - most} more"] if len(lines) > most else []
    return "\n".join(f"  {line}" for line in lines[:most] + more)


def human_bytes(count):
    """Words for a number of bytes: `512 bytes`, `3.1 kB`, `41 MB`, `1.2 GB`."""
    if count < 1000:
        return plural(int(count), "byte")
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 999.5 or unit == "GB":
            return f"{count:.1f} {unit}" if count < 9.95 else f"{count:,.0f} {unit}"


def natural_key(name):
    """Sorts numbers inside names by value, so that `img10` comes after `img2`. Ties are broken by the text itself."""
    parts = re.split(r"(\d+)", str(name))
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], str(name)
