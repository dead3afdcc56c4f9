"""Convolutions along the steps, then the largest value of each filter."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from components.trainer.encoders.steps import running_maximum


class CnnEncoder(keras.layers.Layer):
    """Masked causal convolutions, ReLU after each, and the maximum over the steps.

    A filter sees a step and those before it. The mask is one more channel of the input:
    without it a filter could hardly tell the oldest step, before which there is
    nothing, from any other. The outputs of padded steps are set to 0 after each
    convolution, so a result does not depend on the length that a history is padded to.

    Example:
      >>> encode = CnnEncoder(num_filters=[16, 32], kernel_size=4)
      >>> encode(tf.ones([5, 10, 8]), tf.ones([5, 10])).shape
      TensorShape([5, 32])
    """

    def __init__(
        self,
        num_filters: Sequence[int],
        kernel_size: int,
        dropout: float = 0.0,
        layer_norm: bool = False,
        **kwargs: object,
    ) -> None:
        """Makes the layer.

        Args:
          num_filters: filters of each convolution, at least one number.
          kernel_size: steps that a filter sees.
          dropout: share of what goes from convolution to convolution that training sets
            to 0.
          layer_norm: whether that is normalized.
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
                padding="causal",
                activation="relu",
                kernel_initializer="he_uniform",
                name=f"convolution_{index}",
            )
            for index, filters in enumerate(num_filters)
        ]
        self._norms = [
            keras.layers.LayerNormalization(epsilon=1e-6, name=f"norm_{index}")
            for index in range(len(num_filters) - 1 if layer_norm else 0)
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
          values: float32 [batch, length, width]; the length must be static for
            `every_step`.
          mask: float32 [batch, length], 1 for a step and 0 for padding.
          training: whether dropout applies.
          every_step: whether the maximum up to each step is wanted.

        Returns:
          float32 [batch, last of num_filters], zeros if all steps are padding; or
          [batch, length, last of num_filters].
        """
        mask = mask[..., tf.newaxis]  # [batch, length, 1]
        values = tf.concat([values * mask, mask], axis=-1)
        for index, convolution in enumerate(self._convolutions):
            if index:
                if self._norms:
                    values = self._norms[index - 1](values) * mask
                values = self._dropout(values, training=training)
            values = convolution(values) * mask
        # No value is below 0, so the zeros of padded steps are never the largest alone.
        return running_maximum(values) if every_step else tf.reduce_max(values, axis=1)
