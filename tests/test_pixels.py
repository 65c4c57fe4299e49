"""One way from any image to the network: whoever asks, and however the image comes, the answer is the same."""

import sys

import keras
import numpy as np
import pytest
from PIL import Image

from transferkit import Augmentation, Head, ImageFormat, TransferClassifier
from transferkit.data.decoder import Decoder
from transferkit.exceptions import ImageReadError

READ_BY_KERAS = """
import sys, keras, numpy as np
for folder in sys.argv[1:]:
    model = keras.saving.load_model(folder + "/clf.keras", safe_mode=True)
    images = np.load(folder + "/images.npz")
    outputs = [model.predict(images[name][None], verbose=0)[0] for name in images]
    np.save(folder + "/outputs.npy", outputs)
assert not any(name.startswith("transferkit") for name in sys.modules)
"""

FORMS = {
    "stretch": {"resize": "stretch"},
    "crop": {"resize": "crop"},
    "pad": {"resize": "pad"},
    "pad with a colour": {"resize": "pad", "background": "orange"},
    "one channel": {"resize": "pad", "background": "orange", "channels": 1},
    "five channels": {"resize": "crop", "channels": 5},
}


@pytest.fixture(scope="module")
def odd_images():
    """Images of one class bright in the middle, of the other darker, and bright in a corner; of three shapes."""
    rng = np.random.default_rng(0)
    images = [
        rng.integers(60 * (number % 2), 60 * (number % 2) + 90, (*[(20, 31), (40, 17), (16, 16)][number % 3], 3))
        for number in range(12)
    ]
    for number, image in enumerate(images):
        height, width, _ = image.shape
        middle = np.s_[height // 3 : -height // 3, width // 3 : -width // 3]
        image[middle if number % 2 else np.s_[:5, :5]] += 100
    return [image.astype("uint8") for image in images]


def with_channels(images, channels):
    """The same images with that many channels."""
    if channels == 3:
        return images
    return [np.concatenate([image, image[::-1, ::-1]], axis=-1)[..., :channels] for image in images]


def write(path, pixels):
    """Writes a file that keeps the pixels and returns its path."""
    if pixels.shape[-1] == 5:
        path = path.with_suffix(".npy")
        np.save(path, pixels)
    else:
        Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(path)
    return path


@pytest.fixture(scope="module")
def fitted(tiny_backbone, odd_images, tmp_path_factory, in_fresh_process):
    """By name of the form: a classifier, and the folder in which it, images, and what plain Keras says of them are."""
    result = {}
    for name, options in FORMS.items():
        folder = tmp_path_factory.mktemp("form")
        images = with_channels(odd_images, options.get("channels", 3))
        np.savez(folder / "images.npz", *images[:3])
        clf = TransferClassifier(tiny_backbone, image_size=ImageFormat(**options), verbose=0).fit(images, [0, 1] * 6)
        clf.save(folder / "clf.keras")
        result[name] = clf, folder
    in_fresh_process(READ_BY_KERAS, *(folder for _, folder in result.values()))
    return result


@pytest.mark.parametrize("form", FORMS)
def test_files_arrays_the_model_and_plain_keras_agree(fitted, odd_images, form):
    clf, folder = fitted[form]
    images = with_channels(odd_images, clf.image_format_.channels)[:3]
    paths = [write(folder / f"{number}.png", pixels) for number, pixels in enumerate(images)]
    expected = clf.predict_proba(paths)
    assert np.ptp(expected) > 0.01  # or all would agree on nothing
    assert np.array_equal(clf.predict_proba(images), expected)
    assert np.concatenate([clf.predict_proba(image) for image in images]) == pytest.approx(expected, abs=1e-5)
    by_model = np.concatenate([clf.model_(pixels[None]) for pixels in images])
    assert by_model == pytest.approx(expected, abs=1e-5)
    assert TransferClassifier.load(folder / "clf.keras").predict_proba(paths) == pytest.approx(expected, abs=1e-6)
    assert np.load(folder / "outputs.npy") == pytest.approx(expected, abs=1e-5)


def test_predictions_keep_the_form_of_the_training(fitted, odd_images, tmp_path):
    clf = TransferClassifier.load(fitted["crop"][1] / "clf.keras")
    expected = clf.predict_proba(odd_images)
    clf.set_params(image_size=ImageFormat(resize="pad")).save(tmp_path / "clf.keras")
    assert np.array_equal(clf.predict_proba(odd_images), expected)
    assert np.array_equal(TransferClassifier.load(tmp_path / "clf.keras").predict_proba(odd_images), expected)


# ---- channels ----


@pytest.fixture(scope="module")
def spectra():
    """Images of six channels, of which one tells the classes apart: `(16, 18, 20, 6)` uint8."""
    images = np.random.default_rng(0).integers(0, 120, (16, 18, 20, 6))
    images[1::2, ..., 4] += 100
    return images.astype("uint8")


def test_one_channel_is_what_gray_images_are_in_three(tiny_backbone, images, labels):
    gray = images[..., :1]
    one = TransferClassifier(tiny_backbone, image_size=ImageFormat(channels=1), verbose=0).fit(gray, labels)
    three = TransferClassifier(tiny_backbone, verbose=0).fit(gray, labels)
    assert one.model_.input_shape == (None, None, None, 1)
    assert one.predict_proba(gray) == pytest.approx(three.predict_proba(gray), abs=1e-4)


def test_16_bits_of_many_channels_are_kept(tiny_backbone, spectra, tmp_path):
    deep = spectra.astype("uint16") * 40 + np.arange(20, dtype="uint16")[:, None]
    clf = TransferClassifier(tiny_backbone, image_size=ImageFormat(channels=6), verbose=0).fit(deep, [0, 1] * 8)
    expected = clf.model_.predict(deep.astype("float32") / 257, verbose=0)
    assert clf.predict_proba(deep) == pytest.approx(expected, abs=1e-5)
    np.save(tmp_path / "one.npy", deep[1])
    assert clf.predict_proba(tmp_path / "one.npy") == pytest.approx(expected[1:2], abs=1e-5)


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_tiff_files_of_many_channels_are_read(tiny_backbone, spectra, tmp_path, planar, dtype):
    tifffile = pytest.importorskip("tifffile")
    pixels = spectra[0].astype(dtype)
    stored = np.moveaxis(pixels, -1, 0) if planar == "separate" else pixels
    tifffile.imwrite(tmp_path / "one.tif", stored, photometric="minisblack", planarconfig=planar)
    expected = pixels / np.float32(257) if dtype == "uint16" else pixels
    assert np.array_equal(Decoder(6).decode(tmp_path / "one.tif"), expected)


def test_what_tiff_files_need_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tifffile", None)
    (tmp_path / "one.tif").write_bytes(b"II*\0")
    with pytest.raises(ImportError, match=r"pip install .*multispectral"):
        Decoder(6).decode(tmp_path / "one.tif")


def test_the_stem_learns_to_tell_channels_apart(tiny_backbone, spectra):
    clf = TransferClassifier(
        tiny_backbone,
        image_size=ImageFormat(channels=6),
        head=Head(units=()),
        schedule="all",
        epochs=2,
        augmentation="strong",
        batch_size=8,
        verbose=0,
    ).fit(spectra, [0, 1] * 8)
    kernel = clf.model_.get_layer("backbone").get_layer("conv1").get_weights()[0]
    assert kernel.shape[2] == 6
    assert np.ptp(kernel, axis=2).max() > 1e-6  # all channels began alike


def test_images_of_other_channels_are_refused(tiny_backbone, spectra, tmp_path):
    clf = TransferClassifier(tiny_backbone, image_size=ImageFormat(channels=6), verbose=0)
    with pytest.raises(ValueError, match="must have 6 channels, as `channels` says.*Received: 3 channels"):
        clf.fit(spectra[..., :3], [0, 1] * 8)
    with pytest.raises(ValueError, match="1 .gray. or 3 .RGB. channels.*Give `channels=6`"):
        TransferClassifier(tiny_backbone, verbose=0).fit(spectra, [0, 1] * 8)
    Image.fromarray(spectra[0, ..., :3]).save(tmp_path / "rgb.png")
    np.save(tmp_path / "five.npy", spectra[0, ..., :5])
    with pytest.raises(ImageReadError, match="(?s)3 channels.*`channels=6`.*must have 6 channels"):
        clf.fit([tmp_path / "rgb.png", tmp_path / "five.npy"] * 2, [0, 0, 1, 1])
    with pytest.raises(ImageReadError, match="3 channels .RGB., but `channels=1`"):
        clf.set_params(image_size=ImageFormat(channels=1)).fit([tmp_path / "rgb.png"] * 4, [0, 0, 1, 1])
    with pytest.raises(ValueError, match="integer from 1.*channels=0"):
        ImageFormat(channels=0)


@pytest.mark.parametrize(
    "augmentation", [Augmentation(hue=5), Augmentation(saturation=(0.5, 1)), [keras.layers.RandomSaturation(0.5)]]
)
def test_augmentation_that_needs_colours_is_refused_without_them(tiny_backbone, spectra, augmentation):
    clf = TransferClassifier(tiny_backbone, image_size=ImageFormat(channels=6), augmentation=augmentation, verbose=0)
    with pytest.raises(ValueError, match="need RGB images. Received: channels=6"):
        clf.fit(spectra, [0, 1] * 8)


def test_images_of_many_channels_are_drawn(tiny_backbone, spectra):
    figure = TransferClassifier(
        tiny_backbone, image_size=ImageFormat(channels=6), augmentation="medium"
    ).show_augmentation(spectra, copies=2)
    assert len(figure.axes) == 24
