"""The steps of a feature group as vectors, and which of them are padding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import keras
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
    cannot occur.

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
        **kwargs: object,
    ) -> None:
        """Makes the layer.

        Args:
          group: the features; all have one feature_length.
          rows: by feature name, ids of each STRING and INT feature, padding included.
          scalings: by feature name, of FLOAT features; those not named stay as they
            are.
          **kwargs: of `keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        self._features = list(group.features)
        self._scalings = dict(scalings or {})
        self._rows = {
            feature.feature_name: int(rows[feature.feature_name])
            for feature in self._features
            if features.is_categorical(feature)
        }
        self._tables = {
            feature.feature_name: embedding_table(
                self,
                feature.feature_name,
                self._rows[feature.feature_name],
                int(feature.embedding_dim),
            )
            for feature in self._features
            if features.is_categorical(feature)
        }

    @property
    def width(self) -> int:
        """Width of a step's vector."""
        return sum(
            int(f.embedding_dim) if features.is_categorical(f) else 1
            for f in self._features
        )

    def call(self, inputs: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """Embeds.

        Args:
          inputs: by feature name, ids (int32 or int64) or values (float32) of shape
            [batch, length]; others than the group's are ignored.

        Returns:
          values float32 [batch, length, width] and mask float32 [batch, length].
        """
        ids = {
            feature.feature_name: self._known_ids(feature, inputs[feature.feature_name])
            for feature in self._features
            if features.is_categorical(feature)
        }
        masks = {
            name: tf.cast(tf.not_equal(i, 0), tf.float32) for name, i in ids.items()
        }
        if masks:
            mask = tf.zeros_like(next(iter(masks.values())))
            for own in masks.values():
                mask = tf.maximum(mask, own)
        else:
            mask = tf.ones_like(inputs[self._features[0].feature_name])
        values = []
        for feature in self._features:
            name = feature.feature_name
            if name in ids:
                embedded = tf.gather(
                    tf.convert_to_tensor(self._tables[name]), ids[name]
                )
                values.append(embedded * masks[name][..., tf.newaxis])
            else:
                scaling = self._scalings.get(name, Scaling())
                scaled = (inputs[name] - scaling.offset) * scaling.scale
                values.append((scaled * mask)[..., tf.newaxis])
        return tf.concat(values, axis=-1), mask

    def _known_ids(self, feature: pb.Feature, ids: tf.Tensor) -> tf.Tensor:
        if features.has_vocabulary(feature):
            return ids
        rows = self._rows[feature.feature_name]
        known = tf.logical_and(ids >= 0, ids < rows)
        return tf.where(known, ids, tf.zeros_like(ids))


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
