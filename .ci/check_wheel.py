"""Uses an installed transferkit as its users do. `.ci/run` starts it far away from the checkout."""

import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_image

import transferkit
from transferkit import TransferClassifier

DAISY = 985
CROP = 160
CROPS_PER_CLASS = 24

# What somebody without transferkit does with the saved file. It gets the file, the pixels and where to put the answer.
PLAIN_KERAS = """
import sys
import keras
import numpy as np

archive, pixels, answer = sys.argv[1:]
model = keras.models.load_model(archive, safe_mode=True)
np.save(answer, model.predict(np.load(pixels), verbose=0))
assert "transferkit" not in sys.modules
"""


def check_installation():
    """Code, licence and notice come from the environment that the wheel was installed into."""
    package = Path(transferkit.__file__).resolve()
    site_packages = Path(sysconfig.get_path("purelib")).resolve()
    assert package.is_relative_to(site_packages), f"{package} is not below {site_packages}"
    names = {Path(file).name for file in metadata.files("transferkit")}
    assert {"LICENSE", "NOTICE", "py.typed"} <= names, sorted(names)
    assert metadata.version("transferkit") == transferkit.__version__


def check_imagenet_network():
    """The bundled network and its ImageNet classifier know a daisy when they see one."""
    from transferkit.backbones.efficientnet_lite import EFFICIENTNET_LITE0, build_efficientnet_lite0

    preprocessing = EFFICIENTNET_LITE0.build_preprocessing()
    network = build_efficientnet_lite0(weights="imagenet", include_top=True)
    flower = load_sample_image("flower.jpg")[np.newaxis].astype("float32")
    probabilities = np.asarray(network(preprocessing(flower)))[0]
    assert probabilities.argmax() == DAISY, probabilities.argsort()[::-1][:5]


def write_crops(folder):
    """Makes a class folder of crops of the two photographs that scikit-learn brings."""
    random = np.random.default_rng(0)
    for name in ("china", "flower"):
        photograph = load_sample_image(f"{name}.jpg")
        (folder / name).mkdir(parents=True)
        for number in range(CROPS_PER_CLASS):
            top, left = (random.integers(0, side - CROP) for side in photograph.shape[:2])
            crop = photograph[top : top + CROP, left : left + CROP]
            Image.fromarray(crop).save(folder / name / f"{number}.png")


def check_classifier():
    """Fits on a class folder, predicts a file, writes a report, and agrees with plain Keras in another process."""
    write_crops(Path("photographs"))
    classifier = TransferClassifier("efficientnet_lite0").fit("photographs")
    path = Path("photographs", "flower", "0.png")
    assert list(classifier.predict(path)) == ["flower"]

    classifier.evaluate("photographs").to_html("report.html")
    assert Path("report.html").stat().st_size > 10_000

    classifier.save("photographs.keras")
    np.save("pixels.npy", np.asarray(Image.open(path))[np.newaxis])
    command = [sys.executable, "-I", "-c", PLAIN_KERAS, "photographs.keras", "pixels.npy", "answer.npy"]
    subprocess.run(command, check=True)
    np.testing.assert_allclose(np.load("answer.npy"), classifier.predict_proba(path), atol=1e-4)


if __name__ == "__main__":
    check_installation()
    check_imagenet_network()
    check_classifier()
    print(f"transferkit {transferkit.__version__}: the installed wheel works.")
