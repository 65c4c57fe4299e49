"""Every kind of image file, its pixels known before it was written."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from transferkit import ImageFormat, TransferClassifier
from transferkit.data.decoder import Decoder
from transferkit.data.inputs.convert import as_source
from transferkit.data.quality.inspection import inspect_images

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


def save_deep_png(path, pixels, transparency=None):
    """A PNG of 16 bits a channel, gray or RGB, which Pillow does not write with a transparent level."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", *pixels.shape[1::-1], 16, 2 * (pixels.ndim == 3), 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    level = b"" if transparency is None else chunk(b"tRNS", struct.pack(">H", transparency))
    data = chunk(b"IHDR", header) + level + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)


def save_gray_tiff(path, pixels, bits, *, is_signed=False, white_is_zero=False):
    """A TIFF of one strip, whose levels have this number of bits."""
    data = pixels.astype(f"<{'i' if is_signed else 'u'}{max(bits, 16) // 8}").tobytes()
    if bits == 12:
        data = np.packbits((pixels[..., None] >> np.arange(11, -1, -1)) & 1, axis=None).tobytes()
    height, width = pixels.shape
    tags = {
        256: width,
        257: height,
        258: bits,
        259: 1,
        262: int(not white_is_zero),
        273: 8,
        277: 1,
        278: height,
        279: len(data),
        339: 1 + is_signed,
    }
    entries = b"".join(
        struct.pack("<HHII", tag, 4 if tag in (273, 279) else 3, 1, value) for tag, value in tags.items()
    )
    path.write_bytes(
        b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(tags)) + entries + bytes(4)
    )


OTHER = Image.fromarray(255 - RGB)
FLAT = np.full((16, 16, 3), (200, 90, 30), "uint8")
ALPHAS = np.array([0, 60, 120, 200, 255], "uint8")

# By name: the image, options for writing it, the pixels expected, and by how much they may differ.
FILES = {
    "gray.png": (Image.fromarray(GRAY), {}, repeated(GRAY), 0),
    "gray.bmp": (Image.fromarray(GRAY), {}, repeated(GRAY), 0),
    "gray.tif": (Image.fromarray(GRAY), {}, repeated(GRAY), 0),
    "gray with a transparent level.png": (
        Image.fromarray(GRAY),
        {"transparency": int(GRAY[0, 0])},
        on_background(repeated(GRAY), np.where(GRAY[0, 0] == GRAY, 0, 255)),
        0,
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
        Image.fromarray(RGB),
        {"transparency": tuple(RGB[0, 0].tolist())},
        on_background(RGB, np.where((RGB[0, 0] == RGB).all(axis=-1), 0, 255)),
        0,
    ),
    "rgba.png": (with_alpha("RGBA"), {}, on_background(RGB, ALPHA), 1),
    "rgba.webp": (with_alpha("RGBA"), {"lossless": True, "exact": True}, on_background(RGB, ALPHA), 1),
    "rgba.tif": (with_alpha("RGBA"), {}, on_background(RGB, ALPHA), 1),
    "palette.png": (indexed(), {}, PALETTE[INDICES], 0),
    "palette.gif": (indexed(), {}, PALETTE[INDICES], 0),
    "palette.bmp": (indexed(), {}, PALETTE[INDICES], 0),
    "palette.tif": (indexed(), {}, PALETTE[INDICES], 0),
    "palette with a transparent colour.png": (
        indexed(),
        {"transparency": 2},
        on_background(PALETTE[INDICES], np.where(INDICES == 2, 0, 255)),
        0,
    ),
    "palette with a transparent colour.gif": (
        indexed(),
        {"transparency": 2},
        on_background(PALETTE[INDICES], np.where(INDICES == 2, 0, 255)),
        0,
    ),
    "palette with alpha.png": (
        indexed(),
        {"transparency": ALPHAS.tobytes()},
        on_background(PALETTE[INDICES], ALPHAS[INDICES]),
        1,
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
        Image.fromarray(RGB),
        {"save_all": True, "append_images": [OTHER], "lossless": True},
        RGB,
        0,
    ),
    "frames.png": (Image.fromarray(RGB), {"save_all": True, "append_images": [OTHER]}, RGB, 0),
    "pages.tif": (Image.fromarray(RGB), {"save_all": True, "append_images": [OTHER]}, RGB, 0),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_any_kind_gives_its_first_image_in_rgb(name, tmp_path):
    image, options, expected, tolerance = FILES[name]
    image.save(tmp_path / name, **options)
    assert not inspect_images(as_source(tmp_path / name)).failures
    pixels = Decoder(3, ORANGE).decode(tmp_path / name)
    assert (pixels.dtype, pixels.shape) == ("uint8", expected.shape)
    assert np.abs(pixels - expected.astype(float)).max() <= tolerance + 1e-6
    with Image.open(tmp_path / name) as opened:
        assert np.array_equal(Decoder(3, ORANGE).decode(opened), pixels)


def test_colours_of_16_bits_become_8(tmp_path):
    pixels = np.stack([DEEP, DEEP[::-1], DEEP[:, ::-1]], axis=-1)
    save_deep_png(tmp_path / "deep.png", pixels)
    assert np.abs(Decoder().decode(tmp_path / "deep.png") - pixels / 257).max() < 1.0001


def test_a_transparent_level_of_16_bits_shows_the_background(tmp_path):
    save_deep_png(tmp_path / "deep.png", DEEP, int(DEEP[2, 3]))
    expected = on_background(repeated(DEEP / 257), np.where(DEEP[2, 3] == DEEP, 0, 255))
    assert np.abs(Decoder(3, ORANGE).decode(tmp_path / "deep.png") - expected).max() <= 0.5
    assert Decoder(1, (40,)).decode(tmp_path / "deep.png")[2, 3] == 40


@pytest.mark.parametrize("share", [1, 0.02])
@pytest.mark.parametrize(
    ("bits", "options"),
    [
        (12, {}),
        (16, {}),
        (16, {"white_is_zero": True}),
        (16, {"is_signed": True}),
        (32, {}),
        (32, {"is_signed": True}),
    ],
)
def test_levels_of_a_tiff_file_are_scaled_by_the_bits_that_it_declares(bits, options, share, tmp_path):
    most = 2 ** (bits - options.get("is_signed", False)) - 1
    pixels = (RNG.random((6, 8)) * most * share).astype("int64")
    pixels[0, 0] = most * share
    save_gray_tiff(tmp_path / "deep.tif", pixels, bits, **options)
    expected = pixels / most * 255
    if options.get("white_is_zero"):
        expected = 255 - expected
    assert not inspect_images(as_source(tmp_path / "deep.tif")).failures
    found = Decoder(1).decode(tmp_path / "deep.tif")[..., 0]
    assert np.abs(found - expected).max() <= 0.5 + 1e-4
    with Image.open(tmp_path / "deep.tif") as opened:
        assert np.array_equal(Decoder(1).decode(opened)[..., 0], found)


def test_floats_whose_white_is_zero_are_turned_round(tmp_path):
    Image.fromarray(GRAY.astype("float32")).save(tmp_path / "floats.tif", tiffinfo={262: 0})
    assert np.array_equal(Decoder(1).decode(tmp_path / "floats.tif")[..., 0], 255 - GRAY)


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [(GRAY.astype("int32"), "in 8 bits it would be black"), (GRAY.astype("int32") - 300, "negative gray levels")],
)
def test_levels_that_do_not_fit_the_declared_bits_are_refused(pixels, reason, tmp_path):
    Image.fromarray(pixels).save(tmp_path / "deep.tif")
    ((_, _, why),) = inspect_images(as_source(tmp_path / "deep.tif")).failures
    assert reason in why


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
        assert np.array_equal(Decoder().decode(path), turn(RGB)), number


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
    ((_, _, why),) = inspect_images(as_source(tmp_path / "floats.tif")).failures
    assert reason in why


def test_the_background_is_kept_with_the_model(tiny_backbone, tmp_path):
    """Transparent images are told apart by their background alone, in training and after loading."""
    images, labels = [np.full((16, 16, 3), level, "uint8") for level in (0, 255) * 4], ["dark", "light"] * 4
    for background, expected in [("black", "dark"), ("white", "light")]:
        clf = TransferClassifier(tiny_backbone, image_size=ImageFormat(background=background), verbose=0)
        clf.fit(images, labels)
        clf.save(tmp_path / "clf.keras")
        empty = Image.new("RGBA", (16, 16), (128, 128, 128, 0))
        assert clf.predict(empty) == expected
        assert TransferClassifier.load(tmp_path / "clf.keras").predict(empty) == expected
