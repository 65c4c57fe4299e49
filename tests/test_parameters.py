import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

from transferkit import Checks, Compute, Head, ImageFormat, Phase, TransferClassifier
from transferkit.parameters import PARAMETERS, check_parameters


def check(**options):
    return check_parameters(TransferClassifier(**options).get_params(deep=False))


def test_every_argument_in_the_table_is_one_of_the_constructor():
    known = set(inspect.signature(TransferClassifier).parameters)
    assert set(PARAMETERS) <= known
    assert known - set(PARAMETERS) == {"backbone", "weights", "schedule", "augmentation", "balance", "verbose"}


def test_defaults_are_in_order():
    request = check()
    assert request.backbone.name == "efficientnet_lite0"
    assert request.image_format == ImageFormat((224, 224))
    assert (request.compute, request.checks) == (Compute(), Checks())
    assert request.has_logistic_head
    assert not request.has_augmentation_of_its_own


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (160, (160, 160)),
        ((96, 128), (96, 128)),
        (None, (224, 224)),
        (ImageFormat(resize="crop"), (224, 224)),
        (ImageFormat(np.int64(64)), (64, 64)),
    ],
)
def test_a_size_may_be_an_image_format(size, expected):
    image_format = check(image_size=size).image_format
    assert image_format.image_size == expected
    assert image_format.resize == ("crop" if isinstance(size, ImageFormat) and size.size is None else "stretch")


@pytest.mark.parametrize(
    "options",
    [
        {"checks": Checks("skip", "drop")},
        {"compute": Compute(cache=False)},
        {"head": Head()},
        {"epochs": np.int32(3)},
        {"schedule": [Phase("logistic"), Phase("block6")]},
        {"optimizer": keras.optimizers.SGD(0.1)},
        {"seed": 0},
    ],
)
def test_good_arguments_pass(options):
    request = check(**options)
    (name,) = options
    assert request.parameters[name] is options[name]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"checks": "skip"},
            TypeError,
            r"`checks` must be a Checks, such as Checks\(\), or None. Received: checks='skip'",
        ),
        ({"compute": "disk"}, TypeError, r"`compute` must be a Compute, .* Received: compute='disk'"),
        ({"epochs": 2.5}, ValueError, "`epochs` must be an integer from 1. Received: epochs=2.5"),
        ({"batch_size": None}, ValueError, "`batch_size` must be an integer from 1. Received: batch_size=None"),
        ({"seed": True}, ValueError, "`seed` must be an integer from 0. Received: seed=True"),
        ({"schedule": [Phase("block99")]}, ValueError, "block99"),
        ({"balance": "crt", "head": Head()}, ValueError, "balance='crt' needs the logistic head"),
    ],
)
def test_bad_arguments_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        check(**options)


def test_gathering_gradients_is_refused_where_keras_cannot():
    options = {"optimizer": keras.optimizers.Adam(gradient_accumulation_steps=4)}
    check(**options)
    with pytest.raises(ValueError, match="of the optimizer does not work with a `strategy`.*accumulation_steps=4"):
        check(**options, compute=Compute(strategy=tf.distribute.OneDeviceStrategy("cpu:0")))
