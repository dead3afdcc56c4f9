"""Activities of the same moment in another order, since their own is not known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf


def shuffled_ties(
    columns: Mapping[str, Any], moments: tf.Tensor, counts: tf.Tensor, noise: tf.Tensor
) -> dict[str, Any]:
    """Steps change places with others of the same moment.

    Args:
      columns: by name [batch, steps], or [batch, steps * n] for n values of each step.
      moments: int32 or int64 [batch, steps], not falling; any value where padded.
      counts: int32 [batch], how many steps are real; the others are behind them.
      noise: float32 [batch, steps], in [0, 1): the order within a moment.

    Returns:
      The columns, all in the same order; padding stays behind.
    """
    steps = int(moments.shape[1])
    later = tf.cast(moments[:, 1:] != moments[:, :-1], tf.int32)
    moment = tf.pad(tf.cumsum(later, axis=1), [[0, 0], [1, 0]])
    step = tf.range(steps)[tf.newaxis]
    real = step < counts[:, tf.newaxis]
    # Padded steps come after all moments, each as one of its own.
    moment = tf.where(real, moment, steps + step)
    order = tf.argsort(tf.cast(moment, tf.float32) + 0.5 * noise, axis=1)
    result = {}
    for name, values in columns.items():
        by_step = tf.reshape(values, [-1, steps, int(values.shape[1]) // steps])
        moved = tf.gather(by_step, order, batch_dims=1)
        result[name] = tf.reshape(moved, [-1, int(values.shape[1])])
    return result
