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

from components.trainer import metrics, ranks
from components.trainer.input_pipeline import Batch, ExampleSet
from components.trainer.objective import Objective
from components.trainer.recommendation_model import RecommendationModel
from configs import features
from configs import recommender_pb2 as pb
from configs.errors import UserError

EVAL = "eval"

# So many standard errors above popularity alone may be chance.
_CHANCE = 2.0


class DivergedError(UserError):
    """The loss is no longer finite."""


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
      metric: the one that tells which epoch is the best.
      popularity: its value for popularity alone, whatever the context.
      num_evaluated: examples that the metrics are means over.
    """

    epochs: list[Epoch]
    best: Epoch
    metric: str
    popularity: float
    num_evaluated: int

    @property
    def on_plateau(self) -> bool:
        """Whether the weights taken are no better than popularity, but for chance."""
        variance = self.popularity * (1.0 - self.popularity) / self.num_evaluated
        better = self.best.metrics[self.metric] - self.popularity
        return better <= _CHANCE * math.sqrt(variance)


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
      UserError: if no label of train is a real item.
      DivergedError: if the loss is no longer finite.
    """
    if not train.target_counts[candidates].any():
        raise UserError(
            f"{config.input.label_feature.feature_name}: none of the "
            f"{train.num_examples} labels of train is a known item, there is nothing "
            f"to learn. Expected a larger vocab_size, or items that the catalogue has"
        )
    batch_size = int(config.train.batch_size)
    steps = steps_per_epoch(config, train)
    objective = Objective(model, config, candidates, train.target_counts)
    loop = _Loop(model, config, objective, steps)
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
        values = _evaluate(rank, config, candidates, evaluation, train.label_counts)
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
    popularity = _popularity(config, candidates, train, evaluation)[metric]
    evaluated = evaluation.num_examples
    if config.train.num_eval_steps:
        evaluated = min(evaluated, batch_size * int(config.train.num_eval_steps))
    return Fit(epochs, best, metric, popularity, evaluated)


def steps_per_epoch(config: pb.RecommenderConfig, train: ExampleSet) -> int:
    """Batches of an epoch: as configured, else as many as give each target once.

    Where every position is a target, overlapping windows show most targets many times,
    so an epoch takes a share of the windows, the next one others.

    Args:
      config: the configuration.
      train: the examples.
    """
    if config.train.steps_per_epoch:
        return int(config.train.steps_per_epoch)
    share = train.num_distinct_targets / max(int(train.target_counts.sum()), 1)
    windows = train.num_examples * share
    return math.ceil(windows / int(config.train.batch_size))


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
    label_counts: np.ndarray | None = None,
) -> dict[str, float]:
    """Metrics over the catalogue and within batches, as `metrics` names them.

    Args:
      model: the model.
      config: its configuration.
      candidates: bool [rows of the label], the real items.
      examples: the examples, with seen items where ``model.seen`` asks so.
      label_counts: int64 [rows of the label], how often each is a label of train;
        without them there is no popularity ratio.
    """
    rank = _rank_function(model, config, candidates)
    return _evaluate(rank, config, candidates, examples, label_counts)


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
    item = features.item_feature_name(config)
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
        objective: Objective,
        steps: int,
    ) -> None:
        self._model = model
        self._config = config
        self._objective = objective
        self._steps = steps
        self._optimizer = make_optimizer(config, steps)
        self._optimizer.build(model.trainable_variables)
        self._run = tf.function(self._run_steps)

    def train_epoch(self, batches: Iterator[Batch], number: int) -> float:
        """Mean loss of the next ``steps`` batches."""
        total, done = self._run(batches, tf.constant(self._steps))
        loss = float(total) / self._steps
        if not math.isfinite(loss):
            raise DivergedError(
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
        variables = self._model.trainable_variables
        with tf.GradientTape() as tape:
            loss = self._objective(batch)
        gradients = [tf.convert_to_tensor(g) for g in tape.gradient(loss, variables)]
        if self._config.train.gradient_clip_norm > 0:
            gradients, _ = tf.clip_by_global_norm(
                gradients, self._config.train.gradient_clip_norm
            )
        self._optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return loss


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
    if train.weight_decay:
        return keras.optimizers.AdamW(rate, weight_decay=train.weight_decay)
    kinds = {
        pb.ADAM: keras.optimizers.Adam,
        pb.ADAGRAD: keras.optimizers.Adagrad,
        pb.SGD: keras.optimizers.SGD,
    }
    return kinds[train.optimizer](learning_rate=rate)


def _evaluate(
    rank: Callable[[Batch], tuple[tf.Tensor, ...]],
    config: pb.RecommenderConfig,
    candidates: np.ndarray,
    examples: ExampleSet,
    label_counts: np.ndarray | None = None,
) -> dict[str, float]:
    batches = examples.batches(int(config.train.batch_size))
    if config.train.num_eval_steps:
        batches = batches.take(int(config.train.num_eval_steps))
    columns: list[list[np.ndarray]] = []
    for batch in batches:
        columns.append([column.numpy() for column in rank(batch)])
    found, in_batch, others, known, label, top = map(
        np.concatenate, zip(*columns, strict=True)
    )
    top_k = features.eval_top_k(config)
    result = metrics.catalogue_metrics(found, top_k, EVAL)
    counts = None if label_counts is None else np.where(candidates, label_counts, 0)
    result |= metrics.list_metrics(
        top, label, int(candidates.sum()), counts, top_k, EVAL
    )
    if known.any():
        result |= metrics.batch_metrics(in_batch[known], others[known], top_k, EVAL)
    return result


def _popularity(
    config: pb.RecommenderConfig,
    candidates: np.ndarray,
    train: ExampleSet,
    evaluation: ExampleSet,
) -> dict[str, float]:
    """Metrics of how often items are labels of train, whatever the context."""
    name = config.input.label_feature.feature_name
    counts = tf.constant(train.label_counts[np.newaxis], tf.float32)
    rank = _rank_by(
        lambda batch: tf.repeat(counts, tf.shape(batch[name])[0], axis=0),
        config,
        candidates,
    )
    return _evaluate(rank, config, candidates, evaluation)


def _rank_function(
    model: RecommendationModel, config: pb.RecommenderConfig, candidates: np.ndarray
) -> Callable[[Batch], tuple[tf.Tensor, ...]]:
    name = config.input.label_feature.feature_name
    real = tf.constant(candidates)

    def score(batch: Batch) -> tf.Tensor:
        contexts = model.encode(batch)
        items = model.label_encoder.catalogue()
        scores = model.similarity(contexts, items)
        kept = tf.repeat(real[tf.newaxis], tf.shape(scores)[0], axis=0)
        seen = seen_items(config, batch)
        if seen is not None:
            left_out = ranks.excluded_items(seen, model.num_rows)
            label = tf.one_hot(
                batch[name][:, 0], model.num_rows, True, False, dtype=tf.bool
            )
            kept &= tf.logical_or(label, tf.logical_not(left_out))
        return model.rescore(contexts, items, scores, kept)

    return _rank_by(score, config, candidates)


def _rank_by(
    score: Callable[[Batch], tf.Tensor],
    config: pb.RecommenderConfig,
    candidates: np.ndarray,
) -> Callable[[Batch], tuple[tf.Tensor, ...]]:
    """A function from a batch to ranks, by a function to scores of all items.

    It returns each label's rank in the catalogue; its rank in the batch, how many
    others there were, and whether it is known; the label; and the best items int32
    [batch, largest K], -1 where nothing is left.
    """
    name = config.input.label_feature.feature_name
    real, num_rows = tf.constant(candidates), len(candidates)
    k = min(max(features.eval_top_k(config)), num_rows)

    @tf.function(reduce_retracing=True)
    def rank(batch: Batch) -> tuple[tf.Tensor, ...]:
        label = batch[name][:, 0]
        scores = score(batch)
        seen = seen_items(config, batch)
        excluded = None if seen is None else ranks.excluded_items(seen, num_rows)
        found = ranks.label_ranks(scores, label, real, excluded)
        inside = tf.logical_and(label >= 0, label < num_rows)
        inner = tf.where(inside, label, tf.zeros_like(label))
        known = tf.gather(real, inner)
        own = tf.gather(scores, inner, axis=1)  # [batch, batch]
        in_batch, others = ranks.batch_ranks(own, inner, known)
        left_out = tf.logical_not(real)[tf.newaxis]
        if excluded is not None:
            left_out = tf.logical_or(left_out, excluded)
        items, best = ranks.top_items(scores, k, left_out)
        top = tf.where(best > ranks.FLOOR, items, -1)
        return found, in_batch, others, known, label, top

    return rank
