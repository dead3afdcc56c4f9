"""Ranks of labels and what they are worth; the protocol of all numbers that we report.

Full ranking over the whole catalogue. The rank of a label is 1, plus the number of
items that score higher, plus the number of *other* items that score equal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]
Bools = npt.NDArray[np.bool_]


def label_ranks(scores: Floats, labels: Ints, excluded: Bools | None = None) -> Ints:
    """Rank of each label among the items that are not left out.

    Args:
      scores: ``[batch, items]``.
      labels: ``[batch]``, columns of `scores`; -1 for one that is not in the catalogue.
      excluded: ``[batch, items]``, items left out; the label itself never is.

    Returns:
      int64 ``[batch]``, 1 for the best. A label that is not in the catalogue, or whose
      score is not finite, ranks last: at the number of items.
    """
    batch, num_items = scores.shape
    rows = np.arange(batch)
    own = scores[rows, labels][:, None]  # [batch, 1]
    # Not 'scores >= own', which is false for NaN.
    ahead = ~(scores < own)
    if excluded is not None:
        ahead &= ~excluded
    ahead[rows, labels] = False
    known = (labels >= 0) & np.isfinite(own[:, 0])
    return np.where(known, 1 + ahead.sum(axis=1), num_items)


def excluded_items(histories: Sequence[Ints], num_items: int) -> Bools:
    """Which items each history has.

    Args:
      histories: of each row, columns of the result; -1 is none.
      num_items: columns.

    Returns:
      bool ``[len(histories), num_items]``.
    """
    result = np.zeros((len(histories), num_items), np.bool_)
    for row, history in zip(result, histories, strict=True):
        row[history[history >= 0]] = True
    return result


def gains(ranks: npt.NDArray[Any], kind: str, k: int) -> Floats:
    """What each example adds to the sum of which a metric is the mean.

    HR is the share of labels among the first K (recall@K with one label); NDCG
    (Järvelin and Kekäläinen, 2002) is, with one label of gain 1, ``1 / log2(1 + rank)``
    within the first K; MRR is the mean of ``1 / rank``.

    Args:
      ranks: ``[examples]``, 1 for the best, infinite for a miss.
      kind: ``"hr"``, ``"ndcg"`` or ``"mrr"``.
      k: ranks beyond it count nothing.

    Returns:
      float64 ``[examples]``.

    Raises:
      ValueError: if the kind is another.
    """
    hit = ranks <= k
    if kind == "hr":
        return hit.astype(float)
    if kind == "ndcg":
        return hit / np.log2(1 + ranks)
    if kind == "mrr":
        return hit / ranks
    raise ValueError(f"kind is 'hr', 'ndcg' or 'mrr'. Received: {kind!r}")


def metrics(ranks: Ints, top_k: Sequence[int]) -> dict[str, float]:
    """Means over examples: HR@K and NDCG@K of each K, MRR and the mean rank.

    Args:
      ranks: ``[examples]``, 1 for the best.
      top_k: the Ks.

    Returns:
      By name: ``hr_<k>``, ``ndcg_<k>``, ``mrr``, ``mean_rank``.

    Raises:
      ValueError: if there is no rank, or one is below 1.
    """
    if not len(ranks) or ranks.min() < 1:
        raise ValueError(
            f"ranks start at 1 and there is at least one. Received: {ranks}"
        )
    result = {}
    for k in top_k:
        for kind in ("hr", "ndcg"):
            result[f"{kind}_{k}"] = float(gains(ranks, kind, k).mean())
    result["mrr"] = float((1 / ranks).mean())
    result["mean_rank"] = float(ranks.mean())
    return result


def top_items(scores: Floats, k: int, excluded: Bools | None = None) -> Ints:
    """The best items of each row, in no order.

    Args:
      scores: ``[batch, items]``.
      k: how many.
      excluded: ``[batch, items]``, items left out.

    Returns:
      int64 ``[batch, k]``, columns of `scores`; -1 where fewer than `k` are left. Of
      items that tie for the last place any is taken.
    """
    num_items = scores.shape[1]
    if excluded is not None:
        scores = np.where(excluded, -np.inf, scores)
    k = min(k, num_items)
    best = np.argpartition(scores, num_items - k, axis=1)[:, num_items - k :]
    left_out = np.take_along_axis(scores, best, axis=1) == -np.inf
    return np.where(left_out, -1, best)


def coverage(top: Ints, num_items: int) -> float:
    """Catalogue coverage: share of the items that are recommended to anybody.

    That is, that are in at least one of the lists (Ge, Delgado-Battenfeld and Jannach,
    Beyond Accuracy, RecSys 2010).

    Args:
      top: ``[examples, k]``, item numbers; -1 is none.
      num_items: in the catalogue.
    """
    return len(np.unique(top[top >= 0])) / num_items


def popularity_ratio(top: Ints, labels: Ints, counts: Ints) -> float:
    """How much more popular what is recommended is than what users really choose.

    The average recommendation popularity (Abdollahpouri, Burke and Mobasher, Managing
    Popularity Bias, FLAIRS 2019) is the mean over examples of the mean count of the
    listed items; it is divided by the mean count of the labels, so that 1 is no bias.

    Args:
      top: ``[examples, k]``, item numbers; -1 is none.
      labels: ``[examples]``, item numbers; -1 is an item that was not counted.
      counts: ``[items]``, how often train has each.

    Returns:
      The ratio; NaN if no label was ever counted, or nothing is recommended.
    """
    count = np.append(counts, 0)  # That of -1.
    listed = (top >= 0).sum(axis=1)
    chosen = count[labels].mean()
    if not chosen or not listed.any():
        return math.nan
    answered = listed > 0
    recommended = count[top[answered]].sum(axis=1) / listed[answered]
    return float(recommended.mean() / chosen)
