"""The mean of the steps: a bag of words, whose order does not count."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf


class BowEncoder(keras.layers.Layer):
    """Mean over the steps that are not padding.

    With layers each step goes through them before the mean, as in deep sets (Zaheer et
    al. 2017).

    Example:
      >>> encode = BowEncoder()
      >>> encode(tf.constant([[[2.0], [4.0], [9.0]]]), tf.constant([[1.0, 1.0, 0.0]]))
      <tf.Tensor: shape=(1, 1), dtype=float32, numpy=array([[3.]], dtype=float32)>
    """

    def __init__(
        self, layer_dims: Sequence[int] = (), dropout: float = 0.0, **kwargs: object
    ) -> None:
        """Makes the layer.

        Args:
          layer_dims: widths of the Dense layers with ReLU that each step goes through.
          dropout: share of their results that training sets to 0.
          **kwargs: of `keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        self._dense = [
            keras.layers.Dense(
                int(units),
                "relu",
                kernel_initializer="he_uniform",
                name=f"layer_{index}",
            )
            for index, units in enumerate(layer_dims)
        ]
        self._dropout = keras.layers.Dropout(dropout)

    def call(
        self,
        values: tf.Tensor,
        mask: tf.Tensor,
        training: bool = False,
        every_step: bool = False,
    ) -> tf.Tensor:
        """Encodes.

        Args:
          values: float32 [batch, length, width].
          mask: float32 [batch, length], 1 for a step and 0 for padding.
          training: whether dropout applies.
          every_step: whether the mean up to each step is wanted.

        Returns:
          float32 [batch, width] of the values or of the last layer, zeros if all steps
          are padding; or [batch, length, width].
        """
        for layer in self._dense:
            values = self._dropout(layer(values), training=training)
        values *= mask[..., tf.newaxis]
        if every_step:
            steps = tf.cumsum(mask, axis=1)[..., tf.newaxis]  # [batch, length, 1]
            return tf.cumsum(values, axis=1) / tf.maximum(steps, 1.0)
        steps = tf.reduce_sum(mask, axis=1, keepdims=True)  # [batch, 1]
        return tf.reduce_sum(values, axis=1) / tf.maximum(steps, 1.0)
