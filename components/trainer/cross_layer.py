"""Products of features, as a layer."""

from __future__ import annotations

import keras
import tensorflow as tf


class CrossLayer(keras.layers.Layer):
    """One cross layer of a deep and cross network (DCN-v2, Wang et al. 2021).

    ``first * (W x + b) + x``: each layer adds products with one more of the first
    layer's inputs. Of low rank W is the product of two narrow matrices.

    Example:
      >>> cross = CrossLayer(width=8, rank=2)
      >>> cross(tf.ones([5, 8]), tf.ones([5, 8])).shape
      TensorShape([5, 8])
    """

    def __init__(self, width: int, rank: int = 0, **kwargs: object) -> None:
        """Makes the layer.

        Args:
          width: of what it gets and gives.
          rank: of W; 0 for a full one.
          **kwargs: of `keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        self._narrow = (
            keras.layers.Dense(rank, use_bias=False, name="narrow") if rank else None
        )
        self._wide = keras.layers.Dense(width, name="wide")

    def call(self, first: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
        """Crosses.

        Args:
          first: float32 [..., width], what the first of the layers got.
          values: float32 [..., width], what the layer before gave.

        Returns:
          float32 [..., width].
        """
        narrow = values if self._narrow is None else self._narrow(values)
        return first * self._wide(narrow) + values
