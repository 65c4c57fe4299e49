"""What is silenced of TensorFlow, and whether it still says it; gradients."""

import logging

import keras
import numpy as np
import tensorflow as tf

from transferkit._utils.tensorflow import with_gradient, without_retracing_warnings

REMARK = "5 out of the last 5 calls to <function> triggered tf.function retracing."


def said(caplog):
    caplog.clear()
    for text in (REMARK, "something else"):
        logging.getLogger("tensorflow").warning(text)
    return [record.getMessage() for record in caplog.records]


def test_retracing_is_not_mentioned_as_long_as_any_block_runs(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("tensorflow"), "propagate", True)
    one, other = without_retracing_warnings(), without_retracing_warnings()
    assert said(caplog) == [REMARK, "something else"]
    one.__enter__()
    other.__enter__()
    assert said(caplog) == ["something else"]
    one.__exit__(None, None, None)
    assert said(caplog) == ["something else"]
    other.__exit__(None, None, None)
    assert said(caplog) == [REMARK, "something else"]


def trace_often():
    """Makes one function see a new shape at every call."""

    @tf.function
    def function(x):
        return x

    for length in range(1, 9):
        function(tf.zeros(length))


def test_tensorflow_still_says_it_of_its_own_accord_and_not_inside(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("tensorflow"), "propagate", True)
    trace_often()
    assert any("triggered tf.function retracing" in record.getMessage() for record in caplog.records)
    caplog.clear()
    with without_retracing_warnings():
        trace_often()
    assert caplog.records == []


def test_a_score_and_its_gradient_come_together():
    inputs = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], "float32")

    def compute(values, powers):
        return keras.ops.sum(values**powers, axis=1), values[:, 0], powers

    run = with_gradient(compute)
    for count in (3, 1):  # a last batch is smaller
        gradient, first, powers = run(inputs[:count], np.full((count, 1), 2.0, "float32"))
        assert np.array_equal(gradient, 2 * inputs[:count])
        assert first.tolist() == inputs[:count, 0].tolist()
        assert powers.shape == (count, 1)
        assert all(isinstance(each, np.ndarray) for each in (gradient, first, powers))


def test_where_nothing_leads_to_the_score_its_gradient_is_0():
    gradient, *_ = with_gradient(lambda values: (keras.ops.zeros(2), values))(np.ones((2, 3), "float32"))
    assert np.array_equal(gradient, np.zeros((2, 3)))
