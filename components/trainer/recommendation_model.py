"""The two towers and their product."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import keras
import numpy as np
import tensorflow as tf

from components.trainer.context_encoder import ContextEncoder
from components.trainer.dot_product_similarity import DotProductSimilarity
from components.trainer.feature_group_embedding import Scaling
from components.trainer.label_encoder import LabelEncoder
from configs import features
from configs import recommender_pb2 as pb


@dataclass(frozen=True)
class ModelInputs:
    """What the data says about a model's inputs, in plain numbers.

    Attributes:
      rows: by name of a STRING or INT feature, its ids, padding included.
      candidates: bool [rows of the label], the items that can be recommended.
      item_values: by name of an item feature, its ids or values for every row of the
        item table, [rows of the label, feature_length].
      scalings: by name of a FLOAT feature.
    """

    rows: Mapping[str, int]
    candidates: np.ndarray
    item_values: Mapping[str, np.ndarray] = field(default_factory=dict)
    scalings: Mapping[str, Scaling] = field(default_factory=dict)


class RecommendationModel(keras.Model):
    """Scores every item of the catalogue for a context.

    Example:
      >>> config = pb.RecommenderConfig()
      >>> group = config.input.activity_feature_groups.add()
      >>> _ = group.features.add(feature_name="context_movie_id", feature_type=pb.INT,
      ...                        vocab_size=50, embedding_dim=8, feature_length=10)
      >>> config.input.label_feature.CopyFrom(pb.Feature(
      ...     feature_name="label_movie_id", feature_type=pb.INT, vocab_size=50,
      ...     embedding_dim=8))
      >>> model = RecommendationModel(config, ModelInputs(
      ...     rows={"context_movie_id": 50, "label_movie_id": 50},
      ...     candidates=np.arange(50) > 0))
      >>> model({"context_movie_id": tf.ones([5, 10], tf.int32)}).shape
      TensorShape([5, 50])
    """

    def __init__(
        self, config: pb.RecommenderConfig, inputs: ModelInputs, **kwargs: object
    ) -> None:
        """Makes the model; its weights exist after the first call.

        Args:
          config: the features and sizes.
          inputs: what the data says about them.
          **kwargs: of `keras.Model`.
        """
        super().__init__(**kwargs)
        label = config.input.label_feature
        self.num_rows = int(inputs.rows[label.feature_name])
        self._names = [f.feature_name for f in features.context_features(config)]
        self.context_encoder = ContextEncoder(
            features.feature_groups(config),
            inputs.rows,
            int(label.embedding_dim),
            config.model,
            inputs.scalings,
            name="context_encoder",
        )
        self.label_encoder = LabelEncoder(
            label,
            inputs.rows,
            list(config.input.label_item_features),
            inputs.item_values,
            config.input.label_id_embedding,
            inputs.scalings,
            name="label_encoder",
        )
        self.similarity = DotProductSimilarity(name="similarity")

    def call(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Scores.

        Args:
          inputs: by name of a context feature, ids (int32 or int64) or values
            (float32) of shape [batch, feature_length].

        Returns:
          float32 [batch, rows of the item table]; rows that are no candidates have
          scores too, which mean nothing.
        """
        return self.similarity(self.encode(inputs), self.label_encoder.catalogue())

    def encode(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Vectors of contexts.

        Args:
          inputs: as for a call; columns that are no context features are ignored.

        Returns:
          float32 [batch, embedding_dim of the label].
        """
        return self.context_encoder({name: inputs[name] for name in self._names})
