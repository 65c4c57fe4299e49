import numpy as np

from transferkit.models.assembly import assemble, parts_of
from transferkit.models.heads import LOGISTIC, build_dense, build_head, build_pooling


def assembled(backbone):
    network = backbone.build()
    pooling = build_pooling("avg", network.output_shape[1:])
    head = build_head(pooling, build_dense(LOGISTIC, network.output_shape[-1], 3))
    return assemble(backbone.build_preprocessing(), network, head)


def test_the_classifier_is_its_three_models_in_a_row(tiny_backbone, images):
    model = assembled(tiny_backbone)
    preprocessing, backbone, head = parts_of(model)
    assert np.allclose(model(images), head(backbone(preprocessing(images))), atol=1e-6)


def test_only_the_head_can_be_trained(tiny_backbone, images, labels):
    model = assembled(tiny_backbone)
    _, backbone, head = parts_of(model)
    assert len(model.trainable_variables) == len(head.variables) == 2
    before = backbone.get_weights()
    model.fit(images, np.unique(labels, return_inverse=True)[1], epochs=1, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, backbone.get_weights(), strict=True))


def test_images_of_any_size_are_welcome(tiny_backbone):
    model = assembled(tiny_backbone)
    for size in ((16, 16), (5, 70)):
        assert model(np.zeros((2, *size, 3), "uint8")).shape == (2, 3)
