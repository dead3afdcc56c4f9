"""Accuracy from the ranks of labels; one label per example, so recall@K is HR@K."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


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
