"""Activities in time order, and what a baseline counts in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.integer]
Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Activities:
    """Activities of many users, sorted by user, then by their place in the timeline.

    Attributes:
      user: int64 ``[activities]``, from 0.
      position: int64 ``[activities]``, number of earlier activities of the user; there
        may be gaps, where an activity is in another split.
      item: int64 ``[activities]``, from 0.
    """

    user: Ints
    position: Ints
    item: Ints


@dataclass(frozen=True)
class Pairs:
    """Weights of pairs of items, sorted by the earlier one.

    Attributes:
      begin: int64 ``[items + 1]``; the pairs whose earlier item is i are
        ``begin[i]:begin[i + 1]``.
      later: int64 ``[pairs]``.
      weight: float64 ``[pairs]``.
    """

    begin: Ints
    later: Ints
    weight: Floats


def rebuild(
    user: Ints,
    label_position: Ints,
    label: Ints,
    context: Ints,
    context_length: Ints,
) -> Activities:
    """The activities that examples show, as label or in a context, each once.

    Of a leave-one-out split's train examples these are the timelines without the last
    two activities: each label is one, and the first example's context is the rest. A
    timeline of which one activity would be left has no such example.

    Args:
      user: int64 ``[examples]``.
      label_position: int64 ``[examples]``, earlier activities of the user.
      label: int64 ``[examples]``, items.
      context: int64 ``[examples, length]``, the last activities before the label,
        oldest first, padded at the end.
      context_length: int64 ``[examples]``, how many of these are real.
    """
    steps = np.arange(context.shape[1])
    real = steps < context_length[:, None]  # [examples, length]
    place = (label_position - context_length)[:, None] + steps
    users = np.concatenate([user, np.broadcast_to(user[:, None], real.shape)[real]])
    positions = np.concatenate([label_position, place[real]])
    items = np.concatenate([label, context[real]])
    order = np.lexsort((positions, users))
    users, positions, items = users[order], positions[order], items[order]
    first = np.ones(len(users), np.bool_)
    first[1:] = (users[1:] != users[:-1]) | (positions[1:] != positions[:-1])
    return Activities(users[first], positions[first], items[first])


def pair_weights(activities: Activities, num_items: int, max_gap: int) -> Pairs:
    """How often one item follows another, each time weighted by 1 / gap.

    Args:
      activities: of many users.
      num_items: in the catalogue.
      max_gap: the most places between two activities of a pair; 1 counts neighbours.
    """
    keys, weights = [], []
    for offset in range(1, max_gap + 1):
        # Gaps in a timeline bring later places nearer: the place tells, not the row.
        earlier, later = slice(None, -offset), slice(offset, None)
        gap = activities.position[later] - activities.position[earlier]
        same = activities.user[later] == activities.user[earlier]
        kept = same & (gap <= max_gap)
        pair = activities.item[earlier] * num_items + activities.item[later]
        keys.append(pair[kept])
        weights.append(1.0 / gap[kept])
    unique, inverse = np.unique(np.concatenate(keys), return_inverse=True)
    weight = np.zeros(len(unique))
    np.add.at(weight, inverse.reshape(-1), np.concatenate(weights))
    begin = np.searchsorted(unique, np.arange(num_items + 1) * num_items)
    return Pairs(begin, unique % num_items, weight)
