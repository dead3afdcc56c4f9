"""Ranks of labels and what they are worth; the protocol of all numbers that we report.

Full ranking over the whole catalogue. The rank of a label is 1, plus the number of
items that score higher, plus the number of *other* items that score equal.
"""

from __future__ import annotations

from collections.abc import Sequence

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


def metrics(ranks: Ints, top_k: Sequence[int]) -> dict[str, float]:
    """Means over examples: HR@K and NDCG@K of each K, MRR and the mean rank.

    HR is the share of labels among the first K (recall@K with one label); NDCG
    (Järvelin and Kekäläinen, 2002) is, with one label of gain 1, ``1 / log2(1 + rank)``
    within the first K; MRR is the mean of ``1 / rank``.

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
        hit = ranks <= k
        result[f"hr_{k}"] = float(hit.mean())
        result[f"ndcg_{k}"] = float((hit / np.log2(1 + ranks)).mean())
    result["mrr"] = float((1 / ranks).mean())
    result["mean_rank"] = float(ranks.mean())
    return result
