"""What encoders share that look at single steps."""

from __future__ import annotations

import tensorflow as tf


def known_length(values: tf.Tensor) -> int:
    """The number of steps.

    Args:
      values: [batch, length, width].

    Raises:
      ValueError: if the length is not static.
    """
    length = values.shape[1]
    if length is None:
        raise ValueError(
            f"each step has operators of its own, so their number must be known. "
            f"Received: values of shape {values.shape}"
        )
    return int(length)


def running_maximum(values: tf.Tensor) -> tf.Tensor:
    """The largest value up to each step, of values that are not below 0.

    Args:
      values: float32 [batch, length, width], the length static.

    Returns:
      float32 [batch, length, width].
    """
    length, reach = known_length(values), 1
    while reach < length:
        earlier = tf.pad(values[:, :-reach], [[0, 0], [reach, 0], [0, 0]])
        values = tf.maximum(values, earlier)
        reach *= 2
    return values
