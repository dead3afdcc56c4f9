"""A gated recurrent unit over the steps, unrolled."""

from __future__ import annotations

import keras
import tensorflow as tf


class GruEncoder(keras.layers.Layer):
    """The state after the last step that is not padding.

    The recurrence (Cho et al. 2014, with the reset gate behind the product as in cuDNN
    and Keras) is unrolled, as `LstmEncoder` is. GRU4Rec (Hidasi et al. 2016) encodes
    sessions with it.

    Example:
      >>> encode = GruEncoder(units=32)
      >>> encode(tf.ones([5, 10, 8]), tf.ones([5, 10])).shape
      TensorShape([5, 32])
    """

    def __init__(self, units: int, **kwargs: object) -> None:
        """Makes the layer.

        Args:
          units: width of the state, at least 1.
          **kwargs: of `keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        self.units = units
        self._inputs_to_gates = keras.layers.Dense(
            3 * units, kernel_initializer="glorot_uniform", name="inputs_to_gates"
        )
        self._state_to_gates = keras.layers.Dense(
            3 * units, kernel_initializer="orthogonal", name="state_to_gates"
        )

    def call(self, values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Encodes.

        Args:
          values: float32 [batch, length, width]; the length must be static.
          mask: float32 [batch, length], 1 for a step and 0 for padding.

        Returns:
          float32 [batch, units]; zeros if all steps are padding.

        Raises:
          ValueError: if the length is not static.
        """
        length = values.shape[1]
        if length is None:
            raise ValueError(
                f"the steps are unrolled, so their number must be known. "
                f"Received: values of shape {values.shape}"
            )
        inputs = self._inputs_to_gates(values)  # [batch, length, 3 * units]
        state = tf.zeros_like(inputs[:, 0, : self.units])
        for step in range(length):
            update, reset, candidate = tf.split(inputs[:, step], 3, axis=-1)
            own_update, own_reset, own = tf.split(
                self._state_to_gates(state), 3, axis=-1
            )
            new = tf.tanh(candidate + tf.sigmoid(reset + own_reset) * own)
            change = (1.0 - tf.sigmoid(update + own_update)) * (new - state)
            state += mask[:, step, tf.newaxis] * change
        return state
