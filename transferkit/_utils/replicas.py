"""What the replicas of a strategy know of each other."""

import tensorflow as tf


def share_of_replica(count):
    """Returns what this replica has of something, a float tensor, over the mean of all replicas; 1 for one alone."""
    strategy = tf.distribute.get_strategy()
    if strategy.num_replicas_in_sync == 1:
        return tf.ones_like(count)
    total = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, count)
    return count * strategy.num_replicas_in_sync / total
