import json
from pathlib import Path

import keras
import numpy as np
import pytest

from transferkit import Compute, Head, Phase, TransferClassifier
from transferkit.backbones.registry import get_backbone
from transferkit.saving.settings import backbone_from_json, backbone_to_json, parameters_from_json, parameters_to_json


def round_trip(classifier):
    parameters = classifier.get_params(deep=False)
    return parameters_from_json(json.loads(json.dumps(parameters_to_json(parameters))))


def test_parameters_survive_json():
    given = {"image_size": (32, 48), "head": Head(units=(8, 4)), "weights": Path("w.h5"), "seed": 3}
    back = round_trip(TransferClassifier(**given))
    assert back["image_size"] == (32, 48)
    assert back["head"] == given["head"]
    assert back["weights"] == "w.h5"
    assert back["seed"] == 3
    assert TransferClassifier(**back).get_params()["head"] == given["head"]


def test_what_is_about_the_machine_stays_there():
    given = {"compute": Compute(engine="keras", cache="disk", cache_dir="/home/me/cache"), "verbose": 2}
    classifier = TransferClassifier(**given, weights="/home/me/w.h5")
    plain = parameters_to_json(classifier.get_params(deep=False))
    assert not set(plain) & set(given)
    assert "/home/me" not in json.dumps(plain)
    assert plain["weights"] == "w.h5"


def test_an_optimizer_survives_json():
    back = round_trip(TransferClassifier(optimizer=keras.optimizers.SGD(0.3, momentum=0.5)))
    assert isinstance(back["optimizer"], keras.optimizers.SGD)
    assert back["optimizer"].momentum == pytest.approx(0.5)


def test_a_registered_backbone_is_known_by_its_name():
    plain = json.loads(json.dumps(backbone_to_json(get_backbone("efficientnet_lite0"))))
    assert backbone_from_json(plain, None) == "efficientnet_lite0"


def test_any_other_is_made_of_the_saved_network(tiny_backbone):
    plain = json.loads(json.dumps(backbone_to_json(tiny_backbone)))
    network = tiny_backbone.build()
    back = backbone_from_json(plain, network)
    assert backbone_to_json(back) == plain
    x = np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 3))
    assert np.array_equal(back.build()(x), network(x))


@pytest.mark.parametrize(
    ("trained", "is_fine_tuned"),
    [
        (["logistic"], False),
        (["head"], False),
        ([["head"]], False),
        ([], False),
        (["logistic", "all"], True),
        (["lora"], True),
        (["batch_norm"], True),
        ([["stage2", "head"]], True),
    ],
)
def test_it_is_marked_if_a_phase_has_changed_it(tiny_backbone, trained, is_fine_tuned):
    plain = backbone_to_json(tiny_backbone)
    back = backbone_from_json(plain, tiny_backbone.build(), [Phase(train) for train in trained])
    assert back.is_fine_tuned == is_fine_tuned


def test_numpy_scalars_become_plain_numbers():
    back = round_trip(
        TransferClassifier(batch_size=np.int64(8), learning_rate=np.float32(0.5), image_size=np.int64(32))
    )
    assert (back["batch_size"], back["learning_rate"], back["image_size"]) == (8, 0.5, 32)


def test_a_backbone_that_was_saved_with_its_classifier_is_still_read():
    image = keras.Input((8, 8, 3))
    network = keras.Model(image, keras.layers.Dense(5, "softmax")(keras.layers.GlobalAveragePooling2D()(image)))
    plain = {"name": "mine", "scaling": "none", "image_size": [8, 8], "stages": []}
    assert backbone_from_json(plain, network).name == "mine"
