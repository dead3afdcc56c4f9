"""The training loop: epochs, evaluation, early stopping."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from components.trainer import losses, metrics, ranks
from components.trainer.input_pipeline import Batch, ExampleSet
from components.trainer.recommendation_model import RecommendationModel
from configs import features
from configs import recommender_pb2 as pb
from configs.errors import UserError

EVAL = "eval"

# A loss this close to that of popularity alone means that nothing else was learned.
_PLATEAU_SHARE = 0.98


@dataclass(frozen=True)
class Epoch:
    """One epoch.

    Attributes:
      number: from 1.
      loss: mean over the epoch's batches, in nats.
      metrics: on the eval split, by name, e.g. ``hr_10_eval``.
      seconds: training and evaluation.
      train_seconds: training alone.
    """

    number: int
    loss: float
    metrics: dict[str, float]
    seconds: float
    train_seconds: float


@dataclass(frozen=True)
class Fit:
    """What `fit` did.

    Attributes:
      epochs: all that were run.
      best: the one whose weights the model has.
      plateau: the loss of a model that knows nothing of the context, in nats.
    """

    epochs: list[Epoch]
    best: Epoch
    plateau: float

    @property
    def on_plateau(self) -> bool:
        """Whether the weights taken are hardly better than popularity alone."""
        return self.best.loss > _PLATEAU_SHARE * self.plateau


def fit(
    model: RecommendationModel,
    config: pb.RecommenderConfig,
    candidates: np.ndarray,
    train: ExampleSet,
    evaluation: ExampleSet,
    on_epoch: Callable[[Epoch, bool], None],
) -> Fit:
    """Trains a model in place.

    With ``early_stopping_patience`` the weights of the epoch with the best
    `stopping_metric` are taken, else the last.

    Args:
      model: the model; weights it has already are where training starts from.
      config: its configuration.
      candidates: bool [rows of the label], the real items.
      train: the examples of train.
      evaluation: the examples of eval, with seen items where ``model.seen`` asks so.
      on_epoch: called after each epoch, with whether it is the best so far.

    Raises:
      UserError: if no label of train is a real item, or the loss is no longer finite.
    """
    if not train.label_counts[candidates].any():
        raise UserError(
            f"{config.input.label_feature.feature_name}: none of the "
            f"{train.num_examples} labels of train is a known item, there is nothing "
            f"to learn. Expected a larger vocab_size, or items that the catalogue has"
        )
    batch_size = int(config.train.batch_size)
    steps = int(config.train.steps_per_epoch) or train.num_batches(batch_size)
    loop = _Loop(model, config, candidates, steps)
    rank = _rank_function(model, config, candidates)
    # tf.data takes seeds as signed integers.
    seed = int(config.train.seed) % 2**31
    batches = iter(train.shuffled_batches(batch_size, seed))
    patience = int(config.train.early_stopping_patience)
    metric = stopping_metric(config)
    epochs: list[Epoch] = []
    best: Epoch | None = None
    best_weights: list[np.ndarray] = []
    for number in range(1, int(config.train.num_epochs) + 1):
        start = time.monotonic()
        loss = loop.train_epoch(batches, number)
        train_seconds = time.monotonic() - start
        values = _evaluate(rank, config, evaluation)
        seconds = time.monotonic() - start
        epoch = Epoch(number, loss, values, seconds, train_seconds)
        epochs.append(epoch)
        is_best = best is None or not patience or values[metric] > best.metrics[metric]
        if is_best:
            best = epoch
            best_weights = model.get_weights() if patience else []
        on_epoch(epoch, is_best)
        if patience and best is not None and number - best.number >= patience:
            break
    assert best is not None  # num_epochs is at least 1.
    if best_weights:
        model.set_weights(best_weights)
    return Fit(epochs, best, _plateau(config, candidates, train))


def stopping_metric(config: pb.RecommenderConfig) -> str:
    """HR on eval at 10, else at the largest K below, else at the smallest above."""
    top_k = features.eval_top_k(config)
    k = max((k for k in top_k if k <= 10), default=top_k[0])
    return f"hr_{k}_{EVAL}"


def evaluate(
    model: RecommendationModel,
    config: pb.RecommenderConfig,
    candidates: np.ndarray,
    examples: ExampleSet,
) -> dict[str, float]:
    """Metrics over the catalogue and within batches, as `metrics` names them.

    Args:
      model: the model.
      config: its configuration.
      candidates: bool [rows of the label], the real items.
      examples: the examples, with seen items where ``model.seen`` asks so.
    """
    return _evaluate(_rank_function(model, config, candidates), config, examples)


def seen_items(config: pb.RecommenderConfig, batch: Batch) -> tf.Tensor | None:
    """Ids of the items that ``model.seen`` leaves out.

    Args:
      config: the configuration.
      batch: with the context's columns and, for TIMELINE, the seen items' (dense or
        ragged).

    Returns:
      Ids [batch, n], 0 where padded; None if none are left out.
    """
    if config.model.seen == pb.KEPT:
        return None
    found = []
    item = features.CONTEXT + features.item_field(config)
    if any(f.feature_name == item for f in features.context_features(config)):
        found.append(batch[item])
    if config.model.seen == pb.TIMELINE:
        seen = batch[features.seen_feature_name(config)]
        seen = seen.to_tensor() if isinstance(seen, tf.RaggedTensor) else seen
        found.append(seen)
    if not found:
        raise UserError(
            f"model.seen: CONTEXT is not allowed without the feature {item}: the "
            f"context's items are not known"
        )
    return tf.concat([tf.cast(ids, tf.int32) for ids in found], axis=1)


class _Loop:
    """One optimizer and one compiled step over the epochs."""

    def __init__(
        self,
        model: RecommendationModel,
        config: pb.RecommenderConfig,
        candidates: np.ndarray,
        steps: int,
    ) -> None:
        self._model = model
        self._config = config
        self._candidates = tf.constant(candidates)
        self._steps = steps
        self._optimizer = make_optimizer(config, steps)
        self._optimizer.build(model.trainable_variables)
        self._run = tf.function(self._run_steps)

    def train_epoch(self, batches: Iterator[Batch], number: int) -> float:
        """Mean loss of the next ``steps`` batches."""
        total, done = self._run(batches, tf.constant(self._steps))
        loss = float(total) / self._steps
        if not math.isfinite(loss):
            raise UserError(
                f"training: the loss is {loss} in step {int(done)} of epoch {number}. "
                f"Expected a finite number: lower train.learning_rate "
                f"({self._config.train.learning_rate:g}) or train.gradient_clip_norm "
                f"({self._config.train.gradient_clip_norm:g}), and scale FLOAT features"
            )
        return loss

    def _run_steps(
        self, batches: Iterator[Batch], steps: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        # All steps of an epoch in one call: Python is not asked between them.
        total, step = tf.constant(0.0), tf.constant(0)
        while step < steps and tf.math.is_finite(total):
            total += self._step(next(batches))
            step += 1
        return total, step

    def _step(self, batch: Batch) -> tf.Tensor:
        label = batch[self._config.input.label_feature.feature_name][:, 0]
        variables = self._model.trainable_variables
        with tf.GradientTape() as tape:
            loss = self._loss(batch, label)
        gradients = [tf.convert_to_tensor(g) for g in tape.gradient(loss, variables)]
        if self._config.train.gradient_clip_norm > 0:
            gradients, _ = tf.clip_by_global_norm(
                gradients, self._config.train.gradient_clip_norm
            )
        self._optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return loss

    def _loss(self, batch: Batch, label: tf.Tensor) -> tf.Tensor:
        if self._config.train.loss == pb.BATCH_SOFTMAX:
            contexts = self._model.encode(batch)
            scores = self._model.similarity(contexts, self._model.label_encoder(label))
            return losses.batch_softmax(scores, label, self._candidates)
        scores = self._model.similarity(
            self._model.encode(batch), self._model.label_encoder.catalogue()
        )
        return losses.global_softmax(scores, label, self._candidates)


def make_optimizer(
    config: pb.RecommenderConfig, steps_per_epoch: int
) -> keras.optimizers.Optimizer:
    """The configured optimizer; clipping is the loop's.

    Args:
      config: the configuration.
      steps_per_epoch: for a schedule along all epochs.
    """
    train = config.train
    rate: Any = train.learning_rate
    if train.learning_rate_schedule == pb.COSINE:
        rate = keras.optimizers.schedules.CosineDecay(
            train.learning_rate, steps_per_epoch * int(train.num_epochs)
        )
    kinds = {
        pb.ADAM: keras.optimizers.Adam,
        pb.ADAGRAD: keras.optimizers.Adagrad,
        pb.SGD: keras.optimizers.SGD,
    }
    return kinds[train.optimizer](learning_rate=rate)


def _evaluate(
    rank: Callable[[Batch], tuple[tf.Tensor, ...]],
    config: pb.RecommenderConfig,
    examples: ExampleSet,
) -> dict[str, float]:
    batches = examples.batches(int(config.train.batch_size))
    if config.train.num_eval_steps:
        batches = batches.take(int(config.train.num_eval_steps))
    columns: list[list[np.ndarray]] = []
    for batch in batches:
        columns.append([column.numpy() for column in rank(batch)])
    found, in_batch, others, known = map(np.concatenate, zip(*columns, strict=True))
    top_k = features.eval_top_k(config)
    result = metrics.catalogue_metrics(found, top_k, EVAL)
    if known.any():
        result |= metrics.batch_metrics(in_batch[known], others[known], top_k, EVAL)
    return result


def _rank_function(
    model: RecommendationModel, config: pb.RecommenderConfig, candidates: np.ndarray
) -> Callable[[Batch], tuple[tf.Tensor, ...]]:
    name = config.input.label_feature.feature_name
    real = tf.constant(candidates)

    @tf.function(reduce_retracing=True)
    def rank(batch: Batch) -> tuple[tf.Tensor, ...]:
        label = batch[name][:, 0]
        scores = model.similarity(model.encode(batch), model.label_encoder.catalogue())
        seen = seen_items(config, batch)
        excluded = None
        if seen is not None:
            excluded = ranks.excluded_items(seen, model.num_rows)
        found = ranks.label_ranks(scores, label, real, excluded)
        inside = tf.logical_and(label >= 0, label < model.num_rows)
        inner = tf.where(inside, label, tf.zeros_like(label))
        known = tf.gather(real, inner)
        own = tf.gather(scores, inner, axis=1)  # [batch, batch]
        in_batch, others = ranks.batch_ranks(own, inner, known)
        return found, in_batch, others, known

    return rank


def _plateau(
    config: pb.RecommenderConfig, candidates: np.ndarray, train: ExampleSet
) -> float:
    counts = np.where(candidates, train.label_counts, 0)
    if config.train.loss == pb.BATCH_SOFTMAX:
        return losses.batch_plateau(counts, int(config.train.batch_size))
    return losses.global_plateau(counts)
