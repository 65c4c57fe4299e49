"""What a user does, on a tiny backbone."""

import os
import random
import shutil
import zipfile
from dataclasses import replace

import keras
import numpy as np
import pytest
import sklearn
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score

from transferkit import (
    ArchiveError,
    Checks,
    Compute,
    Head,
    ImageReadError,
    Phase,
    Table,
    TransferClassifier,
    backbone_from_model,
)
from transferkit.training.callbacks import LOGGED


@pytest.fixture
def make(tiny_backbone):
    """Makes an unfitted, silent classifier on the tiny backbone."""
    return lambda **options: TransferClassifier(tiny_backbone, **{"verbose": 0, **options})


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Files of several sizes and formats."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(1)
    paths = []
    for number, (size, mode, suffix) in enumerate(
        [((40, 33, 3), "RGB", "png"), ((16, 16, 3), "RGB", "jpg"), ((9, 70), "L", "png"), ((64, 20, 3), "RGB", "bmp")]
    ):
        path = folder / f"{number}.{suffix}"
        Image.fromarray(rng.integers(0, 255, size, dtype="uint8"), mode=None).convert(mode).save(path)
        paths.append(str(path))
    return paths


# Fitting and predicting


def test_it_learns_to_tell_colours(fitted_classifier, images, labels):
    assert fitted_classifier.score(images, labels) > 0.9
    assert fitted_classifier.classes_.tolist() == ["blue", "green", "red"]


def test_folders_paths_and_arrays_train_the_same_classifier(
    make, fitted_classifier, images, labels, image_folder, image_paths
):
    expected = fitted_classifier.predict_proba(images)
    assert make().fit(image_paths, labels).predict_proba(images) == pytest.approx(expected, abs=2e-3)
    from_folder = make().fit(image_folder)
    assert from_folder.classes_.tolist() == ["blue", "green", "red"]
    assert (from_folder.predict(images) == fitted_classifier.predict(images)).all()


def test_a_path_its_pixels_and_the_model_agree(fitted_classifier, photos):
    for path in photos:
        pixels = np.asarray(Image.open(path).convert("RGB"))
        expected = fitted_classifier.predict_proba(path)
        for probabilities in (
            fitted_classifier.predict_proba(pixels),
            fitted_classifier.predict_proba(pixels.astype("float32")),
            fitted_classifier.predict_proba(Image.open(path)),
            np.asarray(fitted_classifier.model_(pixels[np.newaxis])),
        ):
            assert probabilities == pytest.approx(expected, abs=1e-4)


def test_the_order_is_kept_whatever_the_batch_size(make, images, labels, photos):
    classifier = make(batch_size=3).fit(images, labels)
    one_by_one = np.concatenate([classifier.predict_proba(path) for path in photos])
    assert classifier.predict_proba(photos) == pytest.approx(one_by_one, abs=1e-5)
    assert classifier.predict_proba(photos[::-1]) == pytest.approx(one_by_one[::-1], abs=1e-5)


@pytest.mark.parametrize("names", [["blue", "green", "red"], [30, 7, 12], [True, False]])
def test_labels_come_back_as_given(make, images, labels, names):
    given = [names[["blue", "green", "red"].index(label) % len(names)] for label in labels]
    classifier = make().fit(images, given)
    predicted = classifier.predict(images).tolist()
    assert type(predicted[0]) is type(names[0])
    assert np.mean([p == g for p, g in zip(predicted, given, strict=True)]) > 0.6
    assert classifier.classes_.tolist() == sorted(names)


def test_one_image_gives_an_array_of_one_label(fitted_classifier, images, image_paths):
    for x in (image_paths[0], images[0], Image.fromarray(images[0])):
        assert fitted_classifier.predict(x).shape == (1,)
        assert fitted_classifier.predict_proba(x).shape == (1, 3)


def test_probabilities_are_float32_and_sum_to_one(fitted_classifier, images):
    probabilities = fitted_classifier.predict_proba(images)
    assert probabilities.dtype == "float32"
    assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_gray_images_are_expanded(make, images, labels):
    gray = images.mean(axis=-1).astype("uint8")
    classifier = make().fit(gray, labels)
    assert classifier.predict_proba(gray) == pytest.approx(classifier.predict_proba(gray[..., None]), abs=1e-6)


def test_evaluation_agrees_with_the_predictions(fitted_classifier, images, labels, image_folder):
    report = fitted_classifier.evaluate(images, labels)
    assert report.accuracy == pytest.approx((fitted_classifier.predict(images) == labels).mean())
    assert fitted_classifier.evaluate(image_folder).accuracy == report.accuracy
    assert report.class_names.tolist() == ["blue", "green", "red"]


def test_sample_weights_change_the_score(fitted_classifier, images, labels):
    wrong = labels.copy()
    wrong[0] = "green" if fitted_classifier.predict(images[:1])[0] != "green" else "red"
    weights = np.zeros(len(labels))
    weights[0] = 1
    assert fitted_classifier.score(images, wrong, sample_weight=weights) == 0


def test_a_folder_is_scored_with_weights(fitted_classifier, image_folder, images, labels):
    order = np.argsort(labels, kind="stable")  # as the folder is read
    weights = np.linspace(0, 3, 24)
    right = fitted_classifier.predict(images[order]) == labels[order]
    found = fitted_classifier.score(image_folder, sample_weight=weights)
    assert found == pytest.approx(np.average(right, weights=weights))


@pytest.mark.parametrize(
    "schedule", ["linear", [Phase("logistic"), Phase("all", epochs=2, learning_rate=1e-2, interpolate=True)]]
)
def test_an_image_of_weight_0_is_not_there(tiny_backbone, images, labels, schedule, capsys):
    rng = np.random.default_rng(0)
    nonsense = rng.integers(0, 255, (10, 20, 24, 3)).astype("uint8")
    mixed = np.concatenate([images[:12], nonsense, images[12:]])
    its_labels = np.concatenate([labels[:12], ["blue"] * 10, labels[12:]])
    weights = np.concatenate([np.ones(12), np.zeros(10), np.ones(12)])
    options = {"schedule": schedule, "augmentation": None, "compute": Compute(cache="memory"), "verbose": 0}
    expected = TransferClassifier(tiny_backbone, **options).fit(images, labels, sample_weight=np.ones(24))
    found = TransferClassifier(tiny_backbone, **options | {"verbose": 1}).fit(mixed, its_labels, sample_weight=weights)
    assert np.array_equal(found.predict_proba(images), expected.predict_proba(images))
    assert "Left out 10 training images of weight 0." in capsys.readouterr().out
    places = [int(name.removeprefix("image ")) for name in found.split_.training + found.split_.validation]
    assert sorted(places) == np.flatnonzero(weights).tolist()


def test_nothing_of_weight_to_choose_on_is_refused(tiny_backbone, image_paths, labels):
    table = {"path": image_paths, "label": labels, "split": ["train"] * 18 + ["val"] * 6, "weight": [1] * 18 + [0] * 6}
    data = Table(table, weight="weight", split="split")
    with pytest.raises(ValueError, match="All 6 validation images have weight 0. Give some of them another"):
        TransferClassifier(tiny_backbone, verbose=0).fit(data)
    weights = np.where(labels == "red", 1.0, 0.0)
    with pytest.raises(ValueError, match=r"at least two classes. Received: 8 images, all of class red"):
        TransferClassifier(tiny_backbone, verbose=0).fit(image_paths, labels, sample_weight=weights)


def test_files_are_predicted_with_their_paths(fitted_classifier, image_folder, image_paths):
    predictions = fitted_classifier.predict_files(image_folder / "red")
    assert [p.path for p in predictions] == sorted(path for path in image_paths if "/red/" in path)
    first = fitted_classifier.predict_proba(predictions[0].path)[0]
    assert predictions[0].label == fitted_classifier.predict(predictions[0].path)[0]
    assert predictions[0].probability == pytest.approx(first.max(), abs=1e-5)


def test_the_seed_decides_everything(make, images, labels):
    head = Head(units=(4,))
    one, again = (make(head=head, epochs=2).fit(images, labels).predict_proba(images) for _ in range(2))
    assert np.array_equal(one, again)


def test_nothing_that_was_handed_in_is_changed(make, tiny_network, images, labels):
    weights, pixels = tiny_network.get_weights(), images.astype("float32")
    before = pixels.copy()
    make().fit(pixels, labels)
    assert np.array_equal(pixels, before)
    assert all(np.array_equal(a, b) for a, b in zip(weights, tiny_network.get_weights(), strict=True))
    assert tiny_network.trainable


# Heads and validation data


@pytest.mark.parametrize("pooling", ["avg", "max", "flatten"])
def test_any_head_can_be_trained(make, images, labels, pooling):
    head = Head(pooling=pooling, units=(16,), dropout=0.1)
    classifier = make(head=head, epochs=60, learning_rate=0.01, batch_size=8).fit(images, labels)
    assert classifier.score(images, labels) > 0.6
    assert len(classifier.history_["val_loss"]) <= 60
    names = [layer.name for layer in classifier.model_.get_layer("head").layers]
    assert names == ["features", "pool", "hidden1", "dropout1", "probabilities"]


def test_validation_data_choose_the_strength(make, images, labels, image_folder):
    classifier = make().fit(images, labels, validation_data=(images, labels))
    assert classifier.score(images, labels) in classifier.history_["val_accuracy"]
    assert make().fit(images, labels, validation_data=image_folder).history_["val_loss"]
    with pytest.raises(ValueError, match=r"or a tuple \(x, y\) or \(x, y, sample_weight\). Received: a tuple of 4"):
        make().fit(images, labels, validation_data=(images, labels, labels, labels))


def test_the_image_size_can_be_chosen(images, labels):
    image = keras.Input((None, None, 3))
    flexible = keras.Model([image], [keras.layers.Conv2D(4, 3)(image)])
    classifier = TransferClassifier(flexible, image_size=(10, 14), head=Head("flatten", (), dropout=0), verbose=0)
    classifier.fit(images, labels)
    assert classifier.image_size_ == (10, 14)
    assert classifier.model_.get_layer("backbone").input_shape == (None, 10, 14, 3)


# The estimator contract of scikit-learn


def test_cloning_keeps_the_parameters_and_forgets_the_fit(fitted_classifier):
    copy = clone(fitted_classifier.set_params())
    assert copy.get_params()["verbose"] == 0
    assert not hasattr(copy, "model_")
    assert copy.backbone.name == "tiny"


def test_fit_changes_no_parameter(make, images, labels):
    classifier = make(head=Head(units=(4,)), epochs=1)
    before = classifier.get_params()
    assert classifier.fit(images, labels) is classifier
    assert classifier.get_params() == before


def test_cross_validation_works_on_arrays_of_images_and_of_paths(make, images, labels, image_paths):
    for x in (images, np.array(image_paths)):
        scores = cross_val_score(make(), x, labels, cv=3, error_score="raise")
        assert scores.shape == (3,)
        assert scores.mean() > 0.5


def test_grid_search_chooses_a_head(make, images, labels):
    grid = {"head": ["logistic", Head(units=(2,))], "epochs": [1]}
    search = GridSearchCV(make(), grid, cv=2, error_score="raise").fit(images, labels)
    assert search.best_params_["head"] in grid["head"]
    assert search.best_estimator_.score(images, labels) > 0.3


# Saving and loading


def test_a_loaded_classifier_predicts_the_same(fitted_classifier, images, labels, tmp_path):
    fitted_classifier.save(tmp_path / "colours.keras")
    loaded = TransferClassifier.load(tmp_path / "colours.keras")
    assert np.array_equal(loaded.predict_proba(images), fitted_classifier.predict_proba(images))
    assert loaded.classes_.tolist() == fitted_classifier.classes_.tolist()
    assert loaded.history_ == fitted_classifier.history_
    assert loaded.fit(images, labels).score(images, labels) > 0.9


def test_a_saved_file_does_not_tell_where_it_was_made(make, image_folder, image_paths, labels, tmp_path):
    classifier = make(compute=Compute(cache="disk", cache_dir=tmp_path / "cache", engine="keras"))
    classifier.fit(image_paths[:18], labels[:18], validation_data=(image_paths[18:], labels[18:]))
    classifier.save(tmp_path / "x.keras")
    with zipfile.ZipFile(tmp_path / "x.keras") as archive:
        content = b"".join(archive.read(name) for name in archive.namelist())
    for private in (image_folder, tmp_path, "cache_dir"):
        assert str(private).encode() not in content
    split = TransferClassifier.load(tmp_path / "x.keras").split_
    assert classifier.split_.training == tuple(image_paths[:18])
    assert [str(image_folder / name) for name in split.training + split.validation] == image_paths


def test_names_that_are_not_utf_8_can_be_trained_on_saved_and_listed(make, images, labels, tmp_path):
    odd = {"red": os.fsdecode(b"r\xe9d")}
    try:
        os.mkdir(tmp_path / odd["red"])
    except OSError:
        pytest.skip("the file system takes UTF-8 names only")
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        (tmp_path / odd.get(label, label)).mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / odd.get(label, label) / f"{number}.png")
    classifier = make().fit(tmp_path)
    classifier.save(tmp_path / "x.keras")
    classifier.split_.to_csv(tmp_path / "split.csv")
    again = TransferClassifier.load(tmp_path / "x.keras")
    assert again.classes_.tolist() == classifier.classes_.tolist() == ["blue", "green", odd["red"]]
    assert f"{odd['red']}/2.png" in again.split_.training
    assert os.fsencode(tmp_path / odd["red"] / "2.png") + b",training" in (tmp_path / "split.csv").read_bytes()


@pytest.mark.parametrize("names", [[7, 30], ["ä", "b"], [False, True]])
def test_classes_keep_their_type_through_a_file(make, images, labels, tmp_path, names):
    classifier = make().fit(images, [names[int(label == "red")] for label in labels])
    classifier.save(tmp_path / "x.keras")
    assert TransferClassifier.load(tmp_path / "x.keras").predict(images[:1]).dtype == classifier.classes_.dtype


def test_plain_keras_opens_the_file_in_a_process_without_transferkit(
    fitted_classifier, images, tmp_path, in_fresh_process
):
    fitted_classifier.save(tmp_path / "colours.keras")
    np.save(tmp_path / "images.npy", images)
    in_fresh_process(
        "import sys, keras, numpy as np\n"
        "folder = sys.argv[1]\n"
        "model = keras.saving.load_model(folder + '/colours.keras', safe_mode=True)\n"
        "assert not any(name.startswith('transferkit') for name in sys.modules)\n"
        "np.save(folder + '/out.npy', model.predict(np.load(folder + '/images.npy'), verbose=0))\n",
        tmp_path,
    )
    assert np.load(tmp_path / "out.npy") == pytest.approx(fitted_classifier.predict_proba(images), abs=1e-5)


def test_another_kind_of_file_is_refused(tmp_path):
    (tmp_path / "x.keras").write_text("no model")
    with pytest.raises(ArchiveError, match="not a .keras file"):
        TransferClassifier.load(tmp_path / "x.keras")


# Being told


@pytest.fixture
def folder_with_more(image_folder, tmp_path):
    """The class folder, and an empty folder in it."""
    folder = shutil.copytree(image_folder, tmp_path / "images")
    (folder / "empty").mkdir()
    return folder


def test_silence_is_complete(make, images, labels, folder_with_more, tmp_path, capfd):
    classifier = make(head=Head(units=(4,)), epochs=2).fit(folder_with_more)
    classifier.predict(images)
    classifier.predict_files(folder_with_more)
    classifier.evaluate(folder_with_more)
    classifier.save(tmp_path / "x.keras")
    TransferClassifier.load(tmp_path / "x.keras").predict(images)
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == ""


def test_many_fits_in_silence_are_silent_too(tmp_path, in_fresh_process):
    printed = in_fresh_process(
        "import contextlib, io, sys\n"
        "import numpy as np\n"
        "import keras\n"
        "from transferkit import Head, TransferClassifier\n"
        "x = np.random.default_rng(0).integers(0, 255, (6, 8, 8, 3)).astype('uint8')\n"
        "image = keras.Input((8, 8, 3))\n"
        "network = keras.Model(image, keras.layers.Conv2D(2, 3)(image))\n"
        "errors = io.StringIO()\n"
        "with contextlib.redirect_stderr(errors):\n"
        "    for head in ['logistic'] * 5 + [Head(units=(2,))] * 2:\n"
        "        TransferClassifier(network, head=head, epochs=1, verbose=0).fit(x, [0, 1] * 3).predict(x)\n"
        "print(errors.getvalue())\n"
    )
    assert printed.strip() == ""


def test_the_scaling_of_a_model_handed_in_is_said(tiny_network, images, labels, capsys):
    TransferClassifier(tiny_network, verbose=2).fit(images, labels)
    assert "Backbone 'tiny' is a model of yours. Its input scaling is taken to be 'none'" in capsys.readouterr().out


def test_what_is_left_out_is_said(make, folder_with_more, capsys):
    make(verbose=2).fit(folder_with_more)
    out = capsys.readouterr().out
    assert "Ignored folder 'empty': no images in it." in out
    assert "24 images of 3 classes: blue, green, red" in out


# Bad input


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_files", "evaluate", "score"])
def test_predicting_before_fitting_is_refused(make, images, method):
    with pytest.raises(NotFittedError, match="not fitted yet"):
        getattr(make(), method)(images)


def test_saving_before_fitting_is_refused(make, tmp_path):
    with pytest.raises(NotFittedError):
        make().save(tmp_path / "x.keras")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": "resnet5"}, "Unknown backbone. Received: backbone='resnet5'. Did you mean 'resnet"),
        ({"image_size": 2.5}, r"`image_size` must be an integer or \(height, width\). Received: image_size=2.5"),
        ({"image_size": (32,)}, "`image_size` must be"),
        ({"image_size": 40}, "takes images of .* only"),
        ({"head": "mlp"}, "`head` must be 'logistic' or a Head. Received: head='mlp'"),
        ({"batch_size": 0}, "`batch_size` must be an integer from 1. Received: batch_size=0"),
        ({"epochs": 1.5}, "`epochs` must be an integer from 1"),
        ({"seed": None}, "`seed` must be an integer from 0"),
        ({"verbose": "loud"}, "`verbose` must be"),
        ({"head": Head(), "validation_split": 1.0}, "`validation_split` must be between 0 and 1"),
        ({"head": Head(), "optimizer": "adamm"}, "Unknown optimizer"),
    ],
)
def test_unusable_parameters_are_refused(make, images, labels, options, message):
    classifier = make().set_params(**options)
    with pytest.raises(ValueError, match=message):
        classifier.fit(images, labels)
    assert not hasattr(classifier, "model_")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x, y[:-1]), "Received: 24 images and 23 labels"),
        (lambda x, y: (x / 255, y), "rescale=1/255"),
        (lambda x, y: (np.where(x > 200, np.nan, x), y), "NaN"),
        (lambda x, y: (np.concatenate([x, x], axis=-1), y), "6 channels"),
        (lambda x, y: (x, ["red"] * 24), "at least two classes"),
        (lambda x, y: (x, None), "Labels are missing"),
    ],
)
def test_unusable_data_are_refused_before_anything_is_computed(make, images, labels, change, message):
    with pytest.raises(ValueError, match=message):
        make().fit(*change(images, labels))


def test_unreadable_images_are_listed_or_skipped(make, image_paths, labels, tmp_path):
    broken = [tmp_path / "broken1.png", tmp_path / "broken2.png"]
    for path in broken:
        path.write_bytes(b"no image")
    x, y = [*image_paths, *map(str, broken)], [*labels, "red", "blue"]
    with pytest.raises(ImageReadError, match=r"(?s)2 of 26 images could not be read.*broken1.*broken2"):
        make().fit(x, y)
    classifier = make(checks=Checks(on_bad_image="skip")).fit(x, y)
    assert classifier.evaluate(x, y).num_images == 24
    with pytest.raises(ImageReadError):
        classifier.predict(x)
    predictions = classifier.predict_files(x)
    assert [p.label for p in predictions[-2:]] == [None, None]
    assert np.isnan(predictions[-1].probability)
    assert [p.label for p in predictions[:-2]] == classifier.predict(image_paths).tolist()


def test_a_failed_fit_keeps_what_was_learnt_before(make, images, labels):
    classifier = make().fit(images, labels)
    before = classifier.predict_proba(images)
    with pytest.raises(ValueError, match="must have the same length"):
        classifier.fit(images, labels[:-1])
    assert np.array_equal(classifier.predict_proba(images), before)


def test_an_unknown_class_at_evaluation_is_named(fitted_classifier, images):
    with pytest.raises(ValueError, match=r"'pink'. Known classes: 'blue', 'green', 'red'"):
        fitted_classifier.evaluate(images[:2], ["red", "pink"])


def test_a_missing_weights_file_is_refused(images, labels):
    with pytest.raises(FileNotFoundError, match="`weights` is not a file. Received: weights='no.h5'"):
        TransferClassifier("efficientnet_lite0", weights="no.h5", image_size=32, verbose=0).fit(images, labels)


def random_backbone():
    """A backbone whose weights Keras draws anew whenever it is built."""

    def build(input_shape, weights):
        image = keras.Input(input_shape)
        return keras.Model(image, keras.layers.Conv2D(4, 3, strides=4, name="conv1")(image))

    return replace(backbone_from_model(build((16, 16, 3), None)), builder=build)


def test_global_generators_stay_where_they_are(tiny_backbone, images, labels, tmp_path):
    def states():
        return random.getstate(), np.random.get_state()[1].tolist()

    backbone = random_backbone()
    before = states()
    for options in (
        {"backbone": backbone, "weights": None},
        {"schedule": [Phase("head", epochs=1)], "head": Head(units=(4,)), "augmentation": "light"},
    ):
        clf = TransferClassifier(**{"backbone": tiny_backbone, "verbose": 0} | options).fit(images, labels)
        clf.evaluate(images, labels)
        clf.save(tmp_path / "a.keras")
        TransferClassifier.load(tmp_path / "a.keras").predict(images)
        clf.show_augmentation(images[:1], copies=1)
        assert states() == before


def test_random_weights_of_a_backbone_come_from_the_seed(images, labels):
    def weights(seed):
        clf = TransferClassifier(random_backbone(), weights=None, seed=seed, verbose=0, compute=Compute(cache="memory"))
        return clf.fit(images, labels).predict_proba(images)

    random.seed(1)
    one = weights(0)
    random.seed(2)
    assert np.array_equal(weights(0), one)
    assert not np.array_equal(weights(1), one)


# Few images


@pytest.fixture
def few(images):
    """Takes images by number; those with the same number are equal."""
    return lambda *numbers: images[list(numbers)]


@pytest.mark.parametrize("options", [{}, {"balance": "undersample"}])
@pytest.mark.parametrize(
    ("numbers", "names"),
    [
        ([0, 1], "ab"),
        ([0, 1, 2], "aba"),
        ([0, 0, 1], "aab"),
        ([0, 0, 1, 2], "aabb"),
        ([0, 0, 1, 2, 3, 4, 5, 6], "aaaabbbb"),
    ],
)
def test_few_images_and_equal_ones_train_the_logistic_head(make, few, numbers, names, options):
    classifier = make(**options).fit(few(*numbers), list(names))
    assert np.isfinite(classifier.predict_proba(few(*numbers))).all()


def test_one_image_a_class_is_enough(make, photos, tmp_path):
    classifier = make().fit(photos[:2], ["daisy", "tulip"])
    assert classifier.predict(photos[:2]).tolist() == ["daisy", "tulip"]
    assert classifier.history_["l2"] == [10.0]
    classifier.save(tmp_path / "few.keras")
    assert TransferClassifier.load(tmp_path / "few.keras").predict(photos[:2]).tolist() == ["daisy", "tulip"]


def test_one_image_a_label_is_enough(make, few):
    classifier = make().fit(few(0, 1), [{"a"}, {"b"}])
    assert classifier.predict(few(0, 1)).tolist() == [("a",), ("b",)]
    assert classifier.thresholds_.tolist() == [0.5, 0.5]


def test_a_first_head_of_one_group_is_chosen_on_validation_data(make, few, images, labels):
    schedule = [Phase("logistic"), Phase("head", epochs=1)]
    validation = images[6:], labels[6:]
    classifier = make(schedule=schedule).fit(few(0, 1, 2), labels[:3], groups=[5, 5, 5], validation_data=validation)
    assert np.isfinite(classifier.history_["val_loss"]).all()


# What is known before the first image is computed


@pytest.fixture
def without_computing(monkeypatch):
    """Lets what computes features fail."""

    def fail(*args, **kwargs):
        raise AssertionError("computed")

    monkeypatch.setattr("transferkit.frozen.features.FrozenFeatures.features", fail)


@pytest.mark.parametrize(
    ("options", "arguments", "message"),
    [
        ({"class_weight": {"zebra": 3}}, {}, "`class_weight` names classes that are not in the data: .'zebra'."),
        ({}, {"callbacks": [keras.callbacks.EarlyStopping("val_acc")]}, "'val_acc', which is not logged"),
        ({}, {"validation_data": 0.2}, "`validation_data` must be"),
    ],
)
def test_what_cannot_end_well_does_not_begin(make, images, labels, without_computing, options, arguments, message):
    options = {"schedule": "fine_tune", **options}
    with pytest.raises((ValueError, TypeError), match=message):
        make(**options).fit(images, labels, **arguments)


def test_weights_of_classes_are_checked_before_the_rate_is_sought(make, images, labels, without_computing):
    with pytest.raises(ValueError, match="`class_weight` names classes"):
        make(class_weight={"zebra": 3}).find_learning_rate(images, labels)


def test_callbacks_find_in_the_logs_what_is_said_to_be_there(make, images, labels):
    seen = []
    diary = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(sorted(logs)))
    make(schedule="head", epochs=1).fit(images, labels, callbacks=[diary])
    assert seen == [sorted(LOGGED)]


# Names that are not UTF-8


def test_what_was_learnt_from_names_that_are_not_utf_8_is_saved(make, images, tmp_path):
    root = tmp_path / "images"
    try:
        for name in (b"ros\xe9", b"tulip"):
            (root / os.fsdecode(name)).mkdir(parents=True)
        for number, image in enumerate(images[:8]):
            Image.fromarray(image).save(root / os.fsdecode((b"ros\xe9", b"tulip")[number % 2]) / f"{number}.png")
    except OSError:  # some file systems take UTF-8 alone
        pytest.skip("no such names here")
    classifier = make().fit(root)
    classifier.split_.to_csv(tmp_path / "split.csv")
    classifier.save(tmp_path / "it.keras")
    loaded = TransferClassifier.load(tmp_path / "it.keras")
    assert loaded.split_ == classifier.split_.without_root()
    assert loaded.classes_.tolist() == ["ros\udce9", "tulip"]
    assert loaded.predict(root).tolist() == classifier.predict(root).tolist()


def test_what_scikit_learn_is_told_of_it_is_true(make):
    sklearn_utils = pytest.importorskip("sklearn.utils", minversion=None)
    if not hasattr(sklearn_utils, "get_tags"):  # scikit-learn 1.5
        pytest.skip("this scikit-learn knows no tags")
    tags = sklearn_utils.get_tags(make())
    assert tags.estimator_type == "classifier"
    assert tags.classifier_tags.multi_label
    assert tags.classifier_tags.multi_class
    assert tags.input_tags.string
    assert not tags.input_tags.two_d_array
    assert tags.no_validation


def test_a_notebook_shows_parameters_and_what_was_learnt(fitted_classifier, tiny_backbone):
    shown = fitted_classifier.fitted_._repr_html_()
    for html in (fitted_classifier._repr_mimebundle_()["text/html"], fitted_classifier._repr_html_()):
        assert html.endswith(shown)
        assert "TransferClassifier" in html
    with sklearn.config_context(display="text"):
        assert list(fitted_classifier._repr_mimebundle_()) == ["text/plain"]
    assert "backbone</th>" not in TransferClassifier(tiny_backbone)._repr_html_()


def test_the_history_can_be_drawn(fitted_classifier, tiny_backbone):
    (*_, chosen) = fitted_classifier.plot_history("accuracy").lines
    best = np.argmin(fitted_classifier.history_["val_loss"])
    assert chosen.get_ydata().tolist() == [fitted_classifier.history_["val_accuracy"][best]]
    with pytest.raises(NotFittedError):
        TransferClassifier(tiny_backbone).plot_history()
