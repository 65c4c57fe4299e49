"""One way from any image to the network: whoever asks, and however the image comes, the answer is the same."""

import numpy as np
import pytest
from PIL import Image

from transferkit import TransferClassifier

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
}


@pytest.fixture(scope="module")
def odd_images():
    """Images of one class bright in the middle, of the other in a corner; of three shapes."""
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 120, (*[(20, 31), (40, 17), (16, 16)][number % 3], 3)) for number in range(12)]
    for number, image in enumerate(images):
        height, width, _ = image.shape
        middle = np.s_[height // 3 : -height // 3, width // 3 : -width // 3]
        image[middle if number % 2 else np.s_[:5, :5]] += 120
    return [image.astype("uint8") for image in images]


@pytest.fixture(scope="module")
def fitted(tiny_backbone, odd_images, tmp_path_factory, in_fresh_process):
    """By name of the form: a classifier, and the folder in which it, images, and what plain Keras says of them are."""
    result = {}
    for name, options in FORMS.items():
        folder = tmp_path_factory.mktemp("form")
        for number, pixels in enumerate(odd_images[:3]):
            Image.fromarray(pixels).save(folder / f"{number}.png")
        np.savez(folder / "images.npz", *odd_images[:3])
        clf = TransferClassifier(tiny_backbone, verbose=0, **options).fit(odd_images, [0, 1] * 6)
        clf.save(folder / "clf.keras")
        result[name] = clf, folder
    in_fresh_process(READ_BY_KERAS, *(folder for _, folder in result.values()))
    return result


@pytest.mark.parametrize("form", FORMS)
def test_files_arrays_the_model_and_plain_keras_agree(fitted, odd_images, form):
    clf, folder = fitted[form]
    paths = [folder / f"{number}.png" for number in range(3)]
    expected = clf.predict_proba(paths)
    assert np.array_equal(clf.predict_proba(odd_images[:3]), expected)
    assert np.concatenate([clf.predict_proba(image) for image in odd_images[:3]]) == pytest.approx(expected, abs=1e-5)
    by_model = np.concatenate([clf.model_(pixels[None]) for pixels in odd_images[:3]])
    assert by_model == pytest.approx(expected, abs=1e-5)
    assert TransferClassifier.load(folder / "clf.keras").predict_proba(paths) == pytest.approx(expected, abs=1e-6)
    assert np.load(folder / "outputs.npy") == pytest.approx(expected, abs=1e-5)


def test_predictions_keep_the_form_of_the_training(fitted, tmp_path):
    clf = TransferClassifier.load(fitted["crop"][1] / "clf.keras")
    expected = clf.predict_proba(fitted["crop"][1] / "0.png")
    clf.set_params(resize="pad").save(tmp_path / "clf.keras")
    assert np.array_equal(clf.predict_proba(fitted["crop"][1] / "0.png"), expected)
    loaded = TransferClassifier.load(tmp_path / "clf.keras")
    assert np.array_equal(loaded.predict_proba(fitted["crop"][1] / "0.png"), expected)
