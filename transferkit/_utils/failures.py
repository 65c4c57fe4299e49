"""Why an image cannot be read, in plain words."""

from PIL import Image, UnidentifiedImageError

_LONGEST = 200  # characters


def reason_of(error):
    """Says in a few words what an error means that was raised while an image was read."""
    if isinstance(error, UnidentifiedImageError):
        return "not an image that Pillow can identify"
    if isinstance(error, Image.DecompressionBombWarning | Image.DecompressionBombError):
        return f"more than {Image.MAX_IMAGE_PIXELS:,} pixels, which is what `PIL.Image.MAX_IMAGE_PIXELS` allows"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    lines = str(error).splitlines()
    return lines[0][:_LONGEST] if lines else type(error).__name__
