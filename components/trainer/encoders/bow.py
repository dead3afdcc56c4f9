"""Bag of words: the mean of the steps."""

from __future__ import annotations

import keras
import tensorflow as tf


class BowEncoder(keras.layers.Layer):
    """The mean of the steps that are not padding; zeros if there are none.

    Example:
      >>> encode = BowEncoder()
      >>> encode(tf.constant([[[2.0], [4.0], [9.0]]]), tf.constant([[1.0, 1.0, 0.0]]))
      <tf.Tensor: shape=(1, 1), dtype=float32, numpy=array([[3.]], dtype=float32)>
    """

    def call(self, values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Encodes.

        Args:
          values: float32 [batch, length, width].
          mask: float32 [batch, length], 1 for a step and 0 for padding.

        Returns:
          float32 [batch, width].
        """
        steps = tf.reduce_sum(mask, axis=1, keepdims=True)  # [batch, 1]
        total = tf.reduce_sum(values * mask[..., tf.newaxis], axis=1)
        return total / tf.maximum(steps, 1.0)
