"""Cells that hold nothing, whatever stands for that."""


def is_missing(value):
    """Whether a value stands for none: `None`, NaN, NaT, the NA of pandas, or text without a visible letter."""
    if value is None:
        return True
    if isinstance(value, str | bytes):
        return not value.strip()
    if hasattr(value, "__len__"):
        return False
    try:
        return bool(value != value)
    except TypeError:  # the NA of pandas is neither true nor false
        return True


def missing_places(values):
    """Positions of the values that stand for none."""
    return [place for place, value in enumerate(values) if is_missing(value)]
