"""What training minimizes: from a batch to a loss."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from components.trainer import losses, ranks
from components.trainer.input_pipeline import Batch
from components.trainer.recommendation_model import RecommendationModel
from components.trainer.targets import (
    Targets,
    had_before,
    label_targets,
    position_targets,
)
from configs import features
from configs import recommender_pb2 as pb


class Objective:
    """The configured loss over the configured targets of a batch."""

    def __init__(
        self,
        model: RecommendationModel,
        config: pb.RecommenderConfig,
        candidates: np.ndarray,
        target_counts: np.ndarray,
    ) -> None:
        """Prepares what all batches share.

        Args:
          model: the model.
          config: its configuration.
          candidates: bool [rows of the label], the real items.
          target_counts: int64 [rows of the label], how often each is a target of train.
        """
        self._model = model
        self._config = config
        self._candidates = tf.constant(candidates)
        self._rows = tf.constant(np.flatnonzero(candidates).astype(np.int32))
        shares = np.maximum(target_counts, 1) / max(target_counts.sum(), 1)
        self._log_frequencies = tf.constant(np.log(shares).astype(np.float32))
        self._smoothing = float(config.train.label_smoothing)
        self._seed = int(config.train.seed) % 2**31

    def __call__(self, batch: Batch) -> tf.Tensor:
        """The loss, float32 scalar.

        Args:
          batch: the model's columns, the label and what else
            `input_pipeline.train_columns` names.
        """
        labels = batch[self._config.input.label_feature.feature_name][:, 0]
        targets, contexts, last = self._targets(batch, labels)
        loss = self._loss(batch, targets, contexts)
        if self._model.value_head is None and self._model.ranking_head is None:
            return loss
        # The heads learn of the last step alone, where the label is.
        return loss + self._heads_loss(batch, label_targets(labels), last)

    def _targets(
        self, batch: Batch, labels: tf.Tensor
    ) -> tuple[Targets, tf.Tensor, tf.Tensor]:
        """Targets, the vectors of their contexts, and those of whole contexts.

        The vectors are float32 [targets, width] and [batch, width].
        """
        if self._config.train.targets == pb.EVERY_POSITION:
            items = batch[features.item_feature_name(self._config)]
            targets = position_targets(items, labels)
            encoded = self._model.encode(batch, training=True, every_step=True)
            place = tf.stack([targets.example, targets.step], axis=1)
            steps = tf.math.count_nonzero(items, axis=1, dtype=tf.int32)
            last = tf.gather(encoded, tf.maximum(steps - 1, 0), batch_dims=1)
            return targets, tf.gather_nd(encoded, place), last
        contexts = self._model.encode(batch, training=True)
        return label_targets(labels), contexts, contexts

    def _loss(self, batch: Batch, targets: Targets, contexts: tf.Tensor) -> tf.Tensor:
        model, kind = self._model, self._config.train.loss
        labels = targets.labels
        if kind == pb.GLOBAL_SOFTMAX:
            scores = model.similarity(contexts, model.label_encoder.catalogue())
            columns = tf.range(model.num_rows)
            excluded = self._excluded(batch, targets, columns, model.num_rows)
            return losses.global_softmax(
                scores, labels, self._candidates, excluded, self._smoothing
            )
        if kind == pb.BATCH_SOFTMAX:
            return self._batch_softmax(batch, targets, contexts)
        if kind == pb.SAMPLED_SOFTMAX:
            return self._sampled_softmax(batch, targets, contexts)
        return self._binary_cross_entropy(batch, targets, contexts)

    def _batch_softmax(
        self, batch: Batch, targets: Targets, contexts: tf.Tensor
    ) -> tf.Tensor:
        items, _ = tf.unique(targets.labels)
        return losses.batch_softmax(
            self._model.similarity(contexts, self._model.label_encoder(items)),
            targets.labels,
            items,
            self._candidates,
            self._log_frequencies,
            self._excluded_among(batch, targets, items),
            self._smoothing,
        )

    def _sampled_softmax(
        self, batch: Batch, targets: Targets, contexts: tf.Tensor
    ) -> tf.Tensor:
        # Rows ascend as popularity falls, so places among the candidates are what the
        # log-uniform sampler expects.
        last = tf.size(self._rows) - 1
        places = tf.minimum(tf.searchsorted(self._rows, targets.labels), last)
        number = int(self._config.train.num_sampled_negatives)
        drawn = tf.random.log_uniform_candidate_sampler(
            tf.cast(places, tf.int64)[:, tf.newaxis],
            num_true=1,
            num_sampled=min(number, int(self._rows.shape[0])),
            unique=True,
            range_max=int(self._rows.shape[0]),
            seed=self._seed,
        )
        items = tf.gather(self._rows, drawn.sampled_candidates)
        own, others = self._own_and_others(targets.labels, items, contexts)
        hits = targets.labels[:, tf.newaxis] == items[tf.newaxis]
        excluded = self._excluded_among(batch, targets, items)
        if excluded is not None:
            hits = tf.logical_or(hits, excluded)
        return losses.sampled_softmax(
            own,
            others,
            tf.math.log(drawn.true_expected_count[:, 0]),
            tf.math.log(drawn.sampled_expected_count),
            hits,
            tf.gather(self._candidates, targets.labels),
            self._smoothing,
        )

    def _binary_cross_entropy(
        self, batch: Batch, targets: Targets, contexts: tf.Tensor
    ) -> tf.Tensor:
        labels = targets.labels
        place = tf.random.uniform(
            tf.shape(labels), 0, tf.size(self._rows), tf.int32, seed=self._seed
        )
        others = tf.gather(self._rows, place)
        encode = self._model.label_encoder
        hits = others == labels
        columns = tf.range(self._model.num_rows)
        excluded = self._excluded(batch, targets, columns, self._model.num_rows)
        if excluded is not None:
            hits = tf.logical_or(hits, tf.gather(excluded, others, batch_dims=1))
        return losses.binary_cross_entropy(
            tf.reduce_sum(contexts * encode(labels), axis=1),
            tf.reduce_sum(contexts * encode(others), axis=1),
            hits,
            tf.gather(self._candidates, labels),
        )

    def _own_and_others(
        self, labels: tf.Tensor, items: tf.Tensor, contexts: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        encode = self._model.label_encoder
        own = tf.reduce_sum(contexts * encode(labels), axis=1)
        return own, self._model.similarity(contexts, encode(items))

    def _excluded_among(
        self, batch: Batch, targets: Targets, items: tf.Tensor
    ) -> tf.Tensor | None:
        """Which of some distinct items are left out, bool [targets, items]."""
        columns = tf.tensor_scatter_nd_update(
            tf.fill([self._model.num_rows], -1),
            items[:, tf.newaxis],
            tf.range(tf.size(items)),
        )
        return self._excluded(batch, targets, columns, tf.size(items))

    def _excluded(
        self,
        batch: Batch,
        targets: Targets,
        columns: tf.Tensor,
        num_columns: int | tf.Tensor,
    ) -> tf.Tensor | None:
        kept = self._config.model.seen == pb.KEPT
        if kept or not self._config.train.leave_out_seen:
            return None
        name = features.item_feature_name(self._config)
        size = tf.shape(batch[self._config.input.label_feature.feature_name])[0]
        contexts = batch[name] if name in batch else tf.zeros([size, 1], tf.int32)
        earlier = None
        if self._config.model.seen == pb.TIMELINE:
            earlier = batch[features.seen_feature_name(self._config)]
        return had_before(targets, contexts, earlier, columns, num_columns)

    def _heads_loss(
        self, batch: Batch, targets: Targets, contexts: tf.Tensor
    ) -> tf.Tensor:
        model, train = self._model, self._config.train
        labels = targets.labels
        counts = tf.gather(self._candidates, labels)
        own = model.label_encoder(labels)
        loss = tf.constant(0.0)
        if model.value_head is not None:
            value = batch[self._config.input.label_value_feature.feature_name]
            predicted = model.value_head(contexts, own, training=True)
            error = tf.square(predicted - value[:, 0])
            loss += train.value_loss_weight * losses.mean_of(error, counts)
        if model.ranking_head is not None:
            loss += self._ranking_loss(batch, targets, contexts)
        return loss

    def _ranking_loss(
        self, batch: Batch, targets: Targets, contexts: tf.Tensor
    ) -> tf.Tensor:
        """The ranking head's: the label among the items that score best.

        The towers are not moved by it: they would learn by heart the few items that it
        looks at.
        """
        model = self._model
        contexts = tf.stop_gradient(contexts)
        catalogue = tf.stop_gradient(model.label_encoder.catalogue())
        scores = model.similarity(contexts, catalogue)
        columns = tf.range(model.num_rows)
        rivals = self._candidates[tf.newaxis]
        excluded = self._excluded(batch, targets, columns, model.num_rows)
        if excluded is not None:
            rivals = tf.logical_and(rivals, tf.logical_not(excluded))
        labels = tf.one_hot(targets.labels, model.num_rows, True, False, dtype=tf.bool)
        rivals = tf.logical_and(rivals, tf.logical_not(labels))
        best, items = tf.math.top_k(
            tf.where(rivals, scores, tf.constant(ranks.FLOOR)), model.num_ranked
        )
        items = tf.concat([targets.labels[:, tf.newaxis], items], axis=1)
        among = tf.gather(catalogue, items)  # [batch, 1 + candidates, width]
        kept = tf.concat(
            [tf.ones_like(best[:, :1], tf.bool), best > ranks.FLOOR], axis=1
        )
        found = losses.softmax_losses(
            model.rank(contexts, among, training=True),
            tf.zeros_like(targets.labels),
            kept,
            self._smoothing,
        )
        return losses.mean_of(found, tf.gather(self._candidates, targets.labels))
