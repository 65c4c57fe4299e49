import errno
import os

import pytest
from PIL import Image, UnidentifiedImageError

from transferkit._utils.failures import reason_of

TRUNCATED = "image file is truncated (12 bytes not processed)"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            UnidentifiedImageError("cannot identify 'x.png'"),
            "not an image that Pillow can identify",
        ),
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES), "x.png"), "permission denied"),
        (
            OSError("image file is truncated (12 bytes not processed)"),
            "image file is truncated (12 bytes not processed)",
        ),
        (ValueError("first line\nsecond line"), "first line"),
        (ValueError("long" * 1000), "long" * 50),
        (KeyError(), "KeyError"),
    ],
)
def test_an_error_becomes_a_few_words(error, reason):
    assert reason_of(error) == reason


@pytest.mark.parametrize("kind", [Image.DecompressionBombWarning, Image.DecompressionBombError])
def test_an_image_that_is_too_large_names_the_limit(kind):
    reason = reason_of(kind("too many"))
    assert f"{Image.MAX_IMAGE_PIXELS:,} pixels" in reason
    assert "MAX_IMAGE_PIXELS" in reason
