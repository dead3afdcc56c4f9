"""Losses over scores."""

from __future__ import annotations

import tensorflow as tf

# Subtracted from the scores of items that are no negatives; finite, so that a masked
# item neither turns the loss nor its gradient into NaN.
_MASKED = -1e9


def global_softmax(
    scores: tf.Tensor,
    labels: tf.Tensor,
    candidates: tf.Tensor,
    excluded: tf.Tensor | None = None,
    label_smoothing: float = 0.0,
) -> tf.Tensor:
    """Softmax cross-entropy over the whole catalogue.

    Args:
      scores: float32 [batch, rows].
      labels: int32 or int64 [batch].
      candidates: bool [rows], the real items; the others are no negatives, and labels
        among the others count nothing.
      excluded: bool [batch, rows], items that are no negatives; the label is kept.
      label_smoothing: share of the target that goes to all items alike (Szegedy et al.
        2016).

    Returns:
      float32 scalar, in nats: the mean over the labels that count, 0 if none does.
    """
    kept = candidates[tf.newaxis]
    if excluded is not None:
        kept = tf.logical_and(kept, tf.logical_not(excluded))
    own = tf.one_hot(labels, tf.shape(scores)[1], True, False, dtype=tf.bool)
    kept = tf.logical_or(kept, own)
    losses = softmax_losses(scores, labels, kept, label_smoothing)
    return mean_of(losses, tf.gather(candidates, labels))


def batch_softmax(
    scores: tf.Tensor,
    labels: tf.Tensor,
    items: tf.Tensor,
    candidates: tf.Tensor,
    log_frequencies: tf.Tensor,
    excluded: tf.Tensor | None = None,
    label_smoothing: float = 0.0,
) -> tf.Tensor:
    """Softmax cross-entropy over the labels of the batch.

    Each other label is a negative as often as it is one, but the label itself never is
    (an accidental hit). From each score the logarithm of how often its item is a label
    is subtracted: else frequent items would be negatives too often (Yi et al. 2019).

    Args:
      scores: float32 [batch, n], of context i (row) and item j (column).
      labels: int32 or int64 [batch].
      items: int32 or int64 [n], the distinct labels of the batch.
      candidates: bool [rows], the real items; the others are no negatives, and labels
        among the others count nothing.
      log_frequencies: float32 [rows], of each item among the labels.
      excluded: bool [batch, n], items that are no negatives.
      label_smoothing: see `global_softmax`. The mean over all items is estimated from
        the label and the others of the batch, each of these weighted by the ratio of
        how often it is there to how often that was to be expected (self-normalized
        importance weights); items that are never a label are not in it. The loss has a
        constant beside it that depends on the batch, the gradient does not.

    Returns:
      float32 scalar, in nats: the mean over the labels that count, 0 if none does.
    """
    own = labels[:, tf.newaxis] == items[tf.newaxis]  # [batch, n]
    times = tf.reduce_sum(tf.cast(own, scores.dtype), axis=0, keepdims=True)
    frequencies = tf.gather(log_frequencies, items)[tf.newaxis]
    scores += tf.where(own, tf.zeros_like(scores), tf.math.log(times))
    scores -= frequencies
    # The label is in its own softmax whatever its frequency.
    expected = tf.math.log(tf.cast(tf.size(labels), scores.dtype)) + frequencies
    stands_for = tf.where(own, tf.zeros_like(scores), tf.math.log(times) - expected)
    kept = tf.gather(candidates, items)[tf.newaxis]
    if excluded is not None:
        kept = tf.logical_and(kept, tf.logical_not(excluded))
    place = tf.argmax(own, axis=1)
    kept = tf.logical_or(kept, own)
    losses = softmax_losses(scores, place, kept, label_smoothing, stands_for)
    return mean_of(losses, tf.gather(candidates, labels))


def sampled_softmax(
    own: tf.Tensor,
    others: tf.Tensor,
    own_log_frequencies: tf.Tensor,
    log_frequencies: tf.Tensor,
    hits: tf.Tensor,
    counts: tf.Tensor,
    label_smoothing: float = 0.0,
) -> tf.Tensor:
    """Softmax cross-entropy over the label and sampled items.

    From each score the logarithm of how often the sampler draws its item is subtracted,
    so that it estimates the softmax over the whole catalogue (Jean et al. 2015).

    Args:
      own: float32 [batch], scores of the labels.
      others: float32 [batch, n], scores of the sampled items.
      own_log_frequencies: float32 [batch], of the labels, as the sampler draws them.
      log_frequencies: float32 [n], of the sampled items.
      hits: bool [batch, n], sampled items that are no negatives: the label itself (an
        accidental hit) and what else is left out.
      counts: bool [batch], which labels count.
      label_smoothing: see `global_softmax`. The mean over all items is estimated from
        the label and the sampled ones, each of these weighted by the inverse of how
        often the sampler draws it (self-normalized importance weights). The loss has a
        constant beside it that depends on the sample, the gradient does not.

    Returns:
      float32 scalar, in nats: the mean over the labels that count, 0 if none does.
    """
    own -= own_log_frequencies
    others -= log_frequencies[tf.newaxis]
    scores = tf.concat([own[:, tf.newaxis], others], axis=1)
    # The label is in its own softmax whatever the sampler draws.
    stands_for = tf.concat([[0.0], -log_frequencies], axis=0)[tf.newaxis]
    kept = tf.concat(
        [tf.ones_like(hits[:, :1]), tf.logical_not(hits)], axis=1
    )  # [batch, 1 + n]
    first = tf.zeros_like(own, tf.int32)
    losses = softmax_losses(scores, first, kept, label_smoothing, stands_for)
    return mean_of(losses, counts)


def binary_cross_entropy(
    own: tf.Tensor, others: tf.Tensor, hits: tf.Tensor, counts: tf.Tensor
) -> tf.Tensor:
    """Binary cross-entropy of the label and of one other item, as SASRec has it.

    Args:
      own: float32 [batch], scores of the labels.
      others: float32 [batch], scores of the other items.
      hits: bool [batch], other items that are no negatives.
      counts: bool [batch], which labels count.

    Returns:
      float32 scalar, in nats: the mean over the labels that count of the sum of both, 0
      if none does.
    """
    positive = tf.math.softplus(-own)
    negative = tf.where(hits, tf.zeros_like(others), tf.math.softplus(others))
    return mean_of(positive + negative, counts)


def softmax_losses(
    scores: tf.Tensor,
    places: tf.Tensor,
    kept: tf.Tensor,
    label_smoothing: float,
    stands_for: tf.Tensor | None = None,
) -> tf.Tensor:
    """Cross-entropy of each row's softmax over the columns that are kept.

    Args:
      scores: float32 [batch, n].
      places: int32 or int64 [batch], the label's column, which is kept.
      kept: bool [batch, n] or [1, n].
      label_smoothing: share of the target that goes to the columns that are kept, to
        each as much as it stands for.
      stands_for: float32 [batch, n] or [1, n], the logarithm of the number of items
        that each column stands for; None: one each.

    Returns:
      float32 [batch], in nats.
    """
    masked = tf.where(kept, scores, tf.constant(_MASKED))
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(places, masked)
    if not label_smoothing:
        return losses
    if stands_for is None:
        stands_for = tf.zeros_like(scores)
    shares = tf.nn.softmax(tf.where(kept, stands_for, tf.constant(_MASKED)))
    mean = tf.reduce_sum(shares * tf.where(kept, scores, 0.0), axis=1)
    even = tf.reduce_logsumexp(masked, axis=1) - mean
    return (1.0 - label_smoothing) * losses + label_smoothing * even


def mean_of(losses: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
    """Mean of those that count, float32 scalar, 0 if none does.

    Args:
      losses: float32 [batch].
      counts: bool [batch].
    """
    weights = tf.cast(counts, losses.dtype)
    # Where, not a product: 0 * NaN is NaN, and so would be a masked row's loss.
    total = tf.reduce_sum(tf.where(counts, losses, tf.zeros_like(losses)))
    return total / tf.maximum(tf.reduce_sum(weights), 1.0)
