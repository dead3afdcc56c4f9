"""Losses, and what a model that has learned popularity alone would lose."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

# Subtracted from the scores of items that are no negatives; finite, so that a masked
# item neither turns the loss nor its gradient into NaN.
_MASKED = -1e9


def global_softmax(
    scores: tf.Tensor, labels: tf.Tensor, candidates: tf.Tensor
) -> tf.Tensor:
    """Softmax cross-entropy over the whole catalogue.

    Args:
      scores: float32 [batch, rows].
      labels: int32 or int64 [batch].
      candidates: bool [rows], the real items; the others are no negatives, and labels
        among the others count nothing.

    Returns:
      float32 scalar, in nats: the mean over the labels that count, 0 if none does.
    """
    masked = tf.where(candidates[tf.newaxis], scores, tf.constant(_MASKED))
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, masked)
    return _mean(losses, tf.gather(candidates, labels))


def batch_softmax(
    scores: tf.Tensor, labels: tf.Tensor, candidates: tf.Tensor
) -> tf.Tensor:
    """Softmax cross-entropy over the labels of the batch.

    Args:
      scores: float32 [batch, batch], of context i (row) and label j (column).
      labels: int32 or int64 [batch]; another column with the same label is no
        negative (an accidental hit).
      candidates: bool [rows], the real items; columns of others are no negatives, and
        their rows count nothing.

    Returns:
      float32 scalar, in nats: the mean over the labels that count, 0 if none does.
    """
    size = tf.shape(labels)[0]
    counts = tf.gather(candidates, labels)  # [batch]
    hit = labels[:, tf.newaxis] == labels[tf.newaxis]
    negative = tf.logical_and(counts[tf.newaxis], tf.logical_not(hit))
    kept = tf.logical_or(negative, tf.eye(size, dtype=tf.bool))
    masked = tf.where(kept, scores, tf.constant(_MASKED))
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.range(size), masked)
    return _mean(losses, counts)


def global_plateau(label_counts: np.ndarray) -> float:
    """The global softmax's loss of the best model that ignores the context.

    Args:
      label_counts: [rows], how often each item is the label.

    Returns:
      The entropy of the labels, in nats.
    """
    counts = label_counts[label_counts > 0].astype(np.float64)
    shares = counts / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def batch_plateau(label_counts: np.ndarray, batch_size: int) -> float:
    """The batch softmax's loss of a model that scores all items equal.

    Args:
      label_counts: [rows], how often each item is the label.
      batch_size: labels in a batch.

    Returns:
      The mean of log(1 + negatives) by the mean number of negatives, in nats.
    """
    shares = label_counts.astype(np.float64) / label_counts.sum()
    negatives = (batch_size - 1) * (1.0 - shares)
    return float((shares * np.log1p(negatives)).sum())


def _mean(losses: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
    weights = tf.cast(counts, losses.dtype)
    # Where, not a product: 0 * NaN is NaN, and so would be a masked row's loss.
    total = tf.reduce_sum(tf.where(counts, losses, tf.zeros_like(losses)))
    return total / tf.maximum(tf.reduce_sum(weights), 1.0)
