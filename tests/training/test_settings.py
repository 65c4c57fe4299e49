import keras
import numpy as np
import pytest

from transferkit import Augmentation, Compute, Head, Phase, TransferClassifier
from transferkit.data.inputs.convert import as_source
from transferkit.parameters import check_parameters
from transferkit.training.settings import make_settings, plan_phases, rate_of

IMAGES = np.random.default_rng(0).integers(0, 255, (8, 16, 16, 3), dtype="uint8")


def request_of(backbone="efficientnet_lite0", **options):
    return check_parameters(TransferClassifier(backbone, **options).get_params(deep=False))


def settings_of(labels, **options):
    return make_settings(request_of(**options), as_source(IMAGES, labels))


def test_the_loss_is_that_of_the_labels_and_of_the_balance():
    plain, focal = settings_of([0, 1] * 4), settings_of([0, 1] * 4, balance="focal")
    assert isinstance(plain.options.loss, keras.losses.CategoricalCrossentropy)
    assert isinstance(focal.options.loss, keras.losses.CategoricalFocalCrossentropy)
    many = settings_of([{0}, {0, 1}] * 4, balance="focal")
    assert isinstance(many.options.loss, keras.losses.BinaryFocalCrossentropy)


def test_classes_are_checked_against_those_that_are_there():
    with pytest.raises(ValueError, match="names classes that are not in the data"):
        settings_of([0, 1] * 4, class_weight={2: 3.0})
    with pytest.raises(ValueError, match="classes have no sizes to be balanced"):
        settings_of([{0}, {0, 1}] * 4, balance="auto")


@pytest.mark.parametrize(
    ("augmentation", "heads", "backbone"),
    [
        ("auto", None, Augmentation()),
        (None, None, None),
        ("light", True, True),
        (Augmentation(hue=5), True, True),
    ],
)
def test_heads_are_augmented_where_the_user_says_so(augmentation, heads, backbone):
    settings = settings_of([0, 1] * 4, augmentation=augmentation)
    assert (settings.augmenter_for(Phase("head")) is not None) == bool(heads)
    assert (settings.augmenter_for(Phase("all")) is not None) == (backbone is not None)


@pytest.mark.parametrize(
    ("phase", "augmentation", "views"),
    [
        (Phase("logistic", views=3), "light", 3),
        (Phase("logistic"), "light", 1),
        (Phase("logistic", views=3), "auto", 1),
        (Phase("logistic", views=None), "light", 1),
        (None, "light", 1),
    ],
)
def test_a_solved_head_sees_several_versions_if_both_were_asked_for(phase, augmentation, views):
    assert settings_of([0, 1] * 4, augmentation=augmentation).views_of_solved(phase) == views


def test_before_there_are_labels_nothing_is_balanced():
    settings = make_settings(request_of(balance="auto", compute=Compute(cache=False)))
    assert settings.balance.name is None
    assert settings.compute == Compute(cache=False)


def test_rates_are_those_of_the_user_or_of_the_optimizer():
    def rate(**options):
        return rate_of(TransferClassifier(**options).get_params(deep=False))

    assert rate() is None
    assert rate(optimizer=keras.optimizers.SGD(0.25)) == pytest.approx(0.25)
    assert rate(optimizer=keras.optimizers.SGD(0.25), learning_rate=0.5) == 0.5


def test_phases_are_planned_for_the_head_and_the_network(make_bench):
    components = make_bench().components
    phases, reason = plan_phases(request_of(make_bench().backbone, schedule="gradual"), components, 900)
    assert [phase.train for phase in phases] == ["logistic", "stage3", "stage2", "all"]
    assert reason is None
    phases, _ = plan_phases(
        request_of(make_bench().backbone, head=Head(), schedule="fine_tune", epochs=7), components, 9
    )
    assert [(phase.train, phase.epochs) for phase in phases] == [("head", 7), ("all", 7)]
