import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from transferkit.data.decoder import RGB
from transferkit.data.inputs.convert import as_source
from transferkit.data.quality.inspection import inspect_images


def test_a_file_an_array_and_a_pil_image_give_the_same_pixels(images, image_paths):
    for image, path in zip(images, image_paths, strict=True):
        assert np.array_equal(RGB.decode(path), image)
        assert np.array_equal(RGB.decode(image), image)
        assert np.array_equal(RGB.decode(Image.fromarray(image)), image)


@pytest.mark.parametrize("mode", ["L", "P", "1", "CMYK", "YCbCr", "LA", "RGBA", "PA", "I;16", "F"])
def test_every_mode_becomes_rgb_in_8_bits(mode):
    gray = Image.fromarray(np.arange(0, 250, 10, dtype="uint8").reshape(5, 5))
    image = Image.fromarray(np.asarray(gray, "uint16") * 257) if mode == "I;16" else gray.convert(mode)
    pixels = RGB.decode(image)
    assert pixels.shape == (5, 5, 3)
    assert pixels.dtype == "uint8"
    if mode != "1":
        assert np.abs(pixels.astype(int) - np.asarray(gray)[..., None]).max() <= 2


@pytest.mark.parametrize("brightest", [200, 51400])
def test_the_depth_of_gray_levels_is_not_guessed_from_the_brightest(brightest):
    image = Image.fromarray(np.full((4, 4), brightest, "int32"))
    assert image.mode == "I"
    with pytest.raises(ValueError, match="does not say how many bits its gray levels have"):
        RGB.decode(image)


def test_gray_images_of_floats_between_0_and_1_are_refused():
    with pytest.raises(ValueError, match="rescale=1/255"):
        RGB.decode(Image.fromarray(np.full((4, 4), 0.5, "float32")))


def test_transparent_pixels_are_white():
    assert (RGB.decode(Image.new("RGBA", (2, 2), (255, 0, 0, 0))) == 255).all()


def test_the_orientation_in_a_photo_is_applied(tmp_path):
    image = Image.fromarray(np.arange(24, dtype="uint8").reshape(2, 4, 3) * 10)
    exif = image.getexif()
    exif[0x0112] = 6  # the camera was held upright: turn by 90 degrees to see it as taken
    image.save(tmp_path / "photo.png", exif=exif)
    assert RGB.decode(tmp_path / "photo.png").shape == (4, 2, 3)


def test_the_pil_image_of_the_caller_is_not_turned():
    image = Image.new("RGB", (4, 2))
    image.getexif()[0x0112] = 6
    assert RGB.decode(image).shape == (4, 2, 3)
    assert image.size == (4, 2)
    assert image.getexif()[0x0112] == 6


def test_a_pil_image_that_is_listed_twice_is_decoded_by_one_thread(image_paths, images):
    opened, inside, most = Image.open(image_paths[0]), [], []
    load = opened.load

    def slow_load():
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.01)
        inside.pop()
        return load()

    opened.load = slow_load
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(RGB.decode, [opened] * 8))
    assert max(most) == 1
    assert all(np.array_equal(pixels, images[0]) for pixels in found)


def test_gray_arrays_get_three_equal_channels():
    pixels = RGB.decode(np.full((4, 5), 7.0))
    assert pixels.shape == (4, 5, 3)
    assert pixels.dtype == "float32"
    assert (pixels == 7).all()


def test_the_array_of_the_caller_is_not_changed(images):
    for dtype in ("uint8", "float32", "int64"):
        array = images.astype(dtype)
        before = array.copy()
        RGB.decode(array[0])
        assert np.array_equal(array, before)


@pytest.mark.parametrize("shape", [(), (3,), (2, 4, 5, 3)])
def test_arrays_of_other_than_two_or_three_axes_are_no_images(tmp_path, shape):
    np.save(tmp_path / "a.npy", np.full(shape, 9, "uint8"))
    for image in (tmp_path / "a.npy", np.full(shape, 9, "uint8")):
        with pytest.raises(ValueError, match=r"must have shape \(height, width\) or .* Received: shape \("):
            RGB.decode(image)
    ((_, name, reason),) = inspect_images(as_source([tmp_path / "a.npy"])).failures
    assert name.endswith("a.npy")
    assert reason.startswith("an image must have shape")
