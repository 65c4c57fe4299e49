"""The same images through every route give the same classes, counts and predictions."""

import csv
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow.keras.preprocessing.image import ImageDataGenerator

from transferkit import Table, TransferClassifier

ROUTES = {}


def route(make):
    ROUTES[make.__name__] = make
    return make


@pytest.fixture(scope="module")
def given(images, labels, image_paths, image_folder):
    codes = np.unique(labels, return_inverse=True)[1]
    return {"images": images, "labels": labels, "paths": image_paths, "folder": image_folder, "codes": codes}


@route
def folder(given, tmp_path):
    return {"x": given["folder"]}


@route
def archive(given, tmp_path):
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as file:
        for path, label in zip(given["paths"], given["labels"], strict=True):
            file.write(path, f"images/{label}/{path.rpartition('/')[2]}")
    return {"x": tmp_path / "images.zip"}


@route
def array(given, tmp_path):
    return {"x": given["images"], "y": given["labels"]}


@route
def floats(given, tmp_path):
    return {"x": given["images"].astype("float32"), "y": given["labels"].tolist()}


@route
def paths(given, tmp_path):
    return {"x": given["paths"], "y": given["labels"]}


@route
def pillow(given, tmp_path):
    return {"x": [Image.fromarray(image) for image in given["images"]], "y": given["labels"]}


@route
def csv_file(given, tmp_path):
    with open(tmp_path / "images.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "label"), *zip(given["paths"], given["labels"], strict=True)])
    return {"x": str(tmp_path / "images.csv")}


@route
def table(given, tmp_path):
    return {"x": Table({"file": given["paths"], "colour": given["labels"]}, x="file", y="colour")}


@route
def dataset(given, tmp_path):
    return {"x": tf.data.Dataset.from_tensor_slices((given["images"], given["labels"]))}


@route
def batched_dataset(given, tmp_path):
    return {"x": dataset(given, tmp_path)["x"].batch(7)}


@route
def dataset_of_unknown_length(given, tmp_path):
    return {"x": batched_dataset(given, tmp_path)["x"].filter(lambda *batch: True)}


@route
def py_dataset(given, tmp_path):
    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 3

        def __getitem__(self, index):
            rows = slice(8 * index, 8 * index + 8)
            return given["images"][rows], given["labels"][rows]

    return {"x": Batches()}


@route
def generator(given, tmp_path):
    return {"x": ((given["images"][[i]], given["labels"][[i]]) for i in range(24)), "steps": 24}


@route
def keras_iterator_of_files(given, tmp_path):
    return {"x": ImageDataGenerator(rescale=1 / 255).flow_from_directory(given["folder"], target_size=(20, 24))}


@pytest.fixture(scope="module")
def expected(given, tiny_backbone):
    classifier = TransferClassifier(tiny_backbone, verbose=0).fit(given["images"], given["labels"])
    return classifier, classifier.predict_proba(given["images"])


@pytest.mark.parametrize("name", ROUTES)
def test_every_route_gives_the_same(name, given, expected, tiny_backbone, tmp_path, capsys):
    make = ROUTES[name]
    arguments = make(given, tmp_path)
    steps = arguments.pop("steps", None)
    classifier = TransferClassifier(tiny_backbone, verbose=0).fit(**arguments, steps_per_epoch=steps)
    assert classifier.classes_.tolist() == ["blue", "green", "red"]
    assert len(classifier.split_.training) == 24
    assert classifier.predict_proba(given["images"]) == pytest.approx(expected[1], abs=0.02)  # folds differ in order

    reference, probabilities = expected
    arguments = make(given, tmp_path)
    steps = arguments.pop("steps", None)
    report = reference.evaluate(**arguments, steps=steps)
    assert report.support.tolist() == [8, 8, 8]
    assert report.accuracy == (probabilities.argmax(axis=1) == given["codes"]).mean()

    arguments = make(given, tmp_path)
    found = reference.predict_proba(arguments["x"], steps=arguments.get("steps"))
    order = (
        np.argsort(given["codes"], kind="stable")
        if name in ("folder", "archive", "keras_iterator_of_files")
        else slice(None)
    )
    assert found == pytest.approx(probabilities[order], abs=1e-5)
