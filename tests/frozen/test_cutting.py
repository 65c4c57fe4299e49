import keras
import numpy as np
import pytest
from keras import layers

from transferkit.backbones.stages import Stage
from transferkit.frozen.cutting import find_cut, pooled_cut
from transferkit.models.freezing import changing_layers, select
from transferkit.models.heads import build_pooling

STAGES = (Stage("stage1"), Stage("stage2", "conv2"), Stage("stage3", "conv3"))


@pytest.fixture(scope="module")
def network():
    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(4, 3, padding="same", name="conv1")(image)
    x = layers.BatchNormalization(name="bn1")(x)
    x = layers.Conv2D(6, 3, strides=2, padding="same", name="conv2")(x)
    x = layers.Dropout(0.5, name="dropout2")(x)
    x = layers.Conv2D(8, 3, strides=2, padding="same", name="conv3")(x)
    return keras.Model(image, x)


def cut_of(network, train, **options):
    return find_cut(
        network, build_pooling("avg", network.output_shape[1:]), STAGES, select(network, STAGES, train, **options)
    )


def test_a_phase_that_leaves_the_backbone_alone_keeps_pooled_features(network):
    cut = cut_of(network, "head")
    assert cut.is_pooled
    assert cut.row_shape == (8,)
    assert cut.share == 1
    assert cut.work == 16 * 16 * 27 * 4 + 8 * 8 * 36 * 6 + 4 * 4 * 54 * 8
    assert cut == pooled_cut(network, build_pooling("avg", network.output_shape[1:]))


@pytest.mark.parametrize(
    ("train", "stage", "row_shape"),
    [
        ("stage3", "stage3", (8, 8, 6)),
        ("stage2", "stage2", (16, 16, 4)),
        (["stage2"], "stage2", (16, 16, 4)),  # stage3 and the head are frozen, and come after what trains
        (["stage3", "head"], "stage3", (8, 8, 6)),
    ],
)
def test_the_cut_is_right_before_the_first_stage_that_trains(network, train, stage, row_shape):
    cut = cut_of(network, train)
    assert (cut.stage, cut.row_shape) == (stage, row_shape)
    before = {"stage2": 27 * 4 * 256, "stage3": 27 * 4 * 256 + 36 * 6 * 64}[stage]
    assert cut.work == before
    assert cut.share == pytest.approx(before / cut_of(network, "head").work)


@pytest.mark.parametrize(("train", "options"), [("all", {}), ("batch_norm", {}), ("lora", {"rank": 2})])
def test_there_is_no_cut_where_the_first_layers_change(network, train, options):
    assert cut_of(network, train, **options) is None


def test_dropout_of_a_training_stage_changes_although_it_has_no_weights(network):
    assert "dropout2" in changing_layers(network, select(network, STAGES, ["stage2"]))
    assert "dropout2" not in changing_layers(network, select(network, STAGES, "stage3"))


def test_adapters_and_batch_norm_change_what_they_sit_on(network):
    assert changing_layers(network, select(network, STAGES, "lora", 2)) == {"conv1", "conv2", "conv3"}
    assert changing_layers(network, select(network, STAGES, "batch_norm")) == {"bn1"}


def test_a_stage_that_cannot_be_cut_off_exactly_is_passed_over():
    image = keras.Input((8, 8, 3))
    first = layers.Conv2D(4, 3, padding="same", name="conv1")(image)
    second = layers.Conv2D(4, 3, padding="same", name="conv2")(first)
    third = layers.Conv2D(4, 3, padding="same", name="conv3")(second)
    network = keras.Model(image, layers.Add()([third, first]))  # `first` crosses the beginning of stage3, too
    assert cut_of(network, "stage3").stage == "stage2"


def test_a_network_for_images_of_any_size_has_no_costs_but_can_be_cut_after_the_pooling():
    image = keras.Input((None, None, 3))
    network = keras.Model(image, layers.Conv2D(4, 3, name="conv1")(image))
    cut = pooled_cut(network, build_pooling("avg", network.output_shape[1:]))
    assert (cut.work, cut.share, cut.row_shape) == (0, 1, (4,))
    assert np.isfinite(cut.share)
