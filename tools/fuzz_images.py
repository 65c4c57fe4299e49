"""Damages image files in many ways and gives them to `check_data`, `fit`, `predict_files` and `predict`.

Nothing may crash, hang or take much memory, every file that cannot be read must be named, and every other one must be
read. Prints what came out; the exit status is 1 if anything was wrong.

    python tools/fuzz_images.py --count 2000
"""

import argparse
import io
import resource
import struct
import sys
import tempfile
import time
import warnings
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

FORMATS = ("jpg", "png", "gif", "bmp", "tiff", "webp")
MODES = {
    "jpg": ("RGB", "L", "CMYK"),
    "png": ("RGB", "L", "P", "RGBA", "I;16", "1", "LA"),
    "gif": ("P", "L"),
    "bmp": ("RGB", "L", "P", "1"),
    "tiff": ("RGB", "L", "CMYK", "RGBA", "F", "1"),
    "webp": ("RGB", "RGBA"),
}
MOST_MEMORY = 2**31  # bytes beyond those in use before


def valid_file(rng):
    """Makes a small image file of any format. Returns its suffix and its bytes."""
    suffix = FORMATS[rng.integers(len(FORMATS))]
    mode = MODES[suffix][rng.integers(len(MODES[suffix]))]
    low = rng.integers(0, 256, (rng.integers(2, 9), rng.integers(2, 9), 3), dtype="uint8")
    image = Image.fromarray(low).resize(tuple(rng.integers(8, 150, 2).tolist()), Image.Resampling.BICUBIC)
    image = image.convert("L").convert("I;16") if mode == "I;16" else image.convert(mode)
    options = {}
    if suffix == "jpg":
        options = {"quality": int(rng.integers(20, 96)), "progressive": bool(rng.integers(2)), "exif": _exif(rng)}
    elif suffix == "tiff":
        options = {"compression": ("raw", "tiff_lzw", "tiff_deflate")[rng.integers(3)]}
    file = io.BytesIO()
    image.save(file, {"jpg": "JPEG"}.get(suffix, suffix.upper()), **options)
    return suffix, file.getvalue()


def _exif(rng):
    exif = Image.Exif()
    exif[0x0112] = int(rng.integers(1, 9))
    exif[0x010E] = "a description"
    return exif.tobytes()


def truncated(rng, suffix, data):
    return suffix, data[: rng.integers(1, len(data))]


def bits_flipped(rng, suffix, data):
    values = np.frombuffer(data, "uint8").copy()
    places = rng.integers(0, len(values), rng.integers(1, 20))
    values[places] ^= (1 << rng.integers(0, 8, len(places))).astype("uint8")
    return suffix, values.tobytes()


def header_damaged(rng, suffix, data):
    values = np.frombuffer(data, "uint8").copy()
    places = rng.integers(0, min(64, len(values)), 4)
    values[places] = rng.integers(0, 256, 4)
    return suffix, values.tobytes()


def wrong_extension(rng, suffix, data):
    return FORMATS[rng.integers(len(FORMATS))], data


def block_replaced(rng, suffix, data):
    start, length = rng.integers(0, len(data)), rng.integers(1, 200)
    filler = bytes(length) if rng.integers(2) else rng.bytes(length)
    return suffix, data[:start] + filler + data[start + length :]


def block_repeated(rng, suffix, data):
    first, last = np.sort(rng.integers(0, len(data), 2))
    return suffix, data[:last] + data[first:]


def empty(rng, suffix, data):
    return suffix, b""


def zero_bytes(rng, suffix, data):
    return suffix, bytes(rng.integers(1, 5000))


def random_bytes(rng, suffix, data):
    return suffix, rng.bytes(rng.integers(1, 5000))


def text(rng, suffix, data):
    return suffix, b"<html><body>404 Not Found</body></html>\n" * rng.integers(1, 50)


def absurd_dimensions(rng, suffix, data):
    """A PNG or BMP whose header promises far more pixels than there are."""
    width, height = (int(side) for side in rng.choice([0, 1, 2**16, 30000, 2**31 - 1, 2**20, 8000], 2))
    if rng.integers(2):
        return "bmp", b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return "png", _png(width, height, zlib.compress(bytes(100)))


def decompression_bomb(rng, suffix, data):
    """A PNG with all of its many pixels, which are zero and so take next to no bytes."""
    side = int(rng.choice([3000, 6000, 20000]))
    return "png", _png(side, side, _zeros(side * (side // 8 + 1)), bits=1)


def _zeros(count):
    packer = zlib.compressobj(1)
    pieces = [packer.compress(bytes(2**20)) for _ in range(count // 2**20)]
    return b"".join([*pieces, packer.compress(bytes(count % 2**20)), packer.flush()])


def _png(width, height, packed, bits=8):
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")


def _chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


USUAL = (truncated, bits_flipped, header_damaged, wrong_extension, block_replaced, block_repeated, zero_bytes)
RARE = (empty, random_bytes, text, absurd_dimensions, decompression_bomb)
SHARE_OF_RARE = 0.1


def write_files(folder, count, seed=0, rare=RARE):
    """Writes `count` damaged files into the class folders `a` and `b` of `folder`, with five whole ones in each.

    Returns:
        Dict from path to the name of what was done to it; `"whole"` for the others.
    """
    rng = np.random.default_rng(seed)
    kinds = {}
    for number in range(count + 10):
        suffix, data = valid_file(rng)
        name = "whole"
        if number >= 10:
            change = rare[rng.integers(len(rare))] if rng.random() < SHARE_OF_RARE else USUAL[rng.integers(len(USUAL))]
            name = change.__name__
            suffix, data = change(rng, suffix, data)
        path = folder / "ab"[number % 2] / f"{number:05d}-{name}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        kinds[str(path)] = name
    return kinds


def is_readable(path):
    """Whether training can read a file, found out in the way that training reads it."""
    from transferkit.data.decoder import RGB

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            RGB.decode(path)
    except Exception:
        return False
    return True


def problems_with(folder, kinds, tell=lambda text: None):
    """Runs everything on the files. Returns a list of what was wrong, in words."""
    from transferkit import ImageReadError, check_data

    report = check_data(folder, verbose=0)
    named = {item.image.name for item in report.unreadable}
    tell(f"check_data: {len(named)} of {len(kinds)} cannot be read")
    readable = {path for path in kinds if is_readable(path)}
    problems = [f"named, but it can be read: {path}" for path in sorted(readable & named)]
    problems += [f"not named, but it cannot be read: {path}" for path in sorted(set(kinds) - readable - named)]
    problems += [f"a whole file was named: {path}" for path in sorted(named) if kinds[path] == "whole"]

    clf = tiny_classifier().fit(str(folder))
    tell("fit: done")
    without_label = {result.path for result in clf.predict_files(str(folder)) if result.label is None}
    problems += [f"predict_files and check_data disagree: {path}" for path in sorted(without_label ^ named)]
    tell("predict_files: done")
    try:
        clf.predict(str(folder))
        problems += ["predict did not raise an error"] if named else []
    except ImageReadError as error:
        problems += [] if {name for _, name, _ in error.failures} == named else ["predict named other files"]
    if len(clf.predict(sorted(readable))) != len(readable):
        problems.append("predict left readable files out")
    tell("predict: done")
    return problems


def tiny_classifier():
    """A classifier of random weights, on images of 16 × 16 pixels."""
    import keras

    from transferkit import Checks, Compute, TransferClassifier

    image = keras.Input((16, 16, 3))
    features = keras.layers.Conv2D(4, 3, strides=2)(keras.layers.Rescaling(1 / 255)(image))
    return TransferClassifier(
        keras.Model(image, features), checks=Checks(on_bad_image="skip"), compute=Compute(cache=False), verbose=0
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000, help="number of damaged files")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kinds = write_files(Path(folder), args.count, args.seed)
        print(dict(Counter(kinds.values())))
        tiny_classifier()
        before, start = _peak_memory(), time.perf_counter()

        def tell(text):
            print(f"{time.perf_counter() - start:6.1f} s  {text}")

        problems = problems_with(Path(folder), kinds, tell)
        grown = _peak_memory() - before
    print(f"Peak memory grew by {grown / 2**20:,.0f} MB.")
    problems += [f"peak memory grew by more than {MOST_MEMORY / 2**20:,.0f} MB"] if grown > MOST_MEMORY else []
    print(*problems or ["Nothing was wrong."], sep="\n")
    sys.exit(bool(problems))


def _peak_memory():
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
