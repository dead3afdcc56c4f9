"""The trained model's exported forms: for servers, for the gate and for the device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from components.trainer import ranks
from components.trainer.names import CANDIDATE_SCORES
from components.trainer.recommendation_model import ModelInputs, RecommendationModel
from components.trainer.training import seen_items
from components.transform.preprocessing import raw_columns
from components.transform.vocabularies import vocabulary_terms
from configs import features
from configs import recommender_pb2 as pb

SERVING_DEFAULT = "serving_default"
EVALUATE = "evaluate"
TRANSFORM_FEATURES = "transform_features"

IDS = "top_prediction_ids"
ITEMS = "top_prediction_items"
SCORES = "top_prediction_scores"
LABEL_RANK = "label_rank"


def export_serving_model(
    model: RecommendationModel,
    config: pb.RecommenderConfig,
    inputs: ModelInputs,
    tft_output: tft.TFTransformOutput,
    path: str,
) -> None:
    """Writes a SavedModel that takes raw examples.

    All signatures take ``examples``, string [batch], serialized raw tf.Examples of
    which only the columns that the model needs are parsed:

    - ``serving_default``: ``top_prediction_ids`` int32 [batch, K], rows of the item
      table; ``top_prediction_items`` string [batch, K], ids as the logs have them;
      ``top_prediction_scores`` float32 [batch, K].
    - ``evaluate``: ``label_rank`` float32 [batch], see `ranks.label_ranks`.
    - ``transform_features``: the transformed context features, and the seen items
      where ``model.seen`` is TIMELINE (int64 [batch, n], 0 where padded).

    Args:
      model: trained.
      config: its configuration.
      inputs: what the model was made from.
      tft_output: what Transform wrote.
      path: a folder.
    """
    module = _ServingModule(model, config, inputs, tft_output)
    signatures = {
        SERVING_DEFAULT: module.recommend,
        EVALUATE: module.rank_label,
        TRANSFORM_FEATURES: module.transform_features,
    }
    tf.saved_model.save(module, path, signatures=signatures)


def export_device_model(
    model: RecommendationModel,
    config: pb.RecommenderConfig,
    inputs: ModelInputs,
    path: str,
) -> None:
    """Writes a SavedModel that the TFLite converter turns into builtin operators.

    Its one signature, ``serving_default``, is for a batch of one. Inputs: the context
    features by name, int32 ids or float32, [1, length], and ``seen_<item>``
    int32 [1, max_seen_length] where ``model.seen`` is TIMELINE. Outputs:
    ``top_prediction_ids`` int32 [K] and ``top_prediction_scores`` float32 [K].

    Args:
      model: trained.
      config: its configuration.
      inputs: what the model was made from.
      path: a folder.
    """
    module = tf.Module()
    module.recommender = Recommender(model, config, inputs)

    @tf.function
    def serve(**columns: tf.Tensor) -> dict[str, tf.Tensor]:
        ids, scores = module.recommender(columns)
        return {
            IDS: tf.ensure_shape(ids[0], [module.recommender.k]),
            SCORES: tf.ensure_shape(scores[0], [module.recommender.k]),
        }

    signature = serve.get_concrete_function(**device_inputs(config))
    tf.saved_model.save(module, path, signatures={SERVING_DEFAULT: signature})


def device_inputs(config: pb.RecommenderConfig) -> dict[str, tf.TensorSpec]:
    """The device model's inputs by name."""
    specs = {}
    for feature in features.context_features(config):
        kind = tf.int32 if features.is_categorical(feature) else tf.float32
        name, length = feature.feature_name, features.num_values(feature)
        specs[name] = tf.TensorSpec([1, length], kind, name=name)
    if config.model.seen == pb.TIMELINE:
        name, length = features.seen_feature_name(config), config.model.max_seen_length
        specs[name] = tf.TensorSpec([1, int(length)], tf.int32, name=name)
    return specs


class Recommender(tf.Module):
    """The context side and the vectors of all candidates, computed once.

    Attributes:
      k: recommendations per call.
      rows: int32 [candidates], their rows in the item table, ascending.
    """

    def __init__(
        self,
        model: RecommendationModel,
        config: pb.RecommenderConfig,
        inputs: ModelInputs,
    ) -> None:
        """Takes what it needs of a trained model.

        Args:
          model: trained.
          config: its configuration.
          inputs: what the model was made from.
        """
        super().__init__()
        self.rows = np.flatnonzero(inputs.candidates).astype(np.int32)
        self.k = min(int(config.model.num_predictions), self.rows.size)
        self._config = config
        self._num_rows = model.num_rows
        # The encoder stays out of sight of tf.Module: of a Keras object the saver would
        # trace more than its weights, which the converter does not survive.
        self._encode = lambda columns: model.encode(columns)
        self._rank = lambda contexts, items: model.rank(contexts, items)
        self._rescore = lambda *scores: model.rescore(*scores)
        self._num_ranked = model.num_ranked
        layers = [model.context_encoder, model.ranking_head]
        self._weights = [v.value for layer in layers if layer for v in layer.weights]
        vectors = model.label_encoder.catalogue()
        self._vectors = tf.Variable(
            tf.gather(vectors, self.rows), trainable=False, name="candidate_vectors"
        )

    def __call__(self, columns: Mapping[str, Any]) -> tuple[tf.Tensor, tf.Tensor]:
        """Recommends.

        Args:
          columns: transformed context features and seen items, [batch, length].

        Returns:
          Rows int32 [batch, k] and scores float32 [batch, k], the best first.
        """
        contexts = self._encode(columns)
        left_out = self._left_out(columns)
        if not self._num_ranked:
            places, best = ranks.top_items(self._scores(contexts), self.k, left_out)
            return tf.gather(self.rows, places), best
        places, best = ranks.top_items(
            self._scores(contexts), self._num_ranked, left_out
        )
        again = self._rank(contexts, tf.gather(self._vectors, places))
        order, best = ranks.top_items(again, self.k, best <= ranks.FLOOR)
        places = tf.gather(places, order, batch_dims=1)
        return tf.gather(self.rows, places), best

    def rank(self, columns: Mapping[str, Any], labels: tf.Tensor) -> tf.Tensor:
        """Ranks of labels.

        Args:
          columns: transformed context features and seen items, [batch, length].
          labels: int32 or int64 [batch], rows of the item table.

        Returns:
          float32 [batch], see `ranks.label_ranks`.
        """
        places = np.zeros(self._num_rows, np.int32)
        places[self.rows] = np.arange(self.rows.size) + 1
        inside = tf.logical_and(labels >= 0, labels < self._num_rows)
        labels = tf.where(inside, labels, tf.zeros_like(labels))
        # An item that is no candidate gets the place -1, which is outside the scores.
        place = tf.gather(places, labels) - 1
        left_out = self._left_out(columns)
        contexts = self._encode(columns)
        scores = self._scores(contexts)
        kept = tf.range(self.rows.size)[tf.newaxis] == place[:, tf.newaxis]
        others = tf.ones_like(kept) if left_out is None else tf.logical_not(left_out)
        kept = tf.logical_or(kept, others)
        scores = self._rescore(contexts, self._vectors, scores, kept)
        candidates = tf.ones([self.rows.size], tf.bool)
        return ranks.label_ranks(scores, place, candidates, left_out)

    def _scores(self, contexts: tf.Tensor) -> tf.Tensor:
        return tf.matmul(
            contexts, self._vectors, transpose_b=True, name=CANDIDATE_SCORES
        )

    def _left_out(self, columns: Mapping[str, Any]) -> tf.Tensor | None:
        """Which candidates are left out, bool [batch, candidates]."""
        seen = seen_items(self._config, dict(columns))
        if seen is None:
            return None
        return tf.gather(ranks.excluded_items(seen, self._num_rows), self.rows, axis=1)


class _ServingModule(tf.Module):
    def __init__(
        self,
        model: RecommendationModel,
        config: pb.RecommenderConfig,
        inputs: ModelInputs,
        tft_output: tft.TFTransformOutput,
    ) -> None:
        super().__init__()
        self.recommender = Recommender(model, config, inputs)
        self.transform = tft_output.transform_features_layer()
        self._config = config
        self._raw_spec = tft_output.raw_feature_spec()
        self._names = _item_names(config, model.num_rows, tft_output)
        examples = tf.TensorSpec([None], tf.string, name="examples")
        self.recommend = tf.function(self._recommend, input_signature=[examples])
        self.rank_label = tf.function(self._rank_label, input_signature=[examples])
        self.transform_features = tf.function(
            self._transform_features, input_signature=[examples]
        )

    def _recommend(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        ids, scores = self.recommender(self._columns(examples, "serve"))
        return {IDS: ids, ITEMS: tf.gather(self._names, ids), SCORES: scores}

    def _rank_label(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        columns = self._columns(examples, "evaluate")
        label = columns[self._config.input.label_feature.feature_name][:, 0]
        return {LABEL_RANK: self.recommender.rank(columns, label)}

    def _transform_features(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        return self._columns(examples, "serve")

    def _columns(self, examples: tf.Tensor, kind: str) -> dict[str, tf.Tensor]:
        """Transformed model inputs, from the raw columns that they are made of."""
        wanted = raw_columns(self._config, kind)
        spec = {name: self._raw_spec[name] for name in wanted if name in self._raw_spec}
        transformed = self.transform(tf.io.parse_example(examples, spec))
        used = features.context_features(self._config)
        names = [feature.feature_name for feature in used]
        if self._config.model.seen == pb.TIMELINE:
            names.append(features.seen_feature_name(self._config))
        if kind == "evaluate":
            names.append(self._config.input.label_feature.feature_name)
        columns = {name: transformed[name] for name in names}
        return {
            name: tf.sparse.to_dense(c) if isinstance(c, tf.SparseTensor) else c
            for name, c in columns.items()
        }


def _item_names(
    config: pb.RecommenderConfig, num_rows: int, tft_output: tft.TFTransformOutput
) -> np.ndarray:
    """Ids as the logs have them, bytes [rows of the item table]."""
    label = config.input.label_feature
    if not features.has_vocabulary(label):
        return np.array([str(row).encode() for row in range(num_rows)], object)
    terms = vocabulary_terms(tft_output, features.vocabulary_name(label))
    return np.array([b""] * features.FIRST_TERM_ID + terms, object)
