"""The steps of a feature group as vectors, and which of them are padding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from configs import features
from configs import recommender_pb2 as pb


@dataclass(frozen=True)
class Scaling:
    """How a FLOAT feature is scaled: ``(value - offset) * scale``."""

    offset: float = 0.0
    scale: float = 1.0


class FeatureGroupEmbedding(keras.layers.Layer):
    """Embeds the features of one group, side by side.

    A step is real if any of the group's ids is not 0; in a group of FLOAT features
    alone every step is. Id 0 has no vector of its own: it is always zeros. Ids outside
    the table of a feature that has no vocabulary count as 0; with a vocabulary they
    cannot occur. A step of an aligned feature is the mean over its ids that are not 0.
    A bucketed number has the vector of its bucket.

    Example:
      >>> group = pb.FeatureGroup(features=[
      ...     pb.Feature(feature_name="context_movie_id", feature_type=pb.INT,
      ...                vocab_size=50, embedding_dim=8, feature_length=3)])
      >>> embed = FeatureGroupEmbedding(group, rows={"context_movie_id": 50})
      >>> values, mask = embed({"context_movie_id": tf.constant([[7, 9, 0]])})
      >>> values.shape, mask.numpy()
      (TensorShape([1, 3, 8]), array([[1., 1., 0.]], dtype=float32))
    """

    def __init__(
        self,
        group: pb.FeatureGroup,
        rows: Mapping[str, int],
        scalings: Mapping[str, Scaling] | None = None,
        boundaries: Mapping[str, np.ndarray] | None = None,
        **kwargs: object,
    ) -> None:
        """Makes the layer.

        Args:
          group: the features; all have one feature_length.
          rows: by feature name, ids of each STRING and INT feature, padding included.
          scalings: by feature name, of FLOAT features; those not named stay as they
            are.
          boundaries: by feature name, between the buckets of FLOAT features, float32
            [buckets - 1], ascending; a feature's own bucket_boundaries need not be
            here.
          **kwargs: of `keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        self._features = list(group.features)
        self._boundaries = {
            feature.feature_name: bucket_boundaries(feature, boundaries or {})
            for feature in self._features
            if features.is_bucketed(feature)
        }
        self._scalings = dict(scalings or {})
        self._rows = {
            feature.feature_name: int(rows[feature.feature_name])
            for feature in self._features
            if features.is_categorical(feature)
        }
        self.tables = {
            feature.feature_name: embedding_table(
                self,
                feature.feature_name,
                self._num_vectors(feature),
                int(feature.embedding_dim),
            )
            for feature in self._features
            if _is_embedded(feature)
        }

    @property
    def width(self) -> int:
        """Width of a step's vector."""
        return sum(
            int(f.embedding_dim) if _is_embedded(f) else 1 for f in self._features
        )

    def _num_vectors(self, feature: pb.Feature) -> int:
        name = feature.feature_name
        if name in self._boundaries:
            return len(self._boundaries[name]) + 1
        return self._rows[name]

    def call(self, inputs: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """Embeds.

        Args:
          inputs: by feature name, ids (int32 or int64) or values (float32) of shape
            [batch, length], of aligned features [batch, length * values_per_step];
            others than the group's are ignored.

        Returns:
          values float32 [batch, length, width] and mask float32 [batch, length].
        """
        ids = {
            feature.feature_name: self._known_ids(feature, inputs[feature.feature_name])
            for feature in self._features
            if features.is_categorical(feature)
        }
        real = {
            name: tf.cast(tf.not_equal(i, 0), tf.float32) for name, i in ids.items()
        }
        if real:
            masks = [
                tf.reduce_max(own, axis=-1) if own.shape.rank == 3 else own
                for own in real.values()
            ]
            mask = masks[0]
            for own in masks[1:]:
                mask = tf.maximum(mask, own)
        else:
            mask = tf.ones_like(inputs[self._features[0].feature_name])
        values = []
        for feature in self._features:
            name = feature.feature_name
            if name in ids:
                embedded = self._vectors(name, ids[name])
                embedded *= real[name][..., tf.newaxis]
                if feature.values_per_step:
                    count = tf.reduce_sum(real[name], axis=-1, keepdims=True)
                    embedded = tf.reduce_sum(embedded, axis=2) / tf.maximum(count, 1.0)
            elif name in self._boundaries:
                bucket = bucket_of(inputs[name], self._boundaries[name])
                embedded = self._vectors(name, bucket) * mask[..., tf.newaxis]
            else:
                scaling = self._scalings.get(name, Scaling())
                scaled = (inputs[name] - scaling.offset) * scaling.scale
                embedded = (scaled * mask)[..., tf.newaxis]
            values.append(embedded)
        return tf.concat(values, axis=-1), mask

    def _vectors(self, name: str, rows: tf.Tensor) -> tf.Tensor:
        return tf.gather(tf.convert_to_tensor(self.tables[name]), rows)

    def _known_ids(self, feature: pb.Feature, ids: tf.Tensor) -> tf.Tensor:
        """Ids [batch, length], of aligned ones [batch, length, values_per_step]."""
        if feature.values_per_step:
            steps = ids.shape[-1] // feature.values_per_step
            ids = tf.reshape(ids, [-1, steps, feature.values_per_step])
        if features.has_vocabulary(feature):
            return ids
        rows = self._rows[feature.feature_name]
        known = tf.logical_and(ids >= 0, ids < rows)
        return tf.where(known, ids, tf.zeros_like(ids))


def bucket_boundaries(
    feature: pb.Feature, boundaries: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Between a feature's buckets: its own as configured, else those that are given.

    Returns:
      float32 [buckets - 1].
    """
    if feature.bucket_boundaries:
        return np.array(feature.bucket_boundaries, np.float32)
    return np.asarray(boundaries[feature.feature_name], np.float32)


def bucket_of(values: tf.Tensor, boundaries: np.ndarray) -> tf.Tensor:
    """How many boundaries each value has reached.

    Args:
      values: float32 [batch, length].
      boundaries: float32 [buckets - 1], ascending.

    Returns:
      int32 [batch, length], 0 to buckets - 1.
    """
    reached = values[..., tf.newaxis] >= tf.constant(boundaries, tf.float32)
    return tf.reduce_sum(tf.cast(reached, tf.int32), axis=-1)


def _is_embedded(feature: pb.Feature) -> bool:
    return features.is_categorical(feature) or features.is_bucketed(feature)


def embedding_table(
    layer: keras.layers.Layer, name: str, rows: int, width: int
) -> keras.Variable:
    """A table of ``rows`` vectors of length about 1, as a weight of ``layer``."""
    return layer.add_weight(
        name=f"{name}_embedding",
        shape=(rows, width),
        initializer=keras.initializers.RandomNormal(stddev=width**-0.5),
        trainable=True,
    )
