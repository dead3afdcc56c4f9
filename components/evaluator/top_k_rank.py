"""The rank of the label, read off the few best items that a .tflite file answers."""

from __future__ import annotations

import math

import numpy as np

MISS = math.inf
# What the scores of items that are left out are set to.
FLOOR = float(np.finfo(np.float32).min)


def top_k_rank(
    ids: np.ndarray, scores: np.ndarray, label: int, complete: bool = False
) -> float:
    """The rank that the label has for certain, ties against it.

    ``top_k`` breaks ties by the lowest index, and indices follow popularity: by
    position alone, a model whose scores are all the same would be a popularity
    recommender. So the label ranks behind every entry of its own score, and where such
    a tie reaches the last entry, nobody knows how many more there are: a miss. A single
    entry shows no tie, so it tells nothing.

    Args:
      ids: int ``[K]``, the best items, best first.
      scores: float ``[K]``, their scores.
      label: the label's id.
      complete: the answer holds every item, so that nothing is beyond the last entry.

    Returns:
      1 or more; infinite for a miss: the label is not among the items, its score is not
      finite or that of an item left out, it ties with what may be beyond the end, or a
      score is no number, which leaves all in no order.

    Raises:
      ValueError: if the shapes differ or there is no entry.
    """
    if ids.ndim != 1 or ids.shape != scores.shape or not ids.size:
        raise ValueError(
            "ids and scores are vectors of one length, at least 1. Received: "
            f"{list(ids.shape)} and {list(scores.shape)}"
        )
    positions = np.flatnonzero(ids == label)
    if not positions.size or np.isnan(scores).any():
        return MISS
    own = scores[positions[0]]
    if not np.isfinite(own) or own <= FLOOR:
        return MISS
    alone = np.sum(scores == own) == 1 < scores.size
    if not complete and own == scores.min() and not alone:
        return MISS
    return float(np.sum(scores >= own))
