import keras
import pytest

from transferkit.backbones import registry
from transferkit.backbones.backbone import Backbone
from transferkit.backbones.registry import get_backbone, list_backbones, register_backbone
from transferkit.backbones.stages import Stage


@pytest.fixture
def own_backbone(monkeypatch):
    """A backbone of one's own, in a registry that forgets it after the test."""
    monkeypatch.setattr(registry, "_registry", dict(registry._registry))
    return Backbone("own_net", builder=keras.Model, image_size=(8, 8), scaling="none", stages=(Stage("all"),))


def test_the_list_is_sorted_and_holds_the_bundled_one():
    assert list_backbones() == sorted(list_backbones())
    assert "efficientnet_lite0" in list_backbones()


@pytest.mark.parametrize("name", ["efficientnet_b0", "EfficientNetB0", "efficientnet-b0", "EFFICIENTNETB0"])
def test_case_hyphens_and_underscores_do_not_matter(name):
    assert get_backbone(name).name == "efficientnet_b0"


@pytest.mark.parametrize(("name", "expected"), [("ResNet50V2", "resnet50_v2"), ("ConvNeXtXLarge", "convnext_xlarge")])
def test_the_class_names_of_keras_are_understood(name, expected):
    assert get_backbone(name).name == expected


def test_an_unknown_name_suggests_the_closest_one():
    message = r"Received: backbone='efficentnet_lite0'. Did you mean 'efficientnet_lite0'\? `list_backbones\(\)`"
    with pytest.raises(ValueError, match=message):
        get_backbone("efficentnet_lite0")


def test_a_name_like_no_other_gets_no_suggestion():
    with pytest.raises(ValueError, match=r"Received: backbone='qqq'. `list_backbones\(\)` lists all"):
        get_backbone("qqq")


def test_a_backbone_is_returned_as_it_is(own_backbone):
    assert get_backbone(own_backbone) is own_backbone


def test_a_model_becomes_a_backbone():
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, keras.layers.Conv2D(4, 3)(image), name="tiny")
    backbone = get_backbone(model)
    assert (backbone.name, backbone.image_size) == ("tiny", (8, 8))


@pytest.mark.parametrize("value", [None, 50, b"resnet50"])
def test_anything_else_is_a_type_error(value):
    with pytest.raises(TypeError, match=r"`backbone` must be a name, a keras.Model or a Backbone. Received: "):
        get_backbone(value)


def test_a_registered_backbone_goes_by_its_name(own_backbone):
    assert register_backbone(own_backbone) is own_backbone
    assert "own_net" in list_backbones()
    assert get_backbone("OwnNet") is own_backbone


def test_registering_the_same_backbone_again_changes_nothing(own_backbone):
    register_backbone(own_backbone)
    register_backbone(own_backbone)
    assert list_backbones().count("own_net") == 1


def test_a_name_that_is_taken_is_refused(own_backbone):
    taken = Backbone("ResNet-50", builder=keras.Model, image_size=(8, 8), scaling="none", stages=(Stage("all"),))
    with pytest.raises(ValueError, match="'ResNet-50' is registered already"):
        register_backbone(taken)
    assert get_backbone("resnet50").license == "MIT"


def test_only_backbones_are_registered(own_backbone):
    with pytest.raises(TypeError, match=r"`backbone` must be a Backbone. Received: 'own_net' of type str"):
        register_backbone("own_net")
