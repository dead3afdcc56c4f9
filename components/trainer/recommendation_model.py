"""The two towers and their product."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import keras
import numpy as np
import tensorflow as tf

from components.trainer import ranks
from components.trainer.context_encoder import ContextEncoder
from components.trainer.dot_product_similarity import DotProductSimilarity
from components.trainer.feature_group_embedding import Scaling
from components.trainer.label_encoder import LabelEncoder
from components.trainer.names import RANKING_HEAD
from components.trainer.pair_head import PairHead
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
      boundaries: by name of a FLOAT feature, between its buckets, float32
        [buckets - 1].
    """

    rows: Mapping[str, int]
    candidates: np.ndarray
    item_values: Mapping[str, np.ndarray] = field(default_factory=dict)
    scalings: Mapping[str, Scaling] = field(default_factory=dict)
    boundaries: Mapping[str, np.ndarray] = field(default_factory=dict)


class RecommendationModel(keras.Model):
    """Scores every item of the catalogue for a context.

    Attributes:
      num_rows: of the item table.
      num_ranked: items that score best and are scored again by the ranking head; 0
        without one.
      context_encoder: from a context to a vector.
      label_encoder: from an item to a vector.
      similarity: of the two.
      ranking_head: what it gives is added to the similarity; None without one.
      value_head: predicts the label's value; None unless it is learned.

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
            boundaries=inputs.boundaries,
            name="context_encoder",
        )
        self.label_encoder = LabelEncoder(
            label,
            inputs.rows,
            list(config.input.label_item_features),
            inputs.item_values,
            config.input.label_id_embedding,
            inputs.scalings,
            self._shared_table(config),
            boundaries=inputs.boundaries,
            name="label_encoder",
        )
        self.similarity = DotProductSimilarity(name="similarity")
        width, rank = int(label.embedding_dim), int(config.model.cross_rank)
        dims = features.ranking_layer_dims(config)
        self.ranking_head: PairHead | None = None
        self.num_ranked = 0
        if config.model.ranking_num_candidates:
            self.ranking_head = PairHead(
                width, dims, rank, config.model.dropout, name=RANKING_HEAD
            )
            number = int(config.model.ranking_num_candidates)
            self.num_ranked = min(number, int(inputs.candidates.sum()))
        self.value_head: PairHead | None = None
        if config.train.value_loss_weight:
            self.value_head = PairHead(
                width, dims, rank, config.model.dropout, name="value_head"
            )

    def _shared_table(self, config: pb.RecommenderConfig) -> keras.Variable | None:
        if not config.input.tie_item_embeddings:
            return None
        return self.context_encoder.table(features.item_feature_name(config))

    def call(
        self, inputs: Mapping[str, tf.Tensor], training: bool = False
    ) -> tf.Tensor:
        """Scores.

        Args:
          inputs: by name of a context feature, ids (int32 or int64) or values
            (float32) of shape [batch, feature_length].
          training: whether dropout applies.

        Returns:
          float32 [batch, rows of the item table]; rows that are no candidates have
          scores too, which mean nothing.
        """
        contexts = self.encode(inputs, training)
        return self.similarity(contexts, self.label_encoder.catalogue())

    def encode(
        self,
        inputs: Mapping[str, tf.Tensor],
        training: bool = False,
        every_step: bool = False,
    ) -> tf.Tensor:
        """Vectors of contexts.

        Args:
          inputs: as for a call; columns that are no context features are ignored.
          training: whether dropout applies.
          every_step: whether the context up to each step is wanted.

        Returns:
          float32 [batch, embedding_dim of the label]; or [batch, steps, embedding_dim].
        """
        return self.context_encoder(
            {name: inputs[name] for name in self._names},
            training=training,
            every_step=every_step,
        )

    def rank(
        self, contexts: tf.Tensor, items: tf.Tensor, training: bool = False
    ) -> tf.Tensor:
        """Scores of some items for each context, the ranking head's included.

        Args:
          contexts: float32 [batch, embedding_dim].
          items: float32 [batch, n, embedding_dim], their vectors.
          training: whether dropout applies.

        Returns:
          float32 [batch, n].

        Raises:
          ValueError: if there is no ranking head.
        """
        if self.ranking_head is None:
            raise ValueError("model.ranking_num_candidates is 0: nothing is ranked")
        correction = self.ranking_head(contexts, items, training=training)
        return self.similarity(contexts, items) + correction

    def rescore(
        self, contexts: tf.Tensor, items: tf.Tensor, scores: tf.Tensor, kept: tf.Tensor
    ) -> tf.Tensor:
        """Scores with those of the ranking head, if there is one, before all others.

        Args:
          contexts: float32 [batch, embedding_dim].
          items: float32 [n, embedding_dim], vectors of items.
          scores: float32 [batch, n], their similarities.
          kept: bool [batch, n], those that the ranking head may get.

        Returns:
          float32 [batch, n].
        """
        if self.ranking_head is None:
            return scores
        best = tf.where(kept, scores, tf.constant(ranks.FLOOR))
        _, places = tf.math.top_k(best, self.num_ranked)
        again = self.rank(contexts, tf.gather(items, places))
        return ranks.ranked_again(scores, places, again)
