import numpy as np
import pytest

from transferkit.models.heads import Head, build_dense, build_head, build_logits, build_pooling


@pytest.fixture
def feature_map():
    return np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype("float32")


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ("avg", lambda x: x.mean(axis=(1, 2))),
        ("max", lambda x: x.max(axis=(1, 2))),
        ("flatten", lambda x: x.reshape(2, -1)),
    ],
)
def test_pooling_makes_vectors(feature_map, pooling, expected):
    pooled = build_pooling(pooling, (3, 4, 5))(feature_map)
    assert np.allclose(pooled, expected(feature_map), atol=1e-6)


def test_vectors_pass_pooling_unchanged(feature_map):
    vectors = feature_map[:, 0, 0]
    assert np.array_equal(build_pooling("avg", (5,))(vectors), vectors)


def test_the_flatten_head_of_the_tutorials_has_its_layers():
    head = Head(pooling="flatten", units=(1024,), dropout=0.5, l2=0.01)
    dense = build_dense(head, 60, 3)
    assert [layer.name for layer in dense.layers[1:]] == ["hidden1", "dropout1", "probabilities"]
    assert dense.get_layer("hidden1").units == 1024
    assert dense.get_layer("dropout1").rate == 0.5
    assert float(dense.get_layer("hidden1").kernel_regularizer.l2) == pytest.approx(0.01)
    assert dense.output_shape == (None, 3)


def test_a_head_is_pooling_and_dense_layers_with_shared_weights(feature_map):
    pooling, dense = build_pooling("avg", (3, 4, 5)), build_dense(Head(units=(4,)), 5, 3)
    head = build_head(pooling, dense)
    assert np.allclose(head(feature_map), dense(pooling(feature_map)), atol=1e-6)
    assert [id(v) for v in head.variables] == [id(v) for v in dense.variables]


def test_the_seed_decides_the_first_weights():
    one, again, other = (build_dense(Head(), 5, 3, seed).get_weights()[0] for seed in (0, 0, 1))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_one_width_needs_no_tuple():
    assert Head(units=32).units == Head(units=np.int64(32)).units == (32,)
    assert Head(units=()).units == ()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pooling": "mean"}, "Unknown `pooling`. Received: 'mean'"),
        ({"units": (0,)}, "`units` must be positive"),
        ({"activation": "rellu"}, "Unknown `activation`. Received: activation='rellu'"),
        ({"dropout": 1.0}, r"`dropout` must be in \[0, 1\)"),
        ({"l2": -1.0}, "must not be negative"),
    ],
)
def test_values_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Head(**arguments)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_logits_are_what_the_last_activation_sees(feature_map, activation):
    pooling = build_pooling("max", feature_map.shape[1:])
    head = build_head(pooling, build_dense(Head(units=(7, 6)), 5, 4, activation=activation))
    logits = build_logits(head)
    last = head.get_layer("probabilities")
    for _ in range(2):  # they share the weights
        expected = np.asarray(head(feature_map))
        assert np.asarray(last.activation(logits(feature_map))) == pytest.approx(expected, abs=1e-6)
        assert np.ptp(logits(feature_map)) > 0.1
        last.set_weights([weight + 1 for weight in last.get_weights()[:1]] + [np.arange(4.0)])
