import itertools
import os
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from transferkit._utils.fingerprints import are_among, compact_prints, fingerprint, fingerprint_images
from transferkit.exceptions import ImageReadError

DIFFERENT = [
    ("ab", "c"),
    ("a", "bc"),
    ("abc",),
    ("abc", ""),
    (b"abc",),
    (("abc",),),
    (),
    ("",),
    (b"",),
    (None,),
    (0,),
    (0.0,),
    (-0.0,),
    (1,),
    (1.0,),
    ("1",),
    (True,),
    (False,),
    (-1,),
    (10**5000,),
    (float("nan"),),
    ((1, 2), 3),
    (1, (2, 3)),
    (1, 2, 3),
    ({"a": 1, "b": 2},),
    ({"a": 2, "b": 1},),
    ({"a": 1}, {"b": 2}),
    ({},),
    (np.zeros(2, "uint8"),),
    (np.zeros(2, "int8"),),
    (np.zeros((2, 1), "uint8"),),
    (np.zeros((1, 2), "uint8"),),
    (np.zeros(0, "uint8"),),
    (np.zeros((0, 2), "uint8"),),
    (np.zeros((), "uint8"),),
    (np.zeros(2, "<f4"),),
    (np.zeros(2, ">f4"),),
    (np.array(["a"]),),
]


def test_what_differs_has_different_fingerprints():
    pairs = itertools.combinations([(parts, fingerprint(*parts)) for parts in DIFFERENT], 2)
    assert [(one, other) for (one, print_), (other, other_print) in pairs if print_ == other_print] == []


def test_a_fingerprint_is_32_hexadecimal_digits_and_the_same_in_every_process(in_fresh_process):
    code = "from transferkit._utils.fingerprints import fingerprint; print(fingerprint('a', {'b': [1.5, None]}))"
    here = fingerprint("a", {"b": [1.5, None]})
    assert re.fullmatch("[0-9a-f]{32}", here)
    assert in_fresh_process(code).strip() == here


def test_the_order_in_a_dict_and_what_json_does_to_tuples_do_not_count():
    assert fingerprint({"a": 1, "b": (2, 3)}) == fingerprint({"b": [2, 3], "a": 1})


def test_the_layout_of_an_array_in_memory_does_not_count():
    array = np.arange(24).reshape(4, 6)
    assert fingerprint(array[::2, ::3]) == fingerprint(array[::2, ::3].copy())
    assert fingerprint(np.asfortranarray(array)) == fingerprint(array)
    assert fingerprint(array) != fingerprint(array.T)


@pytest.mark.parametrize("part", [{1, 2}, object(), [object()], np.array([object()])])
def test_what_has_no_fingerprint_is_named(part):
    with pytest.raises(TypeError, match="A fingerprint"):
        fingerprint(part)


def test_files_are_told_by_their_content(tmp_path):
    content = os.urandom(300_000)
    paths = [tmp_path / name for name in ("a", "b", "c", "d")]
    for path in paths[:2]:
        path.write_bytes(content)
    paths[2].write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    paths[3].write_bytes(content[:-1])
    prints = fingerprint_images([str(paths[0]), *paths[1:]], read=None)
    assert prints.dtype == np.uint8
    assert prints.shape == (4, 16)
    assert (prints[0] == prints[1]).all()
    assert len(np.unique(prints, axis=0)) == 3


def test_a_file_that_changes_without_a_trace_has_another_print(tmp_path):
    path = tmp_path / "image"
    path.write_bytes(b"one")
    before, status = fingerprint_images([path], read=None), path.stat()
    path.write_bytes(b"two")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_mtime_ns == status.st_mtime_ns
    assert (fingerprint_images([path], read=None) != before).any()


def test_a_copy_under_another_name_has_the_same_print(tmp_path, image_paths):
    copy = shutil.copy(image_paths[3], tmp_path / "other name.jpg")
    prints = fingerprint_images([image_paths[3], copy, image_paths[4]], read=None)
    assert (prints[0] == prints[1]).all()
    assert (prints[0] != prints[2]).any()


def test_an_array_of_images_and_a_list_of_them_have_the_same_prints(images):
    prints = fingerprint_images(images, read=None)
    assert len(np.unique(prints, axis=0)) == len(images)
    np.testing.assert_array_equal(fingerprint_images(list(images), read=None), prints)
    np.testing.assert_array_equal(fingerprint_images(images[::-3], read=None), prints[::-3])


def test_views_that_are_not_contiguous_are_printed_by_their_pixels(images):
    views = [image[::2, ::-1] for image in images]
    copies = [view.copy() for view in views]
    np.testing.assert_array_equal(fingerprint_images(views, read=None), fingerprint_images(copies, read=None))


def test_pixels_of_another_shape_or_dtype_have_another_print(images):
    image = images[0]
    variants = [image, image.reshape(24, 20, 3), image.astype("float32"), image[..., :1]]
    assert len(np.unique(fingerprint_images(variants, read=None), axis=0)) == 4


def test_pil_images_are_read(images):
    opened = [Image.fromarray(image) for image in images]
    np.testing.assert_array_equal(fingerprint_images(opened, read=np.asarray), fingerprint_images(images, read=None))


@pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 100])
def test_every_image_is_printed_once_and_the_progress_adds_up(count):
    images = np.arange(count, dtype="float32").reshape(count, 1, 1, 1)
    done = []
    prints = fingerprint_images(images, read=None, advance=done.append)
    assert len(np.unique(prints, axis=0)) == count
    assert sum(done) == count


def test_a_file_that_cannot_be_read_is_an_error(tmp_path, image_paths):
    with pytest.raises(ImageReadError, match=r"(?s)1 of .*nowhere.*: no such file"):
        fingerprint_images([*image_paths, tmp_path / "nowhere.png"], read=None)


def test_compact_prints_tell_which_images_are_among_them():
    images = np.random.default_rng(0).integers(0, 256, (9, 4, 4, 3), dtype="uint8")
    prints = fingerprint_images(images, None)
    compact = compact_prints(np.concatenate([prints[:5], prints[:2]]))
    assert (compact.dtype, compact.shape) == (np.dtype("uint64"), (5,))
    assert are_among(prints, compact).tolist() == [True] * 5 + [False] * 4
    assert are_among(prints, compact_prints(prints[:0])).sum() == 0
