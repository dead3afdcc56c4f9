"""Baselines that a trained model has to beat: they count, and learn no weight.

Each is fitted on activities and scores all items for a history.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from benchmarks.activities import Activities, Pairs, pair_weights

Ints = npt.NDArray[np.integer]
Floats = npt.NDArray[np.floating]

# Votes of up to five steps differ by 1 / 3600 or more: all are multiples of it.
_LESS_THAN_A_VOTE = 1e-4


class Baseline(Protocol):
    """Scores all items for histories."""

    def scores(self, histories: Sequence[Ints]) -> Floats:
        """Scores float64 ``[len(histories), items]``.

        Args:
          histories: items of each user, oldest first; -1 is an item that is not in the
            catalogue.
        """
        ...


class Popularity:
    """An item's number of activities, whatever the history.

    Args:
      activities: what to count.
      num_items: in the catalogue.
    """

    def __init__(self, activities: Activities, num_items: int) -> None:
        self._counts = np.bincount(activities.item, minlength=num_items).astype(float)

    def scores(self, histories: Sequence[Ints]) -> Floats:
        return np.tile(self._counts, (len(histories), 1))


class Markov:
    """How often an item came after those that the history ends with.

    With ``steps=1`` it is the first-order Markov chain: the number of times an item
    came right after the last one. With more, pairs up to `steps` places apart count,
    each as 1 / (places apart), and the last `steps` items of the history vote, each
    with 1 / (1 for the last, 2 for the one before, ...). Where this is equal, as it is
    for all items that never followed, the more popular item is the better one.

    Args:
      activities: what to count.
      num_items: in the catalogue.
      steps: how far apart two activities may be.
    """

    def __init__(self, activities: Activities, num_items: int, steps: int = 1) -> None:
        self._pairs: Pairs = pair_weights(activities, num_items, steps)
        counts = np.bincount(activities.item, minlength=num_items)
        self._popularity = _LESS_THAN_A_VOTE * counts / counts.max()
        self._steps = steps

    def scores(self, histories: Sequence[Ints]) -> Floats:
        result = np.tile(self._popularity, (len(histories), 1))
        for row, history in zip(result, histories, strict=True):
            for age, item in enumerate(history[: -self._steps - 1 : -1], 1):
                if item < 0:
                    continue
                found = slice(self._pairs.begin[item], self._pairs.begin[item + 1])
                row[self._pairs.later[found]] += self._pairs.weight[found] / age
        return result


class ItemCosine:
    """Sum of an item's similarities to those of the history (item-based neighbours).

    The similarity of two items is the cosine between their columns of the matrix of
    users by items, 1 where the user has had the item (Sarwar et al., 2001); of an item
    with itself it is 0. The matrix of all similarities is never built.

    Args:
      activities: what to count.
      num_items: in the catalogue.
    """

    def __init__(self, activities: Activities, num_items: int) -> None:
        num_users = int(activities.user.max()) + 1
        # Each user and item once, sorted by item.
        keys = np.unique(activities.item * num_users + activities.user)
        self._item, self._user = keys // num_users, keys % num_users
        self._begin = np.searchsorted(self._item, np.arange(num_items + 1))
        self._norm = np.sqrt(np.maximum(np.diff(self._begin), 1))  # [items]
        self._num_users, self._num_items = num_users, num_items

    def scores(self, histories: Sequence[Ints]) -> Floats:
        result = np.empty((len(histories), self._num_items))
        for row, history in zip(result, histories, strict=True):
            row[:] = self._scores(np.unique(history[history >= 0]))
        return result

    def _scores(self, history: Ints) -> Floats:
        users = np.zeros(self._num_users)
        for item in history:
            users[self._user[self._begin[item] : self._begin[item + 1]]] += (
                1 / self._norm[item]
            )
        sums = np.bincount(self._item, users[self._user], self._num_items)
        scores: Floats = sums / self._norm
        # With itself an item has a similarity of 1, if anybody has had it.
        scores[history] -= np.diff(self._begin)[history] > 0
        return scores
