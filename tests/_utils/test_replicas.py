"""Alone and beside others. `tests/test_schedules.py` trains on replicas that are real."""

from types import SimpleNamespace

import numpy as np
import tensorflow as tf

from transferkit._utils.replicas import share_of_replica


def test_one_alone_has_the_mean():
    assert np.array_equal(share_of_replica(tf.constant([3.0, 5.0])), [1, 1])


def test_several_have_their_part_of_the_mean(monkeypatch):
    """As on the first of two replicas that have 1 and 3, of which the mean is 2."""

    def all_reduce(operation, count):
        assert operation is tf.distribute.ReduceOp.SUM
        return count + 3.0

    context = SimpleNamespace(all_reduce=all_reduce)
    monkeypatch.setattr(tf.distribute, "get_strategy", lambda: SimpleNamespace(num_replicas_in_sync=2))
    monkeypatch.setattr(tf.distribute, "get_replica_context", lambda: context)
    assert share_of_replica(tf.constant(1.0)) == 0.5
