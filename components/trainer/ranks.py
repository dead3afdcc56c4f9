"""Ranks of labels, and the best items, with seen items left out.

The rank of a label is 1, plus the number of items that score higher, plus the number of
*other* items that score equal: ties and scores that are no numbers count against it, so
neither a constant nor a diverged model looks good.
"""

from __future__ import annotations

import tensorflow as tf

# Below any score and still a number: what left-out items score.
FLOOR = tf.float32.min


def excluded_items(ids: tf.Tensor, num_rows: int) -> tf.Tensor:
    """Which rows of the item table are among ``ids``.

    Args:
      ids: int32 or int64 [batch, n]; 0 is padding, ids outside the table are ignored.
      num_rows: of the item table.

    Returns:
      bool [batch, num_rows]; row 0 is never among them.
    """
    ids = tf.cast(ids, tf.int32)
    ids = tf.where(tf.logical_and(ids > 0, ids < num_rows), ids, tf.zeros_like(ids))
    batch, length = tf.unstack(tf.shape(ids))
    row = tf.repeat(tf.range(batch), length)
    counts = tf.scatter_nd(
        tf.stack([row, tf.reshape(ids, [-1])], axis=-1),
        tf.reshape(tf.cast(ids > 0, tf.int32), [-1]),
        [batch, num_rows],
    )
    return counts > 0


def label_ranks(
    scores: tf.Tensor,
    labels: tf.Tensor,
    candidates: tf.Tensor,
    excluded: tf.Tensor | None = None,
) -> tf.Tensor:
    """Rank of each label among the candidates.

    Args:
      scores: float32 [batch, rows].
      labels: int32 or int64 [batch].
      candidates: bool [rows], the real items: without padding and out of vocabulary.
      excluded: bool [batch, rows], items left out; the label itself never is.

    Returns:
      float32 [batch], 1 for the best. A label that is no candidate, or whose score is
      not finite, ranks last: at the number of candidates.
    """
    num_rows = tf.shape(scores)[1]
    labels = tf.cast(labels, tf.int32)
    inside = tf.logical_and(labels >= 0, labels < num_rows)
    labels = tf.where(inside, labels, tf.zeros_like(labels))
    own = tf.gather(scores, labels, batch_dims=1)[:, tf.newaxis]  # [batch, 1]
    rivals = tf.logical_and(
        candidates[tf.newaxis], tf.range(num_rows)[tf.newaxis] != labels[:, tf.newaxis]
    )
    if excluded is not None:
        rivals = tf.logical_and(rivals, tf.logical_not(excluded))
    # Not 'scores >= own', which is false for NaN.
    ahead = tf.logical_and(rivals, tf.logical_not(scores < own))
    rank = 1 + tf.reduce_sum(tf.cast(ahead, tf.int32), axis=1)
    known = tf.logical_and(inside, tf.gather(candidates, labels))
    known = tf.logical_and(known, tf.math.is_finite(own[:, 0]))
    last = tf.reduce_sum(tf.cast(candidates, tf.int32))
    return tf.cast(tf.where(known, rank, last), tf.float32)


def batch_ranks(
    scores: tf.Tensor, labels: tf.Tensor, known: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Rank of each label among the different labels of its batch.

    Args:
      scores: float32 [batch, batch], of context i (row) and label j (column).
      labels: int32 or int64 [batch]; columns of one label are one item.
      known: bool [batch], which labels are real items; no label ranks behind others.

    Returns:
      Ranks float32 [batch], 1 for the best, last if the own score is not finite; and
      float32 [batch] how many other items there were to be ranked behind.
    """
    own = tf.linalg.diag_part(scores)[:, tf.newaxis]  # [batch, 1]
    same = labels[:, tf.newaxis] == labels[tf.newaxis]  # [batch, batch]
    # Of the columns of one label the first stands for all.
    first = tf.argmax(same, axis=1, output_type=tf.int32) == tf.range(tf.size(labels))
    others = tf.logical_and(tf.logical_and(first, known), tf.logical_not(same))
    ahead = tf.logical_and(others, tf.logical_not(scores < own))
    num_others = tf.reduce_sum(tf.cast(others, tf.float32), axis=1)
    rank = 1.0 + tf.reduce_sum(tf.cast(ahead, tf.float32), axis=1)
    last = 1.0 + num_others
    return tf.where(tf.math.is_finite(own[:, 0]), rank, last), num_others


def top_items(
    scores: tf.Tensor, k: int, left_out: tf.Tensor | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """The best items of each context.

    Args:
      scores: float32 [batch, n].
      k: how many, at most n.
      left_out: bool [batch, n]; these score ``FLOOR`` and come last.

    Returns:
      Their places int32 [batch, k] and scores float32 [batch, k], the best first.
    """
    if left_out is not None:
        scores = tf.where(left_out, tf.constant(FLOOR), scores)
    best, places = tf.math.top_k(scores, k)
    return places, best


def ranked_again(scores: tf.Tensor, places: tf.Tensor, again: tf.Tensor) -> tf.Tensor:
    """Scores of a first stage, with those of a second one before all others.

    Args:
      scores: float32 [batch, n], of the first stage.
      places: int32 [batch, m], which of the n were scored again.
      again: float32 [batch, m], their scores of the second stage.

    Returns:
      float32 [batch, n]: of the places the second stage's scores, of others what the
      first stage gave, moved below the lowest of these. Scores that are not finite stay
      so.
    """
    places = tf.cast(places, tf.int32)
    row = tf.range(tf.shape(scores)[0])[:, tf.newaxis]
    index = tf.stack([tf.broadcast_to(row, tf.shape(places)), places], axis=-1)
    best = tf.reduce_max(scores, axis=1, keepdims=True)
    lowest = tf.reduce_min(again, axis=1, keepdims=True)
    below = scores - best + lowest - 1.0
    return tf.tensor_scatter_nd_update(below, index, again)
