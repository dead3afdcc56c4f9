"""Accuracy from the ranks of labels, and what the lists are like beyond it.

There is one label per example, so recall@K is HR@K.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]


def hit_rate(ranks: Floats, k: int) -> float:
    """Share of labels among the first ``k``: HR@K, which is recall@K.

    Args:
      ranks: [n], 1 for the best.
      k: at least 1.
    """
    return float(np.mean(ranks <= k))


def ndcg(ranks: Floats, k: int) -> float:
    """Mean of 1 / log2(1 + rank) over the labels, 0 beyond ``k``: NDCG@K.

    Args:
      ranks: [n], 1 for the best.
      k: at least 1.
    """
    return float(np.mean(np.where(ranks <= k, 1.0 / np.log2(1.0 + ranks), 0.0)))


def mean_reciprocal_rank(ranks: Floats) -> float:
    """Mean of 1 / rank.

    Args:
      ranks: [n], 1 for the best.
    """
    return float(np.mean(1.0 / ranks))


def catalogue_metrics(
    ranks: Floats, top_k: Sequence[int], split: str
) -> dict[str, float]:
    """Metrics of ranks over the whole catalogue, named by K and split.

    Args:
      ranks: [n], 1 for the best.
      top_k: the Ks.
      split: ends each name, e.g. ``hr_10_eval``.
    """
    result = {f"hr_{k}_{split}": hit_rate(ranks, k) for k in top_k}
    result |= {f"ndcg_{k}_{split}": ndcg(ranks, k) for k in top_k}
    result[f"mrr_{split}"] = mean_reciprocal_rank(ranks)
    result[f"mean_rank_{split}"] = float(np.mean(ranks))
    return result


def coverage(top: Ints, num_candidates: int) -> float:
    """Catalogue coverage: share of the candidates that are recommended to anybody.

    That is, that are in at least one of the lists (Ge, Delgado-Battenfeld and Jannach,
    Beyond Accuracy, RecSys 2010).

    Args:
      top: [n, k], recommended rows of the item table; -1 is none.
      num_candidates: at least 1.
    """
    return len(np.unique(top[top >= 0])) / num_candidates


def popularity_ratio(top: Ints, labels: Ints, counts: Ints) -> float:
    """How much more popular what is recommended is than what users really choose.

    The average recommendation popularity (Abdollahpouri, Burke and Mobasher, Managing
    Popularity Bias, FLAIRS 2019) is the mean over examples of the mean count of the
    listed items; it is divided by the mean count of the labels: 1 is no bias, 2 twice
    as popular.

    Args:
      top: [n, k], recommended rows of the item table; -1 is none.
      labels: [n], rows of the item table; those outside it count 0.
      counts: [rows], how many examples of train have each as label.

    Returns:
      The ratio; NaN if no label was ever counted, or nothing is recommended.
    """
    listed = top >= 0  # [n, k]
    lengths = listed.sum(axis=1)
    inside = (labels >= 0) & (labels < len(counts))
    chosen = np.where(inside, counts[np.where(inside, labels, 0)], 0).mean()
    if not chosen or not lengths.any():
        return math.nan
    total = np.where(listed, counts[top], 0).sum(axis=1)
    return float((total[lengths > 0] / lengths[lengths > 0]).mean() / chosen)


def list_metrics(
    top: Ints,
    labels: Ints,
    num_candidates: int,
    counts: Ints | None,
    top_k: Sequence[int],
    split: str,
) -> dict[str, float]:
    """Metrics of the recommended lists, named by K and split.

    Args:
      top: [n, largest K or more], recommended rows of the item table, the best first;
        -1 is none.
      labels: [n], rows of the item table.
      num_candidates: items that may be recommended, at least 1.
      counts: [rows], how many examples of train have each candidate as label; None
        leaves out the popularity ratio.
      top_k: the Ks.
      split: ends each name, e.g. ``coverage_10_eval``.
    """
    result = {
        f"coverage_{k}_{split}": coverage(top[:, :k], num_candidates) for k in top_k
    }
    if counts is not None:
        result |= {
            f"popularity_ratio_{k}_{split}": popularity_ratio(
                top[:, :k], labels, counts
            )
            for k in top_k
        }
    return result


def batch_metrics(
    ranks: Floats, others: Floats, top_k: Sequence[int], split: str
) -> dict[str, float]:
    """Metrics of ranks among the labels of each batch.

    HR@K within a batch is easier the smaller the batch is. The mean rank is divided by
    the number of items it could be behind, so it does not depend on the batch size: 0
    is the best, 1 the worst, 0.5 is chance.

    Args:
      ranks: [n], 1 for the best.
      others: [n], other items in the batch; examples without any are left out of the
        mean rank.
      top_k: the Ks.
      split: ends each name, e.g. ``batch_hr_10_eval``.
    """
    result = {f"batch_hr_{k}_{split}": hit_rate(ranks, k) for k in top_k}
    ranked = others > 0
    if ranked.any():
        share = (ranks[ranked] - 1.0) / others[ranked]
        result[f"batch_mean_rank_{split}"] = float(np.mean(share))
    return result
