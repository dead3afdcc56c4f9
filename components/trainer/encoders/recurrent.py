"""What the recurrent encoders share: layers of cells over the steps, unrolled."""

from __future__ import annotations

from abc import abstractmethod

import keras
import tensorflow as tf

from components.trainer.encoders.steps import known_length


class RecurrentEncoder(keras.layers.Layer):
    """The state after the last step that is not padding, of the last layer.

    The recurrence is unrolled: the device's runtime has no builtin loop for a masked
    one, and the number of steps is fixed anyway. All steps share one product for their
    inputs. A padded step leaves the state as it is.
    """

    def __init__(
        self,
        units: int,
        num_layers: int = 1,
        dropout: float = 0.0,
        layer_norm: bool = False,
        **kwargs: object,
    ) -> None:
        """Makes the layer.

        Args:
          units: width of the states, at least 1.
          num_layers: recurrences on top of each other, at least 1.
          dropout: share of what goes from layer to layer that training sets to 0.
          layer_norm: whether that is normalized.
          **kwargs: of `keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        self.units = units
        self._cells = [
            self._make_cell(units, f"layer_{index}") for index in range(num_layers)
        ]
        self._norms = [
            keras.layers.LayerNormalization(epsilon=1e-6, name=f"norm_{index}")
            for index in range(num_layers - 1 if layer_norm else 0)
        ]
        self._dropout = keras.layers.Dropout(dropout)

    @staticmethod
    @abstractmethod
    def _make_cell(units: int, name: str) -> RecurrentCell:
        """One layer's cell."""

    def call(
        self,
        values: tf.Tensor,
        mask: tf.Tensor,
        training: bool = False,
        every_step: bool = False,
    ) -> tf.Tensor:
        """Encodes.

        Args:
          values: float32 [batch, length, width]; the length must be static.
          mask: float32 [batch, length], 1 for a step and 0 for padding.
          training: whether dropout applies.
          every_step: whether the state after each step is wanted.

        Returns:
          float32 [batch, units], zeros if all steps are padding; or [batch, length,
          units].

        Raises:
          ValueError: if the length is not static.
        """
        known_length(values)
        states: list[tf.Tensor] = []
        for index, cell in enumerate(self._cells):
            if index:
                values = tf.stack(states, axis=1)
                if self._norms:
                    values = self._norms[index - 1](values)
                values = self._dropout(values, training=training)
            states = cell(values, mask)
        return tf.stack(states, axis=1) if every_step else states[-1]


class RecurrentCell(keras.layers.Layer):
    """One layer's recurrence."""

    @abstractmethod
    def call(self, values: tf.Tensor, mask: tf.Tensor) -> list[tf.Tensor]:
        """The state after each step, float32 [batch, units] each.

        Args:
          values: float32 [batch, length, width].
          mask: float32 [batch, length].
        """
