"""Timelines and their windows as arrays; no loop over activities or examples.

A timeline is one user's activities in time order. Rows of all arrays are activities,
sorted by user, then time. An example is a row (its label) and the rows just before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from components.timeline_example_gen import hashing

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Timelines:
    """Activities sorted by user, then time.

    Attributes:
      order: int64 ``[rows]``, the row of the unsorted activities.
      position: int64 ``[rows]``, activities of the same user before this one.
      length: int64 ``[rows]``, activities of the same user in all.
    """

    order: Ints
    position: Ints
    length: Ints


def sort_timelines(
    user: Ints,
    timestamp: Ints,
    item: Ints,
    user_hash: hashing.Hashes,
    item_hash: hashing.Hashes,
    last_keys: Sequence[npt.NDArray[Any]],
    seed: int,
) -> Timelines:
    """Sorts activities into timelines, the same ones in whatever order they come.

    Activities of one user at one time are ordered by a seeded hash of user and item:
    ordered by item id, the popular items (whose ids are low in many logs) would come
    first, and a model could tell the next item from that alone.

    Args:
      user: int64 ``[rows]``, index into `user_hash`; timelines are in its order.
      timestamp: int64 ``[rows]``, in any unit.
      item: int64 ``[rows]``, index into `item_hash`, in an order of the items that
        does not depend on that of the rows.
      user_hash: uint64 ``[users]``.
      item_hash: uint64 ``[items]``.
      last_keys: numbers ``[rows]`` each; the last orders what is the same in all else,
        and so on.
      seed: chooses the order within a moment.
    """
    tie = hashing.combine(hashing.seeded(user_hash, seed)[user], item_hash[item])
    order = np.lexsort((*last_keys, item, tie, timestamp, user))
    position, length = positions(user[order])
    return Timelines(order=order, position=position, length=length)


def positions(user: Ints) -> tuple[Ints, Ints]:
    """Position in its timeline and the timeline's length, for each row.

    Args:
      user: int64 ``[rows]``, rows of one user next to each other.
    """
    rows = np.arange(len(user), dtype=np.int64)
    if not len(user):
        return rows, rows.copy()
    start = np.r_[True, user[1:] != user[:-1]]
    timeline = np.cumsum(start) - 1
    position = rows - np.flatnonzero(start)[timeline]
    return position, np.bincount(timeline).astype(np.int64)[timeline]


def gaps(timestamp: Ints, position: Ints) -> Ints:
    """Time since the activity before of the same user; 0 for a user's first.

    Args:
      timestamp: int64 ``[rows]``, sorted by user, then time.
      position: int64 ``[rows]``, activities of the same user before this one.
    """
    since = np.diff(timestamp, prepend=timestamp[:1])
    return np.where(position > 0, since, 0)


def once_each(user: Ints, item: Ints, keep_last: bool) -> npt.NDArray[np.bool_]:
    """Which activities to keep so that a user has one at most with each item.

    Args:
      user: int64 ``[rows]``, sorted by user, then time.
      item: int64 ``[rows]``.
      keep_last: the newest of several, not the oldest.
    """
    kept = np.zeros(len(user), np.bool_)
    if not len(user):
        return kept
    pair = user * (int(item.max()) + 1) + item
    if keep_last:
        _, index = np.unique(pair[::-1], return_index=True)
        index = len(pair) - 1 - index
    else:
        _, index = np.unique(pair, return_index=True)
    kept[index] = True
    return kept


def spread(begin: Ints, length: Ints) -> Ints:
    """The positions of ranges, one range after the other.

    Args:
      begin: int64 ``[ranges]``.
      length: int64 ``[ranges]``.

    Returns:
      int64 ``[sum of length]``.
    """
    total = np.cumsum(length)
    offset = np.repeat(begin - (total - length), length)
    return np.arange(len(offset), dtype=np.int64) + offset


def chunks(cost: Ints, budget: int) -> list[slice]:
    """Cuts rows into slices that cost about `budget` each, at least a row each.

    Args:
      cost: int64 ``[rows]``, 0 or more.
      budget: more than 0.
    """
    if not len(cost):
        return []
    number = (np.cumsum(cost) - cost) // budget
    starts = np.flatnonzero(np.r_[True, number[1:] != number[:-1]])
    stops = np.r_[starts[1:], len(cost)]
    return [slice(int(a), int(b)) for a, b in zip(starts, stops, strict=True)]
