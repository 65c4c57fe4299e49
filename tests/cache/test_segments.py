import sys
from zlib import crc32

import numpy as np
import pytest

from transferkit.cache import segments
from transferkit.cache.segments import count_rows, read_segment, write_segment


@pytest.fixture
def segment(tmp_path, make_prints, rows_of):
    """A segment of three batches, and the prints in it."""
    prints = make_prints(12)
    path = tmp_path / "segment.npy"
    write_segment(path, [(part, rows_of(part).astype("float16")) for part in np.split(prints, 3)])
    return path, prints


def test_a_segment_comes_back_as_it_was(segment, rows_of):
    path, prints = segment
    read = read_segment(path, (2, 3), "float16")
    np.testing.assert_array_equal(read.prints, prints)
    np.testing.assert_array_equal(read.rows, rows_of(prints))
    assert read.rows.dtype == "float16"
    assert count_rows(path) == 12


def test_numpy_opens_the_rows(segment, rows_of):
    path, prints = segment
    rows = np.load(path, mmap_mode="r")
    assert isinstance(rows, np.memmap)
    np.testing.assert_array_equal(rows, rows_of(prints))


def test_the_format_of_the_file_stays_as_it_is(tmp_path, make_prints):
    """Otherwise all that users have stored would count as damaged."""
    prints, rows = make_prints(1025), np.random.default_rng(0).normal(size=(1025, 16)).astype("float32")
    path = tmp_path / "segment.npy"
    write_segment(path, [(prints, rows)])
    with open(path, "rb") as file:
        np.testing.assert_array_equal(np.load(file), rows)
        np.testing.assert_array_equal(np.load(file), prints)
        checksums = np.load(file)
        assert file.read() == b""
    assert checksums.dtype == "<u4"
    blocks = (slice(0, 1024), slice(1024, 1025))  # of 64 KiB of rows
    assert checksums.tolist() == [crc32(rows[block].tobytes() + prints[block].tobytes()) for block in blocks]


def test_nothing_but_the_segment_is_left(segment, tmp_path):
    assert list(tmp_path.iterdir()) == [segment[0]]


def test_a_segment_that_ends_anywhere_too_early_is_refused(segment):
    path, _ = segment
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r".+"):
            read_segment(path, (2, 3), "float16")


def test_a_segment_with_something_behind_it_is_refused(segment):
    path, _ = segment
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ValueError, match="do not fill"):
        read_segment(path, (2, 3), "float16")


@pytest.mark.parametrize(("row_shape", "dtype"), [((3, 2), "float16"), ((2, 3), "float32"), ((6,), "float16")])
def test_rows_of_another_shape_or_dtype_are_refused(segment, row_shape, dtype):
    with pytest.raises(ValueError, match="Expected rows"):
        read_segment(segment[0], row_shape, dtype)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"(12, 2, 3)", b"(11, 2, 3)"),
        (b"(12, 16)", b"(13, 16)"),
        (b"False, 'shape': (12, 2", b"True , 'shape': (12, 2"),
    ],
)
def test_a_header_that_is_not_that_of_the_data_is_refused(segment, old, new):
    path, _ = segment
    content = path.read_bytes()
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, new))
    with pytest.raises(ValueError, match=r".+"):
        read_segment(path, (2, 3), "float16")


@pytest.mark.parametrize("count", [b"-2", b"10", b"99", b"0 ", b"(]", b"''", b"0x"])
def test_a_header_that_makes_no_sense_is_refused(segment, count):
    path, _ = segment
    path.write_bytes(path.read_bytes().replace(b"(12, 2", b"(" + count + b", 2", 1))
    with pytest.raises(ValueError, match=r".+"):
        read_segment(path, (2, 3), "float16")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"(12, 2, 3), }", b"(99999999999999999999, 2, 3), }"),
        (b"(12, 2, 3), }", b"(-999999999999, 2, 3), }"),
        (b"(1,), }", b"(), }"),
    ],
    ids=["more rows than can be", "fewer than none", "no axis"],
)
def test_a_shape_that_cannot_be_is_refused(segment, old, new):
    path, _ = segment
    content = path.read_bytes()
    assert content.count(old.ljust(40)) == 1
    path.write_bytes(content.replace(old.ljust(40), new.ljust(40)))
    with pytest.raises(ValueError, match="cannot be in a file of this size"):
        read_segment(path, (2, 3), "float16")


def test_checksums_of_blocks_of_another_length_are_refused(tmp_path, make_prints, rows_of, monkeypatch):
    path, prints = tmp_path / "segment.npy", make_prints(12)
    with monkeypatch.context() as patch:
        patch.setattr(segments, "_BLOCK_BYTES", 4 * 6 * 4)
        write_segment(path, [(prints, rows_of(prints))])
    with pytest.raises(ValueError, match="12 rows and 3 checksums do not belong together"):
        read_segment(path, (2, 3), "float32")


def test_what_is_no_segment_has_no_rows(tmp_path):
    (tmp_path / "segment.npy").write_bytes(b"something else")
    assert count_rows(tmp_path / "segment.npy") == 0


def test_no_byte_can_change_unseen(segment, rows_of):
    path, prints = segment
    content = path.read_bytes()
    for position in range(len(content)):
        path.write_bytes(content[:position] + bytes([content[position] ^ 4]) + content[position + 1 :])
        try:
            read = read_segment(path, (2, 3), "float16")
        except ValueError:
            continue
        if read.is_intact(np.arange(12)):  # as behind the end of a header
            np.testing.assert_array_equal(read.prints, prints)
            np.testing.assert_array_equal(read.rows, rows_of(prints))


@pytest.mark.parametrize("shape", [(700,), (50, 40, 20)], ids=["many rows a block", "a block a row"])
def test_only_the_blocks_of_what_is_wanted_are_verified(tmp_path, make_prints, shape):
    prints, rows = make_prints(130), np.random.default_rng(0).normal(size=(130, *shape)).astype("float32")
    path = tmp_path / "segment.npy"
    write_segment(path, [(prints[part], rows[part]) for part in (slice(0, 1), slice(1, 51), slice(51, 130))])
    content = path.read_bytes()
    path.write_bytes(content.replace(rows[100].tobytes(), rows[99].tobytes()))
    read = read_segment(path, shape, "float32")
    assert read.is_intact(np.array([3, 40, 60, 0]))
    assert not read.is_intact(np.array([3, 100]))
    path.write_bytes(content)
    assert read_segment(path, shape, "float32").is_intact(np.arange(130))


def test_a_block_is_hashed_once(segment, monkeypatch):
    read = read_segment(segment[0], (2, 3), "float16")
    assert read.is_intact(np.arange(3))
    monkeypatch.setattr(segments, "crc32", None)
    assert read.is_intact(np.arange(12))


def test_a_missing_file_is_another_error_than_a_damaged_one(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_segment(tmp_path / "segment.npy", (2, 3), "float16")
    assert count_rows(tmp_path / "segment.npy") == 0


def test_a_file_that_cannot_be_read_is_not_called_damaged(segment, monkeypatch):
    """What is damaged is removed: a disk that fails for a moment must not lead to that."""

    def fail(file):
        raise OSError("the disk does not answer")

    monkeypatch.setattr(np.lib.format, "read_magic", fail)
    with pytest.raises(OSError, match="does not answer"):
        read_segment(segment[0], (2, 3), "float16")


WRITE_WITHOUT_ROOM = """
import resource, sys
from pathlib import Path
import numpy as np
from transferkit.cache.segments import write_segment

resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
for number in (100, 1000):
    try:
        write_segment(Path(sys.argv[1]) / f"{number}.npy", [(np.zeros((number, 16), "uint8"), np.zeros((number, 20)))])
    except OSError as error:
        print(error.strerror)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_a_write_that_fails_leaves_nothing(tmp_path, in_fresh_process):
    assert in_fresh_process(WRITE_WITHOUT_ROOM, tmp_path).strip() == "File too large"
    assert [path.name for path in tmp_path.iterdir()] == ["100.npy"]
