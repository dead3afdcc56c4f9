"""A gated recurrent unit over the steps, unrolled."""

from __future__ import annotations

import keras
import tensorflow as tf

from components.trainer.encoders.recurrent import RecurrentCell, RecurrentEncoder


class GruEncoder(RecurrentEncoder):
    """The state after the last step that is not padding, of the last layer.

    The recurrence is that of Cho et al. 2014, with the reset gate behind the product as
    in cuDNN and Keras. GRU4Rec (Hidasi et al. 2016) encodes sessions with it.

    Example:
      >>> encode = GruEncoder(units=32)
      >>> encode(tf.ones([5, 10, 8]), tf.ones([5, 10])).shape
      TensorShape([5, 32])
    """

    @staticmethod
    def _make_cell(units: int, name: str) -> RecurrentCell:
        return _GruCell(units, name=name)


class _GruCell(RecurrentCell):
    def __init__(self, units: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self._units = units
        self._inputs_to_gates = keras.layers.Dense(
            3 * units, kernel_initializer="glorot_uniform", name="inputs_to_gates"
        )
        self._state_to_gates = keras.layers.Dense(
            3 * units, kernel_initializer="orthogonal", name="state_to_gates"
        )

    def call(self, values: tf.Tensor, mask: tf.Tensor) -> list[tf.Tensor]:
        inputs = self._inputs_to_gates(values)  # [batch, length, 3 * units]
        state = tf.zeros_like(inputs[:, 0, : self._units])
        states = []
        for step in range(int(values.shape[1])):
            update, reset, candidate = tf.split(inputs[:, step], 3, axis=-1)
            own_update, own_reset, own = tf.split(
                self._state_to_gates(state), 3, axis=-1
            )
            new = tf.tanh(candidate + tf.sigmoid(reset + own_reset) * own)
            change = (1.0 - tf.sigmoid(update + own_update)) * (new - state)
            state += mask[:, step, tf.newaxis] * change
            states.append(state)
        return states
