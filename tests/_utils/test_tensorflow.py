"""What is silenced of TensorFlow, and whether it still says it."""

import logging

import tensorflow as tf

from transferkit._utils.tensorflow import without_retracing_warnings

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
