"""What a train example asks the model to predict, and what the user had before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

Ints = npt.NDArray[np.integer]

# Steps beyond those of any context: that of a label, and that of what never comes.
_LAST = 2**30
_NEVER = 2**31 - 1


@dataclass(frozen=True)
class Targets:
    """Targets of a batch, one after the other.

    Attributes:
      labels: int32 [targets], ids of items.
      example: int32 [targets], which example of the batch each is of.
      step: int32 [targets], its context's last step.
    """

    labels: Any
    example: Any
    step: Any


def label_targets(labels: tf.Tensor) -> Targets:
    """The label of each example, after all steps of its context.

    Args:
      labels: int32 [batch].
    """
    example = tf.range(tf.size(labels))
    return Targets(labels, example, tf.fill(tf.shape(labels), _LAST))


def position_targets(contexts: tf.Tensor, labels: tf.Tensor) -> Targets:
    """The label of each example and, but for the first, each step of its context.

    Args:
      contexts: int32 [batch, length], ids, oldest first, 0 at the end where there are
        fewer.
      labels: int32 [batch].
    """
    count = _count(contexts)  # [batch, 1]
    last = tf.range(contexts.shape[1])[tf.newaxis] == count - 1
    following = tf.pad(contexts[:, 1:], [[0, 0], [0, 1]])
    targets = tf.where(last, labels[:, tf.newaxis], following)  # [batch, length]
    place = tf.cast(tf.where(targets != 0), tf.int32)
    return Targets(tf.gather_nd(targets, place), place[:, 0], place[:, 1])


def num_distinct_targets(users: Ints, positions: Ints, lengths: Ints) -> int:
    """How many targets examples have, each once that several have.

    Args:
      users: int [examples], a number for each user.
      positions: int [examples], activities of the user before the label; different ones
        for each user.
      lengths: int [examples], steps of the context; the last before the label.
    """
    order = np.lexsort((positions, users))
    users, positions, lengths = users[order], positions[order], lengths[order]
    # An example adds what lies behind its user's example before.
    added = np.diff(positions, prepend=0)
    added[np.diff(users, prepend=users[:1] - 1) != 0] = np.iinfo(np.int64).max
    return int(np.minimum(added, lengths).sum())


def had_before(
    targets: Targets,
    contexts: tf.Tensor,
    earlier: tf.Tensor | None,
    columns: tf.Tensor,
    num_columns: int | tf.Tensor,
) -> tf.Tensor:
    """Which items the user had before each target.

    Args:
      targets: of the batch.
      contexts: int32 [batch, length], ids, 0 at the end where there are fewer.
      earlier: int32 [batch, n], all items before each label, the newest in the last
        column, 0 at the front where there are fewer; those of the context are among
        them. None: the context's items alone.
      columns: int32 [rows of the item table], the column of each item, -1 for none.
      num_columns: of the result.

    Returns:
      bool [targets, num_columns]; an item that is a target itself may be among them.
    """
    items = contexts
    step = tf.broadcast_to(tf.range(tf.shape(items)[1]), tf.shape(items))
    if earlier is not None:
        # The context tells its own steps, which training may have shuffled.
        place = tf.range(tf.shape(earlier)[1])[tf.newaxis]
        before = place < tf.shape(earlier)[1] - _count(contexts)
        before = tf.where(before, earlier, tf.zeros_like(earlier))
        items = tf.concat([before, contexts], axis=1)
        step = tf.concat([tf.zeros_like(before), step], axis=1)
    known = tf.logical_and(items > 0, items < tf.size(columns))
    column = tf.gather(columns, tf.where(known, items, tf.zeros_like(items)))
    known = tf.logical_and(known, column >= 0)
    batch = tf.broadcast_to(
        tf.range(tf.shape(items)[0])[:, tf.newaxis], tf.shape(items)
    )
    # From which step on each item is one that the user had.
    since = tf.tensor_scatter_nd_min(
        tf.fill([tf.shape(items)[0], num_columns], _NEVER),
        tf.stack([tf.boolean_mask(batch, known), tf.boolean_mask(column, known)], -1),
        tf.boolean_mask(step, known),
    )
    return tf.gather(since, targets.example) <= targets.step[:, tf.newaxis]


def _count(contexts: tf.Tensor) -> tf.Tensor:
    """How many steps are real, int32 [batch, 1]."""
    real = tf.cast(contexts != 0, tf.int32)
    return tf.reduce_sum(real, axis=1, keepdims=True)
