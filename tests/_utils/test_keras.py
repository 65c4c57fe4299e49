import logging

from transferkit._utils.keras import without_retracing_warnings

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
