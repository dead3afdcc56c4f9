"""A long short-term memory over the steps, unrolled."""

from __future__ import annotations

import keras
import tensorflow as tf


class LstmEncoder(keras.layers.Layer):
    """The hidden state after the last step that is not padding.

    The recurrence (Hochreiter and Schmidhuber 1997, with a forget gate whose bias
    starts at 1, Jozefowicz et al. 2015) is unrolled: the device's runtime has no
    builtin loop for a masked one, and the number of steps is fixed anyway. All steps
    share one product for their inputs.

    Example:
      >>> encode = LstmEncoder(units=32)
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
            4 * units,
            kernel_initializer="glorot_uniform",
            bias_initializer=_forget_bias,
            name="inputs_to_gates",
        )
        self._state_to_gates = keras.layers.Dense(
            4 * units,
            use_bias=False,
            kernel_initializer="orthogonal",
            name="state_to_gates",
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
        inputs = self._inputs_to_gates(values)  # [batch, length, 4 * units]
        state = tf.zeros_like(inputs[:, 0, : self.units])
        memory = state
        for step in range(length):
            gates = inputs[:, step] + self._state_to_gates(state)
            add, forget, candidate, output = tf.split(gates, 4, axis=-1)
            new_memory = tf.sigmoid(forget) * memory
            new_memory += tf.sigmoid(add) * tf.tanh(candidate)
            new_state = tf.sigmoid(output) * tf.tanh(new_memory)
            keep = mask[:, step, tf.newaxis]  # [batch, 1]
            memory += keep * (new_memory - memory)
            state += keep * (new_state - state)
        return state


def _forget_bias(shape: tuple[int, ...], dtype: str | None = None) -> tf.Tensor:
    units = shape[0] // 4
    return tf.concat(
        [tf.zeros([units]), tf.ones([units]), tf.zeros([2 * units])], axis=0
    )
