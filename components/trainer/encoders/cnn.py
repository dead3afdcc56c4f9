"""Convolutions along the steps, then the largest value of each filter."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf


class CnnEncoder(keras.layers.Layer):
    """Masked convolutions, ReLU after each, and the maximum over the steps.

    The mask is one more channel of the input: without it a filter could hardly tell
    the newest step, behind which there is nothing, from any other. The outputs of
    padded steps are set to 0 after each convolution, as what lies outside the array
    is, so a result does not depend on the length that a history is padded to.

    Example:
      >>> encode = CnnEncoder(num_filters=[16, 32], kernel_size=4)
      >>> encode(tf.ones([5, 10, 8]), tf.ones([5, 10])).shape
      TensorShape([5, 32])
    """

    def __init__(
        self, num_filters: Sequence[int], kernel_size: int, **kwargs: object
    ) -> None:
        """Makes the layer.

        Args:
          num_filters: filters of each convolution, at least one number.
          kernel_size: steps that a filter sees.
          **kwargs: of `keras.layers.Layer`.

        Raises:
          ValueError: if there is no convolution.
        """
        super().__init__(**kwargs)
        if not num_filters:
            raise ValueError("num_filters has at least one number. Received: []")
        self._convolutions = [
            keras.layers.Conv1D(
                int(filters),
                kernel_size,
                padding="same",
                activation="relu",
                kernel_initializer="he_uniform",
                name=f"convolution_{index}",
            )
            for index, filters in enumerate(num_filters)
        ]

    def call(self, values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Encodes.

        Args:
          values: float32 [batch, length, width].
          mask: float32 [batch, length], 1 for a step and 0 for padding.

        Returns:
          float32 [batch, last of num_filters]; zeros if all steps are padding.
        """
        mask = mask[..., tf.newaxis]  # [batch, length, 1]
        values = tf.concat([values * mask, mask], axis=-1)
        for convolution in self._convolutions:
            values = convolution(values) * mask
        # No value is below 0, so the zeros of padded steps are never the largest alone.
        return tf.reduce_max(values, axis=1)
