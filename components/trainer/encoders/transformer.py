"""Causal self-attention over the steps."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from components.trainer.encoders.steps import known_length, running_maximum

# Added to what must not be attended to; finite, so that no row is NaN.
_MASKED = -1e9
# Of distances, and the first distance that is as good as any beyond.
_BUCKETS, _FAR = 32, 128


class TransformerEncoder(keras.layers.Layer):
    """The last step that is not padding, after it has attended to those before it.

    Blocks of causal self-attention and of two Dense layers, each with a layer
    normalization before it and a residual around it, as in SASRec (Kang and McAuley
    2018). Positions are biases of the attention by head and by distance, or range of
    far ones (Raffel et al. 2020): how long ago a step was does not depend on how long
    the history is.

    Example:
      >>> encode = TransformerEncoder(units=32, num_layers=2, num_heads=2)
      >>> encode(tf.ones([5, 10, 8]), tf.ones([5, 10])).shape
      TensorShape([5, 32])
    """

    def __init__(
        self,
        units: int,
        num_layers: int,
        num_heads: int,
        dropout: float = 0.0,
        **kwargs: object,
    ) -> None:
        """Makes the layer.

        Args:
          units: width of the state, a multiple of num_heads.
          num_layers: blocks, at least 1.
          num_heads: of each attention, at least 1.
          dropout: share of what a block adds that training sets to 0.
          **kwargs: of `keras.layers.Layer`.

        Raises:
          ValueError: if the heads cannot share the units.
        """
        super().__init__(**kwargs)
        if units % num_heads:
            raise ValueError(
                f"units is a multiple of num_heads. Received: {units} and {num_heads}"
            )
        self.units = units
        self._to_state = keras.layers.Dense(units, name="values_to_state")
        self._blocks = [
            _Block(units, num_heads, dropout, name=f"block_{index}")
            for index in range(num_layers)
        ]
        self._norm = keras.layers.LayerNormalization(epsilon=1e-6, name="norm")

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
          every_step: whether each step is wanted.

        Returns:
          float32 [batch, units], zeros if all steps are padding; or [batch, length,
          units].

        Raises:
          ValueError: if the length is not static.
        """
        length = known_length(values)
        state = self._to_state(values)
        earlier = tf.constant(np.tril(np.ones((length, length), np.float32)))
        attended = earlier * mask[:, tf.newaxis, :]  # [batch, length, length]
        forbidden = _MASKED * (1.0 - attended)[:, tf.newaxis]
        for block in self._blocks:
            state = block(state, forbidden, training=training)
        state = self._norm(state)
        if every_step:
            # A padded step has what the last one before it has: zeros before the first,
            # for what may attend to no step attends to all of them.
            place = tf.range(length, dtype=tf.float32)[tf.newaxis] * mask
            newest = running_maximum(place[..., tf.newaxis])[..., 0]
            state = tf.gather(state, tf.cast(newest, tf.int32), batch_dims=1)
            return state * running_maximum(mask[..., tf.newaxis])
        newest = mask * tf.cast(_steps_after(mask) < 0.5, tf.float32)
        return tf.reduce_sum(state * newest[..., tf.newaxis], axis=1)


class _Block(keras.layers.Layer):
    """Self-attention, then two Dense layers."""

    def __init__(
        self, units: int, num_heads: int, dropout: float, **kwargs: object
    ) -> None:
        super().__init__(**kwargs)
        self._num_heads = num_heads
        self._width = units // num_heads
        self._attention_norm = keras.layers.LayerNormalization(
            epsilon=1e-6, name="attention_norm"
        )
        self._to_heads = keras.layers.Dense(3 * units, name="state_to_heads")
        self._from_heads = keras.layers.Dense(units, name="heads_to_state")
        self._dense_norm = keras.layers.LayerNormalization(
            epsilon=1e-6, name="dense_norm"
        )
        self._inner = keras.layers.Dense(4 * units, "relu", name="inner")
        self._outer = keras.layers.Dense(units, name="outer")
        self._dropout = keras.layers.Dropout(dropout)

    def build(self, state_shape: tuple[int | None, ...], *_: object) -> None:
        """Makes the biases of the attention."""
        self._biases = self.add_weight(
            name="distance_biases",
            shape=(self._num_heads, _BUCKETS),
            initializer="zeros",
        )
        super().build(state_shape)

    def call(
        self, state: tf.Tensor, forbidden: tf.Tensor, training: bool = False
    ) -> tf.Tensor:
        """One block.

        Args:
          state: float32 [batch, length, units].
          forbidden: float32 [batch, 1, length, length], very low where the step of the
            row must not see that of the column, else 0.
          training: whether dropout applies.
        """
        seen = self._from_heads(self._attend(self._attention_norm(state), forbidden))
        state += self._dropout(seen, training=training)
        inner = self._inner(self._dense_norm(state))
        return state + self._dropout(self._outer(inner), training=training)

    def _attend(self, state: tf.Tensor, forbidden: tf.Tensor) -> tf.Tensor:
        length = int(state.shape[1])
        query, key, value = (
            tf.transpose(
                tf.reshape(part, [-1, length, self._num_heads, self._width]),
                [0, 2, 1, 3],
            )  # [batch, heads, length, width]
            for part in tf.split(self._to_heads(state), 3, axis=-1)
        )
        scores = tf.matmul(query, key, transpose_b=True) * self._width**-0.5
        steps = np.arange(length)
        distance = np.maximum(steps[:, np.newaxis] - steps, 0)
        bucket = distance_buckets(length)[distance]
        scores += tf.gather(tf.convert_to_tensor(self._biases), bucket, axis=1)
        weights = tf.nn.softmax(scores + forbidden)
        seen = tf.transpose(tf.matmul(weights, value), [0, 2, 1, 3])
        return tf.reshape(seen, [-1, length, self._num_heads * self._width])


def distance_buckets(length: int) -> np.ndarray:
    """Which bias each distance has: near ones one each, then ever wider ranges.

    Args:
      length: how many distances, from 0.

    Returns:
      int64 [length], 0 to 31.
    """
    near = _BUCKETS // 2
    distance = np.arange(length)
    ratio = np.log(np.maximum(distance, near) / near) / np.log(_FAR / near)
    far = near + (ratio * (_BUCKETS - near)).astype(np.int64)
    return np.where(distance < near, distance, np.minimum(far, _BUCKETS - 1))


def _steps_after(mask: tf.Tensor) -> tf.Tensor:
    """How many steps that are not padding come after each, float32 [batch, length]."""
    return tf.cumsum(mask, axis=1, exclusive=True, reverse=True)
