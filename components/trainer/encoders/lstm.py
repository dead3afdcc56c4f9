"""A long short-term memory over the steps, unrolled."""

from __future__ import annotations

import keras
import tensorflow as tf

from components.trainer.encoders.recurrent import RecurrentCell, RecurrentEncoder


class LstmEncoder(RecurrentEncoder):
    """The hidden state after the last step that is not padding, of the last layer.

    The recurrence is that of Hochreiter and Schmidhuber 1997, with a forget gate whose
    bias starts at 1 (Jozefowicz et al. 2015).

    Example:
      >>> encode = LstmEncoder(units=32)
      >>> encode(tf.ones([5, 10, 8]), tf.ones([5, 10])).shape
      TensorShape([5, 32])
    """

    @staticmethod
    def _make_cell(units: int, name: str) -> RecurrentCell:
        return _LstmCell(units, name=name)


class _LstmCell(RecurrentCell):
    def __init__(self, units: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self._units = units
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

    def call(self, values: tf.Tensor, mask: tf.Tensor) -> list[tf.Tensor]:
        inputs = self._inputs_to_gates(values)  # [batch, length, 4 * units]
        state = tf.zeros_like(inputs[:, 0, : self._units])
        memory = state
        states = []
        for step in range(int(values.shape[1])):
            gates = inputs[:, step] + self._state_to_gates(state)
            add, forget, candidate, output = tf.split(gates, 4, axis=-1)
            new_memory = tf.sigmoid(forget) * memory
            new_memory += tf.sigmoid(add) * tf.tanh(candidate)
            new_state = tf.sigmoid(output) * tf.tanh(new_memory)
            keep = mask[:, step, tf.newaxis]  # [batch, 1]
            memory += keep * (new_memory - memory)
            state += keep * (new_state - state)
            states.append(state)
        return states


def _forget_bias(shape: tuple[int, ...], dtype: str | None = None) -> tf.Tensor:
    units = shape[0] // 4
    return tf.concat(
        [tf.zeros([units]), tf.ones([units]), tf.zeros([2 * units])], axis=0
    )
