"""Scores of items for contexts."""

from __future__ import annotations

import keras
import tensorflow as tf


class DotProductSimilarity(keras.layers.Layer):
    """Dot products of contexts and items.

    Example:
      >>> DotProductSimilarity()(tf.ones([5, 8]), tf.ones([50, 8])).shape
      TensorShape([5, 50])
    """

    def call(self, contexts: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """Scores.

        Args:
          contexts: float32 [batch, width].
          items: float32 [n, width], the same for all contexts, or [batch, n, width].

        Returns:
          float32 [batch, n].

        Raises:
          ValueError: if the shapes do not fit.
        """
        fits = contexts.shape.rank == 2 and items.shape.rank in (2, 3)
        if not fits or contexts.shape[-1] != items.shape[-1]:
            raise ValueError(
                "contexts are [batch, width], items [n, width] or [batch, n, width]. "
                f"Received: {contexts.shape} and {items.shape}"
            )
        if items.shape.rank == 2:
            return tf.matmul(contexts, items, transpose_b=True)
        return tf.linalg.matvec(items, contexts)
