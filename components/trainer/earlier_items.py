"""The items that users had before each train example, told from all of them together.

Examples of train hold no ``seen_<item>``: it would be longer than all else. But their
labels and contexts are the timelines, each activity at its position.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

Ints = npt.NDArray[np.integer]


@dataclass(frozen=True)
class Activities:
    """Activities that some examples show, each once.

    Attributes:
      user: bytes [activities].
      position: int64 [activities], activities of the user before this one.
      item: int32 [activities], ids.
    """

    user: npt.NDArray[Any]
    position: Ints
    item: Ints


def activities_of(
    users: npt.NDArray[Any], positions: Ints, labels: Ints, contexts: Ints
) -> Activities:
    """The activities of a batch of examples.

    Args:
      users: bytes [examples].
      positions: int [examples], activities of the user before the label.
      labels: int [examples], ids.
      contexts: int [examples, length], ids of the last activities before it, oldest
        first, 0 at the end where there are fewer.
    """
    counts = (contexts != 0).sum(axis=1)
    steps = np.arange(contexts.shape[1])
    inside = steps < counts[:, np.newaxis]
    places = (positions - counts)[:, np.newaxis] + steps
    names, numbers = np.unique(users, return_inverse=True)
    numbers = numbers.reshape(-1)
    user = np.concatenate(
        [numbers, np.broadcast_to(numbers[:, None], inside.shape)[inside]]
    )
    position = np.concatenate([positions, places[inside]]).astype(np.int64)
    item = np.concatenate([labels, contexts[inside]]).astype(np.int32)
    _, first = np.unique(np.stack([user, position]), axis=1, return_index=True)
    return Activities(names[user[first]], position[first], item[first])


class EarlierItems:
    """Looks up what a user had before a position.

    Example:
      >>> earlier = EarlierItems([activities_of(
      ...     np.array([b"ann", b"ann"]), np.array([1, 2]), np.array([8, 9]),
      ...     np.array([[7, 0], [7, 8]]))], max_length=10)
      >>> earlier(tf.constant([b"ann"]), tf.constant([2], tf.int64)).numpy()
      array([[7, 8]], dtype=int32)
    """

    def __init__(self, parts: Sequence[Activities], max_length: int) -> None:
        """Puts activities in their places.

        Args:
          parts: all activities; what none of them shows counts as padding.
          max_length: the most items of one user, the newest.
        """
        users = np.concatenate([part.user for part in parts])
        position = np.concatenate([part.position for part in parts])
        names, user = np.unique(users, return_inverse=True)
        user = user.reshape(-1)
        length = np.zeros(len(names), np.int64)
        np.maximum.at(length, user, position + 1)
        begin = np.cumsum(length) - length
        items = np.zeros(int(length.sum()), np.int32)
        items[begin[user] + position] = np.concatenate([part.item for part in parts])
        self._items = tf.constant(items)
        self._max_length = max_length
        self._begin = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(tf.constant(names), tf.constant(begin)),
            default_value=0,
        )

    def __call__(self, users: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
        """Ids of earlier items, oldest first, the newest in the last column.

        Args:
          users: string [batch], of those that the activities are of.
          positions: int64 [batch].

        Returns:
          int32 [batch, n], n that of the longest; 0 at the front where there are fewer.
        """
        length = tf.minimum(
            tf.reduce_max(positions), tf.constant(self._max_length, tf.int64)
        )
        place = positions[:, tf.newaxis] + tf.range(length) - length  # [batch, n]
        begin = self._begin.lookup(users)[:, tf.newaxis]
        found = tf.gather(self._items, begin + tf.maximum(place, 0))
        return tf.where(place >= 0, found, tf.zeros_like(found))
