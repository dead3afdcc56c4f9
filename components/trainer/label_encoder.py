"""The label side: from an item to its vector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from components.trainer.encoders.bow import BowEncoder
from components.trainer.feature_group_embedding import (
    FeatureGroupEmbedding,
    Scaling,
    embedding_table,
)
from configs import features
from configs import recommender_pb2 as pb


class LabelEncoder(keras.layers.Layer):
    """An item's vector: that of its id, of its features, or the sum of both.

    Features are averaged over their values, set side by side and projected linearly,
    so an item that was not in training has a vector as soon as its features are known.

    Example:
      >>> label = pb.Feature(feature_name="label_movie_id", feature_type=pb.INT,
      ...                    vocab_size=50, embedding_dim=8)
      >>> encode = LabelEncoder(label, {"label_movie_id": 50})
      >>> encode(tf.constant([3, 4, 3])).shape, encode.catalogue().shape
      (TensorShape([3, 8]), TensorShape([50, 8]))
    """

    def __init__(
        self,
        label: pb.Feature,
        rows: Mapping[str, int],
        item_features: Sequence[pb.Feature] = (),
        item_values: Mapping[str, np.ndarray] | None = None,
        id_embedding: bool = True,
        scalings: Mapping[str, Scaling] | None = None,
        table: keras.Variable | None = None,
        boundaries: Mapping[str, np.ndarray] | None = None,
        **kwargs: object,
    ) -> None:
        """Makes the layer.

        Args:
          label: the item's id; its embedding_dim is the width of the result.
          rows: by feature name, ids of each STRING and INT feature, padding included.
          item_features: the item's features.
          item_values: by name of an item feature, its ids (integers) or values
            (float32) for every item, [rows of the label, feature_length].
          id_embedding: whether the id has an embedding.
          scalings: by feature name, of FLOAT features.
          table: of another layer, to be shared, in place of an id embedding of its own;
            float32 [rows of the label, embedding_dim].
          boundaries: by feature name, between the buckets of FLOAT features.
          **kwargs: of `keras.layers.Layer`.

        Raises:
          ValueError: if an item would have neither id nor features, or the values of a
            feature have another shape.
        """
        super().__init__(**kwargs)
        if not id_embedding and not item_features:
            raise ValueError("an item has an id embedding, features, or both")
        self._num_items = int(rows[label.feature_name])
        width = int(label.embedding_dim)
        self._table = table
        if id_embedding and table is None:
            name = label.feature_name
            self._table = embedding_table(self, name, self._num_items, width)
        self._values: dict[str, np.ndarray] = {}
        for feature in item_features:
            name = feature.feature_name
            expected = (self._num_items, int(feature.feature_length))
            values = np.asarray((item_values or {})[name])
            if values.shape != expected:
                raise ValueError(
                    f"the values of {name} have shape {expected}. "
                    f"Received: {values.shape}"
                )
            kind = np.int32 if features.is_categorical(feature) else np.float32
            self._values[name] = values.astype(kind)
        # A group for each: genres and years of an item have no steps in common.
        self._embeddings = [
            FeatureGroupEmbedding(
                pb.FeatureGroup(features=[feature]),
                rows,
                scalings,
                boundaries,
                name=f"{feature.feature_name}_group",
            )
            for feature in item_features
        ]
        self._mean: keras.layers.Layer | None = None
        self._projection: keras.layers.Layer | None = None
        if item_features:
            self._mean = BowEncoder(name="mean")
            self._projection = keras.layers.Dense(
                width, use_bias=not id_embedding, name="projection"
            )

    def call(self, ids: tf.Tensor) -> tf.Tensor:
        """Vectors of some items.

        Args:
          ids: int32 or int64 [n], rows of the item table.

        Returns:
          float32 [n, embedding_dim].
        """
        vectors = []
        if self._table is not None:
            vectors.append(tf.gather(tf.convert_to_tensor(self._table), ids))
        if self._mean is not None and self._projection is not None:
            values = {
                name: tf.gather(tf.constant(table), ids)
                for name, table in self._values.items()
            }
            encodings = [self._mean(*embed(values)) for embed in self._embeddings]
            vectors.append(self._projection(tf.concat(encodings, axis=-1)))
        return tf.add_n(vectors)

    def catalogue(self) -> tf.Tensor:
        """Vectors of all items, float32 [rows, embedding_dim]."""
        return self(tf.range(self._num_items))
