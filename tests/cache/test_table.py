import errno
import os
import re

import numpy as np
import pytest

from transferkit._utils.fingerprints import fingerprint_images
from transferkit.cache import places, table
from transferkit.cache.store import Store


@pytest.fixture(params=["disk", "memory"])
def any_store(request, tmp_path):
    return Store(tmp_path / "cache" if request.param == "disk" else None, 10**9)


TEN_ROWS = 10 * 6 * 2  # bytes in float16


@pytest.fixture
def full_disk(monkeypatch):
    """A disk that takes the header and then no more."""

    def fail(file, header):
        file.write(b"part of it")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np.lib.format, "write_array_header_1_0", fail)


def files(store):
    return sorted(path for path in store.folder.rglob("*") if path.is_file())


def num_segments(store):
    return sum(path.suffix == ".npy" for path in files(store))


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_rows_come_back_in_any_order(any_store, open_table, fill, make_prints, rows_of, dtype):
    prints = make_prints(33)
    fill(open_table(any_store, dtype), prints, max_bytes=TEN_ROWS)
    shuffled = np.random.default_rng(0).permutation(33)
    for selection in (np.arange(33), np.array([32, 0, 7, 7, 0]), np.arange(0), shuffled):
        rows = open_table(any_store, dtype).rows(prints[selection])
        assert rows.dtype == np.asarray(rows).dtype == "float32"
        np.testing.assert_array_equal(np.asarray(rows), rows_of(prints[selection]))


def test_each_dtype_keeps_its_precision(store, open_table, make_prints):
    prints, rows = make_prints(4), np.random.default_rng(0).normal(size=(4, 2, 3)).astype("float32")
    for dtype in ("float16", "float32"):
        with open_table(store, dtype).writer() as writer:
            writer.append(prints, rows)
        np.testing.assert_array_equal(open_table(store, dtype).rows(prints)[:], rows.astype(dtype))
    assert not (rows == rows.astype("float16")).all()


def test_later_runs_find_what_is_on_disk(store, open_table, fill, make_prints, rows_of):
    fill(open_table(store), make_prints(8))
    again = open_table(Store(str(store.folder), 10**9))
    assert len(again.missing(make_prints(8))) == 0
    np.testing.assert_array_equal(again.rows(make_prints(8)[::-1])[:], rows_of(make_prints(8)[::-1]))


def test_what_is_missing_is_named_once_and_in_order(any_store, open_table, fill, make_prints):
    prints = make_prints(6)
    fill(open_table(any_store), prints[[1, 4]])
    missing = open_table(any_store).missing(prints[[5, 1, 3, 5, 0, 4, 3, 0]])
    np.testing.assert_array_equal(missing, [0, 2, 4])
    np.testing.assert_array_equal(open_table(any_store).missing(prints[:0]), [])


def test_a_changed_image_is_missing_and_a_renamed_one_is_not(store, open_table, fill, tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path in paths:
        path.write_bytes(path.name.encode())
    fill(open_table(store), fingerprint_images(paths, read=None))
    paths[1].write_bytes(b"changed")
    paths[2] = paths[2].rename(tmp_path / "another name.png")
    np.testing.assert_array_equal(open_table(store).missing(fingerprint_images(paths, read=None)), [1])


def test_each_front_has_its_own_table(any_store, open_table, fill, make_prints):
    prints = make_prints(3)
    fill(open_table(any_store), prints)
    others = [
        open_table(any_store, key="f" * 32),
        open_table(any_store, dtype="float32"),
        any_store.table("0123456789abcdef" * 2, (3, 2), "float16", "tiny features"),
    ]
    for other in others:
        np.testing.assert_array_equal(other.missing(prints), [0, 1, 2])


def test_rows_that_were_not_computed_are_an_error(any_store, open_table, fill, make_prints):
    fill(open_table(any_store), make_prints(3))
    with pytest.raises(KeyError, match="2 of 5 prints have no row"):
        open_table(any_store).rows(np.concatenate([make_prints(3), make_prints(2, seed=1)]))


def test_a_table_that_is_open_sees_what_others_write(store, open_table, fill, make_prints, rows_of):
    early = open_table(store)
    np.testing.assert_array_equal(early.missing(make_prints(2)), [0, 1])
    fill(open_table(Store(store.folder, 10**9)), make_prints(2))
    np.testing.assert_array_equal(early.missing(make_prints(3)), [2])
    np.testing.assert_array_equal(early.rows(make_prints(2))[:], rows_of(make_prints(2)))
    fill(open_table(Store(store.folder, 10**9)), make_prints(3)[2:])
    np.testing.assert_array_equal(early.rows(make_prints(3))[:], rows_of(make_prints(3)))


def test_what_is_written_belongs_to_the_table(any_store, open_table, make_prints, rows_of):
    prints, rows = make_prints(4), rows_of(make_prints(4))
    with open_table(any_store, "float32").writer() as writer:
        writer.append(prints, rows)
        prints[...] = 0
        rows[...] = 0
    written = open_table(any_store, "float32").rows(make_prints(4))
    np.testing.assert_array_equal(written[:], rows_of(make_prints(4)))


def test_a_segment_that_is_large_enough_is_closed_at_once(store, open_table, make_prints, rows_of):
    prints = make_prints(24)
    with open_table(store).writer(max_bytes=TEN_ROWS) as writer:
        for part in np.split(prints, 6):
            writer.append(part, rows_of(part))
        assert num_segments(store) == 2
        assert len(open_table(store).missing(prints[:-1])) == 0
    assert num_segments(store) == 2


def test_batches_of_any_size_count(store, open_table, make_prints, rows_of):
    prints = make_prints(10)
    with open_table(store).writer(max_bytes=TEN_ROWS) as writer:
        for part in np.split(prints, [1]):
            assert num_segments(store) == 0
            writer.append(part, rows_of(part))
        assert num_segments(store) == 1


def test_a_segment_that_is_old_enough_is_closed_at_once(store, open_table, make_prints, rows_of):
    prints = make_prints(4)
    with open_table(store).writer() as writer:
        writer.append(prints[:2], rows_of(prints[:2]))
        np.testing.assert_array_equal(open_table(store).missing(prints), [0, 1, 2, 3])
        writer.max_seconds = 0  # as if that time had passed
        writer.append(prints[2:3], rows_of(prints[2:3]))
        np.testing.assert_array_equal(open_table(store).missing(prints), [3])


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_rows_outlive_what_ends_the_block(any_store, open_table, make_prints, rows_of, error):
    prints = make_prints(5)

    def compute():
        with open_table(any_store).writer() as writer:
            writer.append(prints[:3], rows_of(prints[:3]))
            raise error

    with pytest.raises(error):
        compute()
    np.testing.assert_array_equal(open_table(any_store).missing(prints), [3, 4])
    np.testing.assert_array_equal(open_table(any_store).rows(prints[:3])[:], rows_of(prints[:3]))


def test_an_interrupt_while_rows_are_written_loses_none(store, open_table, fill, make_prints, rows_of, monkeypatch):
    interrupts = [KeyboardInterrupt]
    replace = os.replace

    def interrupted(source, target):
        if interrupts and target.suffix == ".npy":
            raise interrupts.pop()
        replace(source, target)

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fill(open_table(store), make_prints(5))
    assert interrupts == []
    np.testing.assert_array_equal(open_table(store).rows(make_prints(5))[:], rows_of(make_prints(5)))
    assert [path.suffix for path in files(store)] == [".npy", ".json"]


def test_nothing_appended_is_nothing_written(store, open_table, make_prints, rows_of):
    with open_table(store).writer() as writer:
        writer.append(make_prints(0), rows_of(make_prints(0)))
    assert not store.folder.exists()


@pytest.mark.parametrize("shape", [(3, 2, 3), (4, 3, 2), (4, 6), (4,)])
def test_rows_that_do_not_fit_are_refused(any_store, open_table, make_prints, shape):
    with (
        open_table(any_store).writer() as writer,
        pytest.raises(ValueError, match=r"one row for each of 4 prints, shape \(4, 2, 3\)"),
    ):
        writer.append(make_prints(4), np.zeros(shape))
    assert len(open_table(any_store).missing(make_prints(4))) == 4


@pytest.mark.parametrize("value", [70_000.0, -1e30])
def test_rows_too_large_for_the_dtype_are_refused_whole(any_store, open_table, make_prints, rows_of, value):
    prints = make_prints(6)
    rows = rows_of(prints)
    rows[4, 1, 1] = value

    def compute(dtype):
        with open_table(any_store, dtype).writer() as writer:
            writer.append(prints[:3], rows[:3])
            writer.append(prints[3:], rows[3:])

    message = f"float16 holds values up to 65504. Received: rows with {abs(value):g}."
    with pytest.raises(OverflowError, match=re.escape(message)):
        compute("float16")
    np.testing.assert_array_equal(open_table(any_store, "float16").missing(prints), [3, 4, 5])
    compute("float32")
    np.testing.assert_array_equal(open_table(any_store, "float32").rows(prints)[:], rows)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite_are_refused(any_store, open_table, make_prints, rows_of, value):
    rows = rows_of(make_prints(3))
    rows[0, 0, 1] = value
    with (
        open_table(any_store, "float32").writer() as writer,
        pytest.raises(ValueError, match="`rows` must be finite"),
    ):
        writer.append(make_prints(3), rows)
    assert len(open_table(any_store, "float32").missing(make_prints(3))) == 3


@pytest.mark.parametrize("scale", [1e-5, 1e-7, 1e-9])
def test_rows_too_small_for_the_dtype_are_refused_whole(any_store, open_table, make_prints, rows_of, scale):
    prints = make_prints(6)
    rows = rows_of(prints) / 256 * np.float32(scale)
    with (
        open_table(any_store).writer() as writer,
        pytest.raises(FloatingPointError, match="from 6.10352e-05 on in full. Received: rows .* 100% of their columns"),
    ):
        writer.append(prints, rows)
    assert len(open_table(any_store).missing(prints)) == 6
    with open_table(any_store, "float32").writer() as writer:
        writer.append(prints, rows)
    np.testing.assert_array_equal(open_table(any_store, "float32").rows(prints)[:], rows)


def test_small_values_beside_large_ones_and_zeros_fit(any_store, open_table, make_prints, rows_of):
    prints = make_prints(6)
    rows = rows_of(prints)
    rows[2:] = 1e-7
    rows[:, 1] = 0
    with open_table(any_store).writer() as writer, np.errstate(all="raise"):
        writer.append(prints, rows)
    assert open_table(any_store).rows(prints)[:] == pytest.approx(rows, abs=3e-8)


def test_columns_too_small_for_the_dtype_are_refused_beside_large_ones(store, open_table, make_prints, rows_of):
    prints = make_prints(6)
    rows = rows_of(prints)
    rows[:, 1, 2] = 1e-7
    with open_table(store).writer() as writer, pytest.raises(FloatingPointError, match="17% of their columns"):
        writer.append(prints, rows)


def test_integers_and_half_floats_are_converted(store, open_table, make_prints):
    prints = make_prints(2)
    with open_table(store, "float32").writer() as writer:
        writer.append(prints[:1], np.full((1, 2, 3), 7))
        writer.append(prints[1:], np.full((1, 2, 3), 8, "float16"))
    np.testing.assert_array_equal(open_table(store, "float32").rows(prints)[:].mean((1, 2)), [7, 8])


def test_a_full_disk_turns_rows_to_memory(store, open_table, fill, make_prints, rows_of, full_disk):
    prints = make_prints(50)
    opened = open_table(store)
    with pytest.warns(UserWarning, match="could not be written") as warned:
        fill(opened, prints, max_bytes=TEN_ROWS)
    assert len(warned) == 1
    message = str(warned[0].message)
    for part in (str(store.folder), "No space left on device", "cache_dir=", 'cache="memory"'):
        assert part in message
    np.testing.assert_array_equal(opened.rows(prints)[:], rows_of(prints))
    np.testing.assert_array_equal(open_table(store).rows(prints)[:], rows_of(prints))
    assert [path.name for path in files(store)] == ["table.json"]


def test_a_disk_that_fills_up_keeps_what_it_has(store, open_table, make_prints, rows_of, request):
    prints = make_prints(40)
    opened = open_table(store)

    def compute():
        with opened.writer(max_bytes=TEN_ROWS) as writer:
            for number, part in enumerate(np.split(prints, 4)):
                if number == 2:
                    request.getfixturevalue("full_disk")
                writer.append(part, rows_of(part))

    with pytest.warns(UserWarning, match="could not be written"):
        compute()
    assert num_segments(store) == 2
    np.testing.assert_array_equal(opened.rows(prints)[:], rows_of(prints))
    np.testing.assert_array_equal(open_table(Store(store.folder, 10**9)).missing(prints), np.arange(20, 40))


def test_it_is_said_once_for_a_store(store, open_table, fill, make_prints, full_disk):
    with pytest.warns(UserWarning, match="could not be written"):
        fill(open_table(store), make_prints(5))
    fill(open_table(store), make_prints(5, seed=1))


def test_memory_that_stands_in_for_the_disk_is_given_back(store, open_table, fill, make_prints, rows_of, full_disk):
    opened = open_table(store)
    with pytest.warns(UserWarning, match="could not be written"):
        fill(opened, make_prints(5))
    rows = opened.rows(make_prints(5))
    del opened
    fill(open_table(store), make_prints(5, seed=1))
    np.testing.assert_array_equal(rows[:], rows_of(make_prints(5)))
    assert len(open_table(store).missing(make_prints(5))) == 0
    del rows
    fill(open_table(store), make_prints(5, seed=2))
    assert len(open_table(store).missing(make_prints(5))) == 5


def test_a_folder_that_cannot_be_made_turns_rows_to_memory(tmp_path, open_table, fill, make_prints, rows_of):
    (tmp_path / "file").touch()
    opened = open_table(Store(tmp_path / "file" / "cache", 10**9))
    assert len(opened.missing(make_prints(5))) == 5
    with pytest.warns(UserWarning, match="Not a directory. They stay in memory"):
        fill(opened, make_prints(5))
    np.testing.assert_array_equal(opened.rows(make_prints(5))[:], rows_of(make_prints(5)))


def test_rows_that_are_removed_at_once_are_not_lost(store, open_table, fill, make_prints, rows_of, monkeypatch):
    """As when another process works with a smaller limit. Nobody is warned: later rows may well stay."""
    write_segment = places.write_segment

    def write_and_remove(path, batches):
        write_segment(path, batches)
        path.unlink()

    monkeypatch.setattr(places, "write_segment", write_and_remove)
    opened = open_table(store)
    fill(opened, make_prints(12))
    np.testing.assert_array_equal(opened.rows(make_prints(12))[:], rows_of(make_prints(12)))


def test_memory_alone_writes_nothing(open_table, fill, make_prints, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(places, "Disk", None)
    store = Store(None, 10**9)
    fill(open_table(store), make_prints(5))
    assert len(open_table(store).missing(make_prints(5))) == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["truncated", "longer", "empty", "header"])
def test_a_damaged_segment_is_removed_and_the_rest_is_used(store, open_table, fill, make_prints, rows_of, damage):
    fill(open_table(store), make_prints(5))
    (broken,) = (path for path in files(store) if path.suffix == ".npy")
    fill(open_table(store), make_prints(5, seed=1))
    content = broken.read_bytes()
    damaged = {
        "truncated": content[:-1],
        "longer": content + b"\0",
        "empty": b"",
        "header": content.replace(b"<f2", b"<f4"),
    }
    broken.write_bytes(damaged[damage])
    both = np.concatenate([make_prints(5), make_prints(5, seed=1)])
    opened = open_table(Store(store.folder, 10**9))
    with pytest.warns(UserWarning, match=f"{broken.name}' is damaged, so the activations in it are computed again"):
        np.testing.assert_array_equal(opened.missing(both), range(5))
    assert not broken.exists()
    fill(opened, make_prints(5))
    np.testing.assert_array_equal(opened.rows(both)[:], rows_of(both))


@pytest.mark.parametrize("damage", ["zeros", "a bit", "NaN", "another order"])
def test_rows_that_are_not_what_was_written_are_computed_again(
    store, open_table, fill, make_prints, rows_of, damage, recwarn
):
    fill(open_table(store), make_prints(50))
    (broken,) = (path for path in files(store) if path.suffix == ".npy")
    fill(open_table(store), make_prints(5, seed=1))
    content = bytearray(broken.read_bytes())
    start, row = content.index(rows_of(make_prints(50)).astype("float16").tobytes()), 12
    if damage == "zeros":
        content[start + 20 * row : start + 50 * row] = bytes(30 * row)
    elif damage == "a bit":
        content[start + 30 * row + 1] ^= 1
    elif damage == "NaN":
        content[start + 40 * row : start + 40 * row + 2] = np.float16("nan").tobytes()
    else:
        first, second = content[start : start + row], content[start + row : start + 2 * row]
        content[start : start + 2 * row] = second + first
    broken.write_bytes(bytes(content))
    both = np.concatenate([make_prints(50), make_prints(5, seed=1)])
    opened = open_table(Store(store.folder, 10**9))
    np.testing.assert_array_equal(opened.missing(both), range(50))
    (warned,) = recwarn
    assert "is damaged, so the activations in it are computed again. Its checksums do not fit." in str(warned.message)
    assert not broken.exists()
    fill(opened, make_prints(50))
    np.testing.assert_array_equal(opened.rows(both)[:], rows_of(both))


def test_damage_is_seen_once_its_block_is_wanted(store, open_table, fill, make_prints, rows_of, recwarn):
    prints = make_prints(12_000)  # three blocks under a checksum each
    fill(open_table(store), make_prints(5, seed=1))
    (other,) = (path for path in files(store) if path.suffix == ".npy")
    fill(open_table(store), prints, batch=len(prints))
    (broken,) = (path for path in files(store) if path.suffix == ".npy" and path != other)
    rows = rows_of(prints).astype("float16")
    broken.write_bytes(broken.read_bytes().replace(rows[8000].tobytes(), rows[8001].tobytes()))
    wanted = np.concatenate([prints[[11_999, 0]], make_prints(5, seed=1)])
    opened = open_table(Store(store.folder, 10**9))
    np.testing.assert_array_equal(opened.rows(wanted)[:], rows_of(wanted))
    assert len(recwarn) == 0
    np.testing.assert_array_equal(opened.missing(np.concatenate([prints[[8000]], wanted])), [0, 1, 2])
    assert len(recwarn) == 1
    assert (other.exists(), broken.exists()) == (True, False)


def test_a_segment_is_opened_once(store, open_table, fill, make_prints, rows_of, monkeypatch):
    fill(open_table(store), make_prints(5))
    opened = open_table(store)
    assert len(opened.missing(make_prints(5))) == 0
    monkeypatch.setattr(places, "read_segment", None)
    np.testing.assert_array_equal(opened.rows(make_prints(5))[:], rows_of(make_prints(5)))


def test_places_of_prints_are_noted_anew_only_for_new_segments(any_store, open_table, fill, make_prints, monkeypatch):
    opened = open_table(any_store)
    fill(opened, make_prints(5))
    monkeypatch.setattr(table, "Index", None)
    assert len(opened.missing(make_prints(5))) == 0


def test_a_segment_that_cannot_be_opened_is_passed_over(store, open_table, fill, make_prints):
    """As when another process removes it after this one has listed it."""
    fill(open_table(store), make_prints(5))
    (segment,) = (path for path in files(store) if path.suffix == ".npy")
    segment.with_name("f" * 32 + ".npy").symlink_to("nowhere")
    assert len(open_table(store).missing(make_prints(5))) == 0
    assert [table.rows for table in store.contents()] == [5]


def refuse(path, missing_ok=False):
    raise PermissionError(f"{path} is in use")


def test_damage_that_cannot_be_removed_is_reported_once(store, open_table, fill, make_prints, monkeypatch):
    fill(open_table(store), make_prints(5))
    (broken,) = (path for path in files(store) if path.suffix == ".npy")
    broken.write_bytes(b"")
    monkeypatch.setattr(type(broken), "unlink", refuse)
    opened = open_table(store)
    with pytest.warns(UserWarning, match="is damaged"):
        assert len(opened.missing(make_prints(5))) == 5
    assert len(opened.missing(make_prints(5))) == 5


def test_strangers_in_the_folder_are_neither_read_nor_touched(store, open_table, fill, make_prints):
    fill(open_table(store), make_prints(5))
    (segment,) = (path for path in files(store) if path.suffix == ".npy")
    strangers = [segment.with_name("mine.npy"), store.folder / "mine.npy", store.folder / "mine" / segment.name]
    for path in strangers:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"mine")
    assert len(open_table(store).missing(make_prints(5))) == 0
    store.clear()
    assert files(store) == sorted(strangers)


@pytest.mark.parametrize("dtype", ["uint8", "int64", "bool", "complex64"])
def test_rows_are_floats(store, open_table, dtype):
    with pytest.raises(ValueError, match=f"`dtype` must be a float dtype, such as 'float16'. Received: {dtype}."):
        open_table(store, dtype)


def test_a_million_prints_go_in_and_come_out(make_prints):
    prints, numbers = make_prints(1_000_000), np.arange(1_000_000, dtype="float32")
    opened = Store(None, 10**9).table("0" * 32, (), "float32", "numbers")
    with opened.writer() as writer:
        writer.append(prints[:700_000], numbers[:700_000])
    np.testing.assert_array_equal(opened.missing(prints), np.arange(700_000, 1_000_000))
    with opened.writer() as writer:
        writer.append(prints[700_000:], numbers[700_000:])
    shuffled = np.random.default_rng(1).permutation(len(prints))
    np.testing.assert_array_equal(opened.rows(prints[shuffled])[:], numbers[shuffled])
