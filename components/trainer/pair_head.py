"""Numbers for pairs of a context and an item, beyond their dot product."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from components.trainer.cross_layer import CrossLayer


class PairHead(keras.layers.Layer):
    """Crosses a context's and an item's vector, then Dense layers with ReLU.

    It ranks what the dot product has found, or predicts the value of an activity; the
    two tasks share their towers, as in multi-task recommenders. Untrained it gives 0.

    Example:
      >>> head = PairHead(width=8, layer_dims=[16])
      >>> head(tf.ones([5, 8]), tf.ones([5, 20, 8])).shape
      TensorShape([5, 20])
    """

    def __init__(
        self,
        width: int,
        layer_dims: Sequence[int],
        rank: int = 0,
        dropout: float = 0.0,
        **kwargs: object,
    ) -> None:
        """Makes the layer.

        Args:
          width: of the vectors.
          layer_dims: widths of the Dense layers.
          rank: of the cross layer's matrix; 0 for a full one.
          dropout: share of what each Dense layer gets that training sets to 0.
          **kwargs: of `keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        self._cross = CrossLayer(2 * width, rank, name="cross")
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
        self._number = keras.layers.Dense(1, kernel_initializer="zeros", name="number")

    def call(
        self, contexts: tf.Tensor, items: tf.Tensor, training: bool = False
    ) -> tf.Tensor:
        """One number for each pair.

        Args:
          contexts: float32 [batch, width].
          items: float32 [batch, width], or [batch, n, width] for n items of each.
          training: whether dropout applies.

        Returns:
          float32 [batch], or [batch, n].
        """
        if items.shape.rank == 3:
            contexts = tf.repeat(contexts[:, tf.newaxis], tf.shape(items)[1], axis=1)
        first = tf.concat([contexts, items], axis=-1)
        values = self._cross(first, first)
        for layer in self._dense:
            values = layer(self._dropout(values, training=training))
        return self._number(values)[..., 0]
