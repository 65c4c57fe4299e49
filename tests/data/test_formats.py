"""Every kind of image file, its pixels known before it was written."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from transferkit import TransferClassifier
from transferkit.data.inputs.convert import as_source
from transferkit.data.quality.inspection import find_unreadable
from transferkit.data.readers import read_pixels

ORANGE = (255, 165, 0)
RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (6, 9), dtype="uint8")
RGB = RNG.integers(0, 256, (6, 9, 3), dtype="uint8")
ALPHA = RNG.choice([0, 100, 255], (6, 9)).astype("uint8")
INDICES = RNG.integers(0, 5, (6, 9), dtype="uint8")
PALETTE = RNG.integers(0, 256, (5, 3), dtype="uint8")
DEEP = RNG.integers(0, 65536, (6, 9)).astype("uint16")
DARK = RNG.integers(0, 256, (6, 9)).astype("uint16")  # of 65,535 gray levels


def repeated(gray):
    return np.stack([gray] * 3, axis=-1)


def on_background(pixels, alpha):
    share = alpha[..., None] / 255
    return pixels * share + np.array(ORANGE) * (1 - share)


def indexed():
    image = Image.fromarray(INDICES).convert("P")
    image.putpalette(PALETTE.tobytes())
    return image


def with_alpha(mode):
    image = Image.fromarray(GRAY if mode == "LA" else RGB)
    image.putalpha(Image.fromarray(ALPHA))
    return image


def from_cmyk():
    bands = [Image.fromarray(band) for band in (*np.moveaxis(RGB, -1, 0), GRAY)]
    return Image.merge("CMYK", bands), (255.0 - RGB) * (255 - GRAY[..., None]) / 255


def save_deep_rgb(path):
    """A PNG of 16 bits a channel, which Pillow does not write."""
    pixels = np.stack([DEEP, DEEP[::-1], DEEP[:, ::-1]], axis=-1)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 9, 6, 16, 2, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    return pixels / 257


OTHER = Image.fromarray(255 - RGB)
FLAT = np.full((16, 16, 3), (200, 90, 30), "uint8")
ALPHAS = np.array([0, 60, 120, 200, 255], "uint8")

# By name: the image, options for writing it, the pixels expected, and by how much they may differ.
FILES = {
    "gray.png": (Image.fromarray(GRAY), {}, repeated(GRAY), 0),
    "gray.bmp": (Image.fromarray(GRAY), {}, repeated(GRAY), 0),
    "gray.tif": (Image.fromarray(GRAY), {}, repeated(GRAY), 0),
    "gray with a transparent level.png": (
        Image.fromarray(GRAY), {"transparency": int(GRAY[0, 0])},
        on_background(repeated(GRAY), np.where(GRAY[0, 0] == GRAY, 0, 255)), 0,
    ),
    "gray and alpha.png": (with_alpha("LA"), {}, on_background(repeated(GRAY), ALPHA), 1),
    "gray and alpha.tif": (with_alpha("LA"), {}, on_background(repeated(GRAY), ALPHA), 1),
    "two colours.png": (Image.fromarray(GRAY > 99), {}, repeated((GRAY > 99) * 255), 0),
    "two colours.tif": (Image.fromarray(GRAY > 99), {}, repeated((GRAY > 99) * 255), 0),
    "two colours.bmp": (Image.fromarray(GRAY > 99), {}, repeated((GRAY > 99) * 255), 0),
    "rgb.bmp": (Image.fromarray(RGB), {}, RGB, 0),
    "rgb.webp": (Image.fromarray(RGB), {"lossless": True}, RGB, 0),
    "rgb.jpg": (Image.fromarray(FLAT), {"quality": 95}, FLAT, 2),
    "rgb with a transparent colour.png": (
        Image.fromarray(RGB), {"transparency": tuple(RGB[0, 0].tolist())},
        on_background(RGB, np.where((RGB[0, 0] == RGB).all(axis=-1), 0, 255)), 0,
    ),
    "rgba.png": (with_alpha("RGBA"), {}, on_background(RGB, ALPHA), 1),
    "rgba.webp": (with_alpha("RGBA"), {"lossless": True, "exact": True}, on_background(RGB, ALPHA), 1),
    "rgba.tif": (with_alpha("RGBA"), {}, on_background(RGB, ALPHA), 1),
    "palette.png": (indexed(), {}, PALETTE[INDICES], 0),
    "palette.gif": (indexed(), {}, PALETTE[INDICES], 0),
    "palette.bmp": (indexed(), {}, PALETTE[INDICES], 0),
    "palette.tif": (indexed(), {}, PALETTE[INDICES], 0),
    "palette with a transparent colour.png": (
        indexed(), {"transparency": 2}, on_background(PALETTE[INDICES], np.where(INDICES == 2, 0, 255)), 0,
    ),
    "palette with a transparent colour.gif": (
        indexed(), {"transparency": 2}, on_background(PALETTE[INDICES], np.where(INDICES == 2, 0, 255)), 0,
    ),
    "palette with alpha.png": (
        indexed(), {"transparency": ALPHAS.tobytes()}, on_background(PALETTE[INDICES], ALPHAS[INDICES]), 1,
    ),
    "cmyk.tif": (from_cmyk()[0], {}, from_cmyk()[1], 1),
    "cmyk.jpg": (Image.fromarray(FLAT).convert("CMYK"), {"quality": 95}, FLAT, 3),
    "16 bits.png": (Image.fromarray(DEEP), {}, repeated(DEEP / 257), 0.5),
    "16 bits.tif": (Image.fromarray(DEEP), {}, repeated(DEEP / 257), 0.5),
    "16 bits.pgm": (Image.fromarray(DEEP.astype("int32")), {}, repeated(DEEP / 257), 0.5),
    "16 bits but dark.png": (Image.fromarray(DARK), {}, repeated(DARK / 257), 0.5),
    "16 bits but dark.tif": (Image.fromarray(DARK), {}, repeated(DARK / 257), 0.5),
    "16 bits but dark.pgm": (Image.fromarray(DARK.astype("int32")), {}, repeated(DARK / 257), 0.5),
    "floats.tif": (Image.fromarray(GRAY.astype("float32")), {}, repeated(GRAY), 0),
    "frames.gif": (indexed(), {"save_all": True, "append_images": [OTHER]}, PALETTE[INDICES], 0),
    "frames.webp": (
        Image.fromarray(RGB), {"save_all": True, "append_images": [OTHER], "lossless": True}, RGB, 0,
    ),
    "frames.png": (Image.fromarray(RGB), {"save_all": True, "append_images": [OTHER]}, RGB, 0),
    "pages.tif": (Image.fromarray(RGB), {"save_all": True, "append_images": [OTHER]}, RGB, 0),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_any_kind_gives_its_first_image_in_rgb(name, tmp_path):
    image, options, expected, tolerance = FILES[name]
    image.save(tmp_path / name, **options)
    assert not find_unreadable(as_source(tmp_path / name))
    pixels = read_pixels(tmp_path / name, 3, ORANGE)
    assert (pixels.dtype, pixels.shape) == ("uint8", expected.shape)
    assert np.abs(pixels - expected.astype(float)).max() <= tolerance + 1e-6
    with Image.open(tmp_path / name) as opened:
        assert np.array_equal(read_pixels(opened, 3, ORANGE), pixels)


def test_colours_of_16_bits_become_8(tmp_path):
    expected = save_deep_rgb(tmp_path / "deep.png")
    assert np.abs(read_pixels(tmp_path / "deep.png") - expected).max() < 1.0001


# By its number in EXIF: what is to be done to the stored image.
ORIENTATIONS = {
    1: lambda x: x,
    2: np.fliplr,
    3: lambda x: np.rot90(x, 2),
    4: np.flipud,
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: np.rot90(x, 2).swapaxes(0, 1),
    8: np.rot90,
}


@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
def test_every_orientation_is_applied(suffix, tmp_path):
    for number, turn in ORIENTATIONS.items():
        exif = Image.Exif()
        exif[0x0112] = number
        path = tmp_path / f"{number}.{suffix}"
        Image.fromarray(RGB).save(path, exif=exif, **({"lossless": True} if suffix == "webp" else {}))
        assert np.array_equal(read_pixels(path), turn(RGB)), number


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (GRAY / 255, "probably scaled"),
        (GRAY - 300.0, "Do not normalise"),
        (GRAY * np.nan, "NaN"),
        (GRAY * 300.0, "257"),
    ],
)
def test_floats_out_of_range_are_found_before_anything_is_computed(pixels, reason, tmp_path):
    Image.fromarray(pixels.astype("float32")).save(tmp_path / "floats.tif")
    ((_, _, why),) = find_unreadable(as_source(tmp_path / "floats.tif"))
    assert reason in why


def test_the_background_is_kept_with_the_model(tiny_backbone, tmp_path):
    """Transparent images are told apart by their background alone, in training and after loading."""
    images, labels = [np.full((16, 16, 3), level, "uint8") for level in (0, 255) * 4], ["dark", "light"] * 4
    for background, expected in [("black", "dark"), ("white", "light")]:
        clf = TransferClassifier(tiny_backbone, background=background, verbose=0).fit(images, labels)
        clf.save(tmp_path / "clf.keras")
        empty = Image.new("RGBA", (16, 16), (128, 128, 128, 0))
        assert clf.predict(empty) == expected
        assert TransferClassifier.load(tmp_path / "clf.keras").predict(empty) == expected
